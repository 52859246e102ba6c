"""Graphs, manifests and comparisons for the tests of the YOLO-like families."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgemass import families
from edgemass.detections import Detections
from edgemass.graph import Graph, Node
from edgemass.manifest import InputSpec, Manifest, OutputSpec, Variant
from edgemass.tensors import FloatArray, Quantization, Tensor, TensorInfo

Arrays = Mapping[str, NDArray[Any]]


class Row(NamedTuple):
    """One detection as a literal reference decoder gives it: corners in pixels of the model's picture."""

    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    class_id: int


Reference = Callable[[Mapping[str, FloatArray], float, bool], list[Row]]
"""(real outputs, score threshold, several labels per box) -> detections, by loops and the authors' formulas."""


def tensor(array: NDArray[Any], dtype: str = "float32") -> Tensor:
    """Real numbers as a runtime would hand them over: float, or integers of one scale for the whole tensor."""
    if dtype.startswith("float"):
        return Tensor(array.astype(dtype))
    low, high = min(float(np.nanmin(array)), 0.0), max(float(np.nanmax(array)), 0.0)
    scale = (high - low) / 255 or 1.0
    limits = np.iinfo(dtype)
    zero_point = round(limits.min - low / scale)
    stored = np.clip(np.rint(array / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return Tensor(stored, Quantization(scale, zero_point))


def info(name: str, value: Tensor, free: Iterable[int] = ()) -> TensorInfo:
    """What the runtime says of an output; free: axes without a fixed size."""
    shape = tuple(None if axis in free else size for axis, size in enumerate(value.data.shape))
    return TensorInfo(name, shape, str(value.data.dtype), value.quantization)


def graph(  # what a model file can say of itself
    outputs: Arrays,
    *,
    size: tuple[int, int],
    free_size: bool = False,
    free: Iterable[int] = (),
    dtype: str = "float32",
    kinds: Iterable[str] = (),
    nodes: tuple[Node, ...] = (),
    metadata: Mapping[str, str] | None = None,
    labels: tuple[str, ...] = (),
    ran: bool = True,
    extra_inputs: tuple[TensorInfo, ...] = (),
) -> Graph:
    """An ONNX file with a picture of size (width, height) whose trial run gave these outputs."""
    tensors = {name: tensor(array, dtype) for name, array in outputs.items()}
    width, height = size
    shape = (1, 3, None, None) if free_size else (1, 3, height, width)
    return Graph(
        "onnx",
        inputs=(TensorInfo("images", shape, "float32"), *extra_inputs),
        outputs=tuple(info(name, value, free) for name, value in tensors.items()),
        nodes=(*nodes, *(Node(kind, (), ()) for kind in kinds)),
        metadata=metadata or {},
        labels=labels,
        runs=(tensors,) if ran else (),
        run_shapes={"images": (1, 3, height, width)} if ran else {},
    )


def manifest(  # the parts of a bundle's manifest that a decoder looks at
    family: str,
    tensors: Mapping[str, tuple[str, ...]],
    options: Mapping[str, Any],
    *,
    classes: int,
    size: tuple[int, int],
) -> Manifest:
    return Manifest(
        name="model-under-test",
        task="detection",
        labels=tuple(f"class{i}" for i in range(classes)),
        input=InputSpec(name="images", layout="NCHW", dtype="float32", width=size[0], height=size[1]),
        output=OutputSpec(family=family, tensors=dict(tensors), options=dict(options)),
        variants=(Variant(name="stock", file="model.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    )


def decode(spec: Manifest, outputs: Mapping[str, Tensor], threshold: float, *, multi_label: bool = False) -> Detections:
    """Prepare the manifest's family for these outputs and decode them."""
    infos = {name: info(name, value) for name, value in outputs.items()}
    decoder = families.load(spec.output.family).prepare(spec, infos)
    found = decoder(outputs, score_threshold=threshold, multi_label=multi_label)
    assert isinstance(found, Detections)
    assert found.xyxy.dtype == np.float32
    assert found.score.dtype == np.float32
    assert found.class_id.dtype == np.int64
    assert bool((found.score > threshold).all())
    return found


def check_against(reference: Reference, spec: Manifest, arrays: Arrays, *, dtype: str, threshold: float) -> None:
    """The decoder finds exactly what the reference finds, with the best label and with several labels per box."""
    outputs = {name: tensor(array, dtype) for name, array in arrays.items()}
    real = {name: value.real() for name, value in outputs.items()}
    for multi_label in (False, True):
        wanted = reference(real, threshold, multi_label)
        assert wanted, "the sample has nothing to find"
        same(decode(spec, outputs, threshold, multi_label=multi_label), wanted)


def same(found: Detections, wanted: list[Row]) -> None:
    """The same detections, in any order."""
    assert len(found) == len(wanted)
    rows = [Row(*four(box), float(score), int(class_id)) for box, score, class_id in _columns(found)]
    for seen, expected in zip(sorted(rows, key=_order), sorted(wanted, key=_order), strict=True):
        assert seen.class_id == expected.class_id
        np.testing.assert_allclose(seen[:5], expected[:5], rtol=1e-4, atol=1e-3)


def _columns(found: Detections) -> Iterable[tuple[Any, Any, Any]]:
    return zip(found.xyxy, found.score, found.class_id, strict=True)


def _order(row: Row) -> tuple[float, ...]:
    return (row.class_id, *(round(value, 2) for value in row[:5]))


def four(values: Iterable[float]) -> tuple[float, float, float, float]:
    """The numbers of one box as Python floats."""
    a, b, c, d = map(float, values)
    return a, b, c, d


def labelled(scores: Iterable[float], threshold: float, multi_label: bool) -> list[tuple[int, float]]:
    """(class, score) of one box: every one above the threshold, or only the best."""
    above = [(class_id, float(score)) for class_id, score in enumerate(scores) if score > threshold]
    return above if multi_label else sorted(above, key=lambda pair: -pair[1])[:1]


def centred(cx: float, cy: float, w: float, h: float, score: float, class_id: int) -> Row:
    return Row(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2, score, class_id)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-float(x))))


def inverse_sigmoid(p: float) -> float:
    return float(np.log(p / (1 - p)))


def sparse(rng: np.random.Generator, shape: tuple[int, ...], share: float = 0.02) -> NDArray[np.float64]:
    """Probabilities, nearly all of them small, as a detector gives them."""
    low = rng.random(shape) * 0.05
    return np.where(rng.random(shape) < share, 0.3 + rng.random(shape) * 0.69, low)
