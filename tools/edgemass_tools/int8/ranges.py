"""What values the tensors of a float graph take on the calibration pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from edgemass.backends.onnxruntime import reason
from edgemass.errors import BackendError
from edgemass.progress import Progress
from edgemass.tensors import AnyArray, FloatArray
from edgemass_tools.int8.float_graph import FloatGraph

Method = Literal["minmax", "percentile", "entropy"]
Inputs = Mapping[str, AnyArray]

ROOM = 0.15
"""Beyond an answer's range on either side, as a share of it: calibration does not see the surest answer that there will
be, and a score that cannot rise any more would look like a threshold that nothing passes."""
BINS = 4096
KEPT = 0.99999
"""Share of a tensor's values that its 256 steps must reach, with `percentile`; the rest is clipped."""
_GROUP = 64
"""Tensors that one run hands out: all of a detector at 640 pixels would take a gigabyte."""

_MOST_COUNTED = 1 << 17
"""Values of one tensor and picture that are counted: 64 pictures give 80 beyond `KEPT`."""


@dataclass(frozen=True)
class Statistics:
    """low, high: of each float tensor over all pictures. means: of each convolution's input, float32 (channels,)."""

    low: dict[str, float]
    high: dict[str, float]
    means: dict[str, FloatArray]


def session(model: Any) -> Any:
    """Raises BackendError where ONNX Runtime cannot load it."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors derive from Exception directly
        raise BackendError(f"ONNX Runtime cannot load the graph: {reason(error)}") from error


def observe(graph: FloatGraph, pictures: Sequence[Inputs], progress: Progress) -> Statistics:
    """Run all pictures once and take least and largest values, reduced inside the graph."""
    names = sorted(graph.read_by_layers & graph.float_tensors)
    inputs = sorted({node.input[0] for node in graph.weighted if node.op_type == "Conv"})
    model = _copy(graph)
    del model.graph.output[:]
    for number, name in enumerate(names):
        _reduce(model, "ReduceMin", name, f"low:{number}", keepdims=0)
        _reduce(model, "ReduceMax", name, f"high:{number}", keepdims=0)
    for number, name in enumerate(inputs):
        _reduce(model, "GlobalAveragePool", name, f"mean:{number}")
    running = session(model)
    rows, means = [], []
    for done, picture in enumerate(pictures):
        answers = running.run(None, dict(picture))
        rows.append([float(answer) for answer in answers[: 2 * len(names)]])
        means.append([answer.reshape(answer.shape[1]) for answer in answers[2 * len(names) :]])
        progress(done + 1, len(pictures))
    table = np.array(rows, np.float64).reshape(len(pictures), len(names), 2)
    low, high = table[:, :, 0].min(axis=0), table[:, :, 1].max(axis=0)
    return Statistics(
        dict(zip(names, low.tolist(), strict=True)),
        dict(zip(names, high.tolist(), strict=True)),
        {name: np.mean([row[number] for row in means], axis=0) for number, name in enumerate(inputs)},
    )


def _reduce(model: Any, kind: str, tensor: str, output: str, **attributes: Any) -> None:
    model.graph.node.append(helper.make_node(kind, [tensor], [output], **attributes))
    model.graph.output.append(helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))


def _copy(graph: FloatGraph) -> Any:
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    return model


def choose(
    graph: FloatGraph, pictures: Sequence[Inputs], seen: Statistics, method: Method, progress: Progress
) -> dict[str, tuple[float, float]]:
    """The range of each float tensor that its 256 steps shall cover; 0 always lies in it.

    Answers get all of theirs and ROOM beyond, whatever the method: their largest values are few, and the ones that
    matter.
    """
    if method == "minmax":
        return {name: _with_zero(low, seen.high[name]) for name, low in seen.low.items()} | _of_answers(graph, seen)
    cut = _percentile if method == "percentile" else _entropy
    ranges = {}
    for name, counts in _histograms(graph, pictures, seen, progress):
        first, last = cut(counts)
        step = (seen.high[name] - seen.low[name]) / BINS
        ranges[name] = _with_zero(seen.low[name] + first * step, seen.low[name] + last * step)
    return ranges | _of_answers(graph, seen)


def _of_answers(graph: FloatGraph, seen: Statistics) -> dict[str, tuple[float, float]]:
    found = {}
    for output in graph.model.graph.output:
        if output.name in seen.low:
            low, high = seen.low[output.name], seen.high[output.name]
            found[output.name] = _with_zero(low - ROOM * (high - low), high + ROOM * (high - low))
    return found


def _with_zero(low: float, high: float) -> tuple[float, float]:
    return min(low, 0.0), max(high, 0.0)


def _histograms(
    graph: FloatGraph, pictures: Sequence[Inputs], seen: Statistics, progress: Progress
) -> Iterable[tuple[str, AnyArray]]:
    """Counts of each tensor in BINS equal bins from its least to its largest value: int64 (BINS,)."""
    names = sorted(graph.read_by_layers & set(seen.low))
    groups = [names[start : start + _GROUP] for start in range(0, len(names), _GROUP)]
    done = 0
    for group in groups:
        model = _copy(graph)
        del model.graph.output[:]
        for number, name in enumerate(group):
            model.graph.node.append(helper.make_node("Identity", [name], [f"seen:{number}"]))
            model.graph.output.append(helper.make_tensor_value_info(f"seen:{number}", onnx.TensorProto.FLOAT, None))
        running = session(model)
        counts = np.zeros((len(group), BINS), np.int64)
        for picture in pictures:
            for number, values in enumerate(running.run(None, dict(picture))):
                low, high = seen.low[group[number]], seen.high[group[number]]
                counts[number] += _count(values, low, high)
            done += 1
            progress(done, len(groups) * len(pictures))
        yield from zip(group, counts, strict=True)


def _count(values: FloatArray, low: float, high: float) -> AnyArray:
    scale = np.float32(BINS / max(high - low, 1e-30))
    some = values.ravel()[:: (values.size // _MOST_COUNTED) | 1]  # odd, so as not to walk along one column
    bins = (some - np.float32(low)) * scale
    np.clip(bins, 0, BINS - 1, out=bins)
    return np.bincount(bins.astype(np.int32), minlength=BINS)


def _percentile(counts: AnyArray) -> tuple[int, int]:
    """First bin and one past the last bin of the range that holds KEPT of all values, as many cut on either side."""
    share = counts.cumsum() / max(int(counts.sum()), 1)
    cut = (1 - KEPT) / 2
    return int(np.searchsorted(share, cut)), min(int(np.searchsorted(share, 1 - cut)) + 1, BINS)


def _entropy(counts: AnyArray) -> tuple[int, int]:
    """The range that loses least information (Kullback-Leibler) when its values are told apart in 256 steps.

    After S. Migacz, "8-bit inference with TensorRT", GTC 2017; here both ends move in, each by as many values.
    """
    total = max(int(counts.sum()), 1)
    share = counts.cumsum() / total
    best, found = np.inf, (0, BINS)
    for cut in np.concatenate([[0.0], np.geomspace(1e-7, 1e-2, 41)]):
        first, last = int(np.searchsorted(share, cut, "right")), min(int(np.searchsorted(share, 1 - cut)) + 1, BINS)
        if last - first < 2:
            continue
        loss = _divergence(counts, first, last)
        if loss < best:
            best, found = loss, (first, last)
    return found


def _divergence(counts: AnyArray, first: int, last: int) -> float:
    true = counts[first:last].astype(np.float64)
    true[0] += counts[:first].sum()
    true[-1] += counts[last:].sum()
    inside = counts[first:last].astype(np.float64)
    step = np.minimum(np.arange(last - first) * 256 // (last - first), 255)
    filled = (inside > 0).astype(np.float64)
    mass, places = np.bincount(step, inside, 256), np.bincount(step, filled, 256)
    spread = (mass / np.maximum(places, 1))[step] * filled
    # what was clipped lies where its bin may be empty inside: a small floor keeps the divergence finite
    told = (spread + 1e-9) / (spread.sum() + 1e-9 * len(spread))
    true /= true.sum()
    some = true > 0
    return float((true[some] * np.log(true[some] / told[some])).sum())
