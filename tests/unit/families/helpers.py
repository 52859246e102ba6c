"""Graphs, manifests and tensors for the tests of SSD-like families and classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass import families
from edgemass.detections import Classification, Detections
from edgemass.families import Recognition
from edgemass.graph import Graph, Node
from edgemass.manifest import Manifest, OutputSpec, Variant
from edgemass.tensors import FloatArray, Quantization, Tensor, TensorInfo

Row = tuple[float, float, float, float, float, int]
"""x1, y1, x2, y2 in pixels of the model's picture, score, class id: what a literal reference decoder gives."""


def quantized(real: FloatArray, dtype: str = "uint8") -> Tensor:
    """Real numbers stored as integers of one scale, as a converter chooses it from their range."""
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    scale = (high - low) / 255 or 1.0
    limits = np.iinfo(dtype)
    zero_point = round(limits.min - low / scale)
    stored = np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return Tensor(stored, Quantization(scale, zero_point))


def stored(real: FloatArray, dtype: str) -> Tensor:
    """As float32, or as integers."""
    return Tensor(real.astype(np.float32)) if dtype == "float32" else quantized(real, dtype)


def info(name: str, tensor: Tensor) -> TensorInfo:
    return TensorInfo(name, tensor.data.shape, str(tensor.data.dtype), tensor.quantization)


def graph_of(
    outputs: Mapping[str, Tensor],
    *,
    picture: TensorInfo | None = None,
    further_inputs: Sequence[TensorInfo] = (),
    nodes: Sequence[Node] = (),
    format_: str = "onnx",
    ran: bool = True,
) -> Graph:
    """A graph whose observed run gave `outputs`; its picture is float32 [1, 3, 300, 300] unless given."""
    return Graph(
        format=format_,
        inputs=(picture or TensorInfo("image", (1, 3, 300, 300), "float32"), *further_inputs),
        outputs=tuple(info(name, tensor) for name, tensor in outputs.items()),
        nodes=tuple(nodes),
        runs=(outputs,) if ran else (),
    )


def manifest_of(
    family: str,
    tensors: Mapping[str, tuple[str, ...]],
    labels: Sequence[str],
    *,
    options: Mapping[str, Any] | None = None,
    size: tuple[int, int] | None = (300, 300),
    task: str = "detection",
) -> Manifest:
    """A manifest as an importer would write it. size: width and height, None = free."""
    width, height = size or (None, None)
    resize = {} if size else {"rule": "shortest-edge", "short_side": 800}
    return msgspec.convert(
        {
            "name": "model",
            "task": task,
            "labels": list(labels),
            "input": {"name": "image", "layout": "NCHW", "dtype": "float32", "resize": resize}
            | ({"width": width, "height": height} if size else {}),
            "output": {
                "family": family,
                "tensors": {role: list(names) for role, names in tensors.items()},
                "options": dict(options or {}),
            },
            "variants": [
                {"name": "stock", "file": "model.onnx", "runtime": "onnx", "sha256": "0" * 64, "size_bytes": 1}
            ],
        },
        Manifest,
    )


def manifest_from(recognition: Recognition, family: str, labels: Sequence[str]) -> Manifest:
    """What the importer makes of a recognised graph."""
    return Manifest(
        name="model",
        task=recognition.task,
        labels=tuple(labels),
        input=recognition.input,
        output=OutputSpec(family=family, tensors=recognition.tensors, options=recognition.options, nms=recognition.nms),
        variants=(Variant(name="stock", file="model.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
        auxiliary_inputs=recognition.auxiliary_inputs,
        state=recognition.state,
    )


def decode(
    manifest: Manifest, outputs: Mapping[str, Tensor], score_threshold: float, *, multi_label: bool = False
) -> Detections:
    """Prepare and run a detector's family."""
    family = families.load(manifest.output.family)
    decoder = family.prepare(manifest, {name: info(name, tensor) for name, tensor in outputs.items()})
    found = decoder(outputs, score_threshold=score_threshold, multi_label=multi_label)
    assert isinstance(found, Detections)
    return found


def classify(manifest: Manifest, outputs: Mapping[str, Tensor], score_threshold: float) -> Classification:
    """Prepare and run a classifier's family."""
    family = families.load(manifest.output.family)
    decoder = family.prepare(manifest, {name: info(name, tensor) for name, tensor in outputs.items()})
    found = decoder(outputs, score_threshold=score_threshold)
    assert isinstance(found, Classification)
    return found


def assert_same(found: Detections, wanted: Sequence[Row]) -> None:
    """The same detections in any order."""
    assert len(found) == len(wanted)
    mine = np.column_stack([found.class_id, found.score, found.xyxy]).astype(np.float64)
    theirs = np.array([(row[5], row[4], *row[:4]) for row in wanted], np.float64).reshape(-1, 6)
    np.testing.assert_allclose(_ordered(mine), _ordered(theirs), rtol=2e-4, atol=2e-3)


def _ordered(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    keys = np.round(rows, 2)
    return rows[np.lexsort((keys[:, 5], keys[:, 4], keys[:, 3], keys[:, 2], keys[:, 0]))]


def names(count: int) -> list[str]:
    return [f"thing {index}" for index in range(count)]


def recognised(recognition: Recognition | None) -> Recognition:
    if recognition is None:
        pytest.fail("the graph was not recognised")
    return recognition
