"""NanoDet, NanoDet-Plus and PicoDet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import nanodet, yolo_e2e, yolo_v5, yolo_v8, yolox
from edgemass.tensors import FloatArray, TensorInfo
from tests.unit.families.yolo_helpers import (
    Row,
    check_against,
    decode,
    four,
    graph,
    inverse_sigmoid,
    labelled,
    manifest,
    same,
    sigmoid,
    sparse,
    tensor,
)

SIZE = (160, 96)
CLASSES = 5
THREE, FOUR = (8, 16, 32), (8, 16, 32, 64)


def level_cells(stride: int) -> tuple[int, int]:
    """(columns, rows); 96 / 64 rounds up to 2."""
    return -(-SIZE[0] // stride), -(-SIZE[1] // stride)


def levels(strides: tuple[int, ...], *, classes: int = CLASSES, bins: int = 8) -> dict[str, NDArray[np.float64]]:
    """cls<stride> and reg<stride> of every level; in that order for all levels, as exporters write them."""
    rng = np.random.default_rng(len(strides) + classes)
    cells = [columns * rows for columns, rows in map(level_cells, strides)]
    found = {f"cls{s}": sparse(rng, (1, n, classes), 0.03) for s, n in zip(strides, cells, strict=True)}
    return found | {f"reg{s}": rng.normal(0, 2, (1, n, 4 * bins)) for s, n in zip(strides, cells, strict=True)}


def distance(logits: FloatArray) -> float:
    """Expectation of one side's distribution, in cells."""
    shares = np.exp(logits.astype(np.float64))
    return float(sum(share * i for i, share in enumerate(shares / shares.sum())))


def reference(
    outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool, *, centre: float, logits: bool = False
) -> list[Row]:
    """`get_bboxes` of the authors, one cell at a time."""
    found = []
    for name in (name for name in outputs if name.startswith("cls")):
        stride = int(name[3:])
        columns, rows = level_cells(stride)
        for y, x in np.ndindex(rows, columns):
            scores = outputs[name][0, y * columns + x]
            shown = [sigmoid(score) for score in scores] if logits else scores
            left, top, right, bottom = (
                distance(side) * stride for side in outputs[f"reg{stride}"][0, y * columns + x].reshape(4, -1)
            )
            px, py = (x + centre) * stride, (y + centre) * stride
            for class_id, score in labelled(shown, threshold, multi_label):
                found.append(Row(px - left, py - top, px + right, py + bottom, score, class_id))
    return found


def roles(strides: tuple[int, ...]) -> dict[str, tuple[str, ...]]:
    return {"classes": tuple(f"cls{s}" for s in strides), "distances": tuple(f"reg{s}" for s in strides)}


@pytest.mark.parametrize(
    ("strides", "centre", "bins"), [(THREE, 0.5, 8), (FOUR, 0.5, 8), (FOUR, 0.0, 8), (THREE, 0.5, 17)]
)
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_pairs_of_tensors_decode_as_the_authors_do(
    strides: tuple[int, ...], centre: float, bins: int, dtype: str
) -> None:
    options = {"strides": strides, "centre": centre, "bins": bins}
    spec = manifest("nanodet", roles(strides), options, classes=CLASSES, size=SIZE)

    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        return reference(outputs, threshold, multi_label, centre=centre)

    check_against(literal, spec, levels(strides, bins=bins), dtype=dtype, threshold=0.35)


def test_logits_get_their_sigmoid() -> None:
    arrays = levels(THREE)
    for name in roles(THREE)["classes"]:
        arrays[name] = np.log(arrays[name] / (1 - arrays[name]))
    spec = manifest("nanodet", roles(THREE), {"activated": False}, classes=CLASSES, size=SIZE)

    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        return reference(outputs, threshold, multi_label, centre=0.5, logits=True)

    for dtype in ("float32", "int8"):
        check_against(literal, spec, arrays, dtype=dtype, threshold=0.35)


def one_table(arrays: Mapping[str, NDArray[Any]], strides: tuple[int, ...]) -> NDArray[Any]:
    both = [np.concatenate([arrays[f"cls{s}"], arrays[f"reg{s}"]], axis=2) for s in strides]
    return np.concatenate(both, axis=1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_one_table_of_all_levels_decodes_the_same(dtype: str) -> None:
    arrays = levels(FOUR)
    spec = manifest("nanodet", {"classes": ("out",)}, {"strides": FOUR, "centre": 0.0}, classes=CLASSES, size=SIZE)

    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        parts: dict[str, FloatArray] = {}
        start = 0
        for stride in FOUR:
            columns, rows = level_cells(stride)
            part = outputs["out"][:, start : start + columns * rows]
            parts |= {f"cls{stride}": part[..., :CLASSES], f"reg{stride}": part[..., CLASSES:]}
            start += columns * rows
        return reference(parts, threshold, multi_label, centre=0.0)

    check_against(literal, spec, {"out": one_table(arrays, FOUR)}, dtype=dtype, threshold=0.35)


def test_known_boxes_come_back() -> None:
    """A distribution with all its weight on two neighbouring bins stands for a distance between them."""
    arrays = levels(THREE, classes=2)
    for name, values in arrays.items():
        values[:] = -40 if name.startswith("reg") else 0
    arrays["cls16"][0, 23] = [0.1, 0.9]
    columns = level_cells(16)[0]
    for side, (low, share) in enumerate([(1, 0.25), (2, 0.5), (3, 0.75), (0, 0.1)]):
        arrays["reg16"][0, 23, side * 8 + low + 1] = 0
        arrays["reg16"][0, 23, side * 8 + low] = -inverse_sigmoid(share)
    x, y = 23 % columns, 23 // columns
    px, py = (x + 0.5) * 16, (y + 0.5) * 16
    spec = manifest("nanodet", roles(THREE), {}, classes=2, size=SIZE)
    found = decode(spec, {name: tensor(values) for name, values in arrays.items()}, 0.5)
    same(found, [Row(px - 1.25 * 16, py - 2.5 * 16, px + 3.75 * 16, py + 0.1 * 16, 0.9, 1)])


def test_nan_is_no_detection() -> None:
    arrays = levels(THREE, classes=2)
    for values in arrays.values():
        values[:] = 0
    arrays["cls8"][0, :3, 0] = 0.9
    arrays["cls8"][0, 0, 0] = np.nan
    arrays["reg8"][0, 1] = np.nan
    arrays["cls8"][0, 2, 1] = np.nan
    spec = manifest("nanodet", roles(THREE), {}, classes=2, size=SIZE)
    found = decode(spec, {name: tensor(values) for name, values in arrays.items()}, 0.5)
    same(found, [Row(20 - 28, 4 - 28, 20 + 28, 4 + 28, 0.9, 0)])


def test_boxes_that_the_graph_decoded_are_taken_as_they_are() -> None:
    cells = sum(columns * rows for columns, rows in map(level_cells, FOUR))
    rng = np.random.default_rng(0)
    arrays = {"boxes": rng.random((1, cells, 4)) * 96, "scores": sparse(rng, (1, CLASSES, cells))}
    spec = manifest(
        "nanodet", {"boxes": ("boxes",), "scores": ("scores",)}, {"decoded": True}, classes=CLASSES, size=SIZE
    )

    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        return [
            Row(*four(box), score, class_id)
            for box, scores in zip(outputs["boxes"][0], outputs["scores"][0].T, strict=True)
            for class_id, score in labelled(scores, threshold, multi_label)
        ]

    check_against(literal, spec, arrays, dtype="float32", threshold=0.3)


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (4, {}, "4 labels, but the output has room for 5"),
        (5, {"bins": 16}, "4 x 16"),
        (5, {"strides": (8, 16, 64)}, "rows"),
        (5, {"strides": (8, 16)}, "rows"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(classes: int, options: dict[str, Any], message: str) -> None:
    spec = manifest("nanodet", roles(THREE), options, classes=classes, size=SIZE)
    with pytest.raises(BundleError, match=message):
        decode(spec, {name: tensor(values) for name, values in levels(THREE).items()}, 0.5)


@pytest.mark.parametrize("classes", [1, 20, 32, 80])
@pytest.mark.parametrize(
    ("strides", "kinds", "centre", "color", "rule"),
    [
        (THREE, ["LeakyRelu"], 0.5, "BGR", "letterbox"),
        (FOUR, ["LeakyRelu"], 0.0, "BGR", "stretch"),
        (FOUR, ["HardSwish"], 0.5, "RGB", "stretch"),
    ],
)
def test_pairs_are_recognised_in_any_order(
    classes: int, strides: tuple[int, ...], kinds: list[str], centre: float, color: str, rule: str
) -> None:
    arrays = levels(strides, classes=classes)
    shuffled = {name: arrays[name] for name in sorted(arrays, key=lambda name: (name[3:], name))}
    seen = graph(shuffled, size=SIZE, kinds=kinds)
    found = nanodet.recognise(seen)
    assert found is not None
    assert found.class_count == classes
    assert found.tensors == roles(strides)
    assert found.options == {"strides": strides, "bins": 8, "centre": centre, "activated": True}
    assert (found.input.color, found.input.resize.rule, found.input.resize.pad_value) == (color, rule, 0)
    for other in (yolo_v5, yolo_v8, yolox, yolo_e2e):
        assert other.recognise(seen) is None


@pytest.mark.parametrize("classes", [3, 80])
@pytest.mark.parametrize(("strides", "centre", "rule"), [(THREE, 0.5, "letterbox"), (FOUR, 0.0, "stretch")])
def test_one_table_is_recognised(classes: int, strides: tuple[int, ...], centre: float, rule: str) -> None:
    seen = graph({"o": one_table(levels(strides, classes=classes), strides)}, size=SIZE, kinds=["LeakyRelu"])
    found = nanodet.recognise(seen)
    assert found is not None
    assert found.class_count == classes
    assert found.tensors == {"classes": ("o",)}
    assert found.options["centre"] == centre
    assert found.input.resize.rule == rule
    for other in (yolo_v5, yolo_v8, yolox, yolo_e2e):
        assert other.recognise(seen) is None


def test_paddles_scale_factor_is_held_at_one() -> None:
    cells = sum(columns * rows for columns, rows in map(level_cells, FOUR))
    outputs = {"scores": np.zeros((1, 80, cells)), "boxes": np.zeros((1, cells, 4))}
    factor = TensorInfo("scale_factor", (1, 2), "float32")
    found = nanodet.recognise(graph(outputs, size=SIZE, extra_inputs=(factor,)))
    assert found is not None
    assert found.options == {"decoded": True}
    (held,) = found.auxiliary_inputs
    assert (held.name, held.role, held.value, held.dtype) == ("scale_factor", "constant", 1.0, "float32")


def test_yolo_tables_are_left_to_others() -> None:
    cells = sum(columns * rows for columns, rows in map(level_cells, THREE))
    values = np.random.default_rng(0).random((1, cells, 85))
    assert nanodet.recognise(graph({"o": values}, size=SIZE)) is None
    assert nanodet.recognise(graph({"o": values, "p": values[..., :32]}, size=SIZE)) is None


def test_logits_of_a_yolo_table_are_no_distances() -> None:
    cells = sum(columns * rows for columns, rows in map(level_cells, THREE))
    values = np.random.default_rng(0).normal(-6, 1, (1, cells, 85))
    assert nanodet.recognise(graph({"o": values}, size=SIZE)) is None
