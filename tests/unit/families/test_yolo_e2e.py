"""Heads that need no NMS: rows of corners, score and class, and queries."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import yolo_e2e, yolo_v5, yolo_v8, yolox
from edgemass.tensors import FloatArray
from tests.unit.families.yolo_helpers import (
    Row,
    centred,
    check_against,
    decode,
    four,
    graph,
    labelled,
    manifest,
    same,
    sparse,
    tensor,
)

SIZE = (320, 192)


def rows(classes: int = 5, *, normalized: bool = False) -> NDArray[np.float64]:
    """[1, 300, 6], best first, unused ones with score 0."""
    rng = np.random.default_rng(0)
    scale = np.ones(4) if normalized else np.array([*SIZE, *SIZE])
    corners = np.sort(rng.random((300, 2, 2)), axis=1).reshape(300, 4) * scale
    scores = np.where(np.arange(300) < 40, np.sort(rng.random(300))[::-1], 0)
    numbers = rng.integers(0, classes, 300).astype(float)
    return np.concatenate([corners, scores[:, None], numbers[:, None]], axis=1)[None]


def reference(outputs: Mapping[str, FloatArray], threshold: float, _: bool) -> list[Row]:
    return [Row(*four(row[:4]), float(row[4]), round(float(row[5]))) for row in outputs["out"][0] if row[4] > threshold]


def reference_in_fractions(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    width, height = SIZE
    return [
        Row(row.x1 * width, row.y1 * height, row.x2 * width, row.y2 * height, row.score, row.class_id)
        for row in reference(outputs, threshold, multi_label)
    ]


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_are_read_as_they_are(normalized: bool, dtype: str) -> None:
    spec = manifest("yolo_e2e", {"output": ("out",)}, {"normalized": normalized}, classes=5, size=SIZE)
    literal = reference_in_fractions if normalized else reference
    check_against(literal, spec, {"out": rows(normalized=normalized)}, dtype=dtype, threshold=0.25)


def test_yolov7s_columns_are_named_in_the_options() -> None:
    seven = rows()[0]
    turned = np.concatenate([np.zeros((300, 1)), seven[:, :4], seven[:, 5:], seven[:, 4:5]], axis=1)
    options = {"box_column": 1, "score_column": 6, "class_column": 5}
    spec = manifest("yolo_e2e", {"output": ("out",)}, options, classes=5, size=SIZE)
    same(decode(spec, {"out": tensor(turned)}, 0.25), reference({"out": rows().astype(np.float32)}, 0.25, False))


def test_no_rows_at_all_are_no_detections() -> None:
    options = {"box_column": 1, "score_column": 6, "class_column": 5}
    spec = manifest("yolo_e2e", {"output": ("out",)}, options, classes=5, size=SIZE)
    assert len(decode(spec, {"out": tensor(np.zeros((0, 7)))}, 0.25)) == 0


def test_nan_and_classes_without_a_label_are_no_detections() -> None:
    values = np.tile([1.0, 2, 3, 4, 0.9, 2], (1, 6, 1))
    values[0, 0, 4] = values[0, 1, 0] = values[0, 2, 5] = np.nan
    values[0, 3, 5], values[0, 4, 5] = 3, -1
    spec = manifest("yolo_e2e", {"output": ("out",)}, {}, classes=3, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), [Row(1, 2, 3, 4, 0.9, 2)])


def queries(classes: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(classes)
    return np.concatenate([rng.random((300, 4)), sparse(rng, (300, classes))], axis=1)[None]


def test_queries_are_centres_and_a_probability_per_class() -> None:
    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        found = []
        for row in outputs["out"][0]:
            cx, cy, w, h = (float(value) * side for value, side in zip(row[:4], (*SIZE, *SIZE), strict=True))
            for class_id, score in labelled(row[4:], threshold, multi_label):
                found.append(centred(cx, cy, w, h, score, class_id))
        return found

    spec = manifest("yolo_e2e", {"output": ("out",)}, {"kind": "queries", "normalized": True}, classes=7, size=SIZE)
    for dtype in ("float32", "int8"):
        check_against(literal, spec, {"out": queries(7)}, dtype=dtype, threshold=0.25)


def test_a_table_that_is_too_narrow_is_refused() -> None:
    spec = manifest("yolo_e2e", {"output": ("out",)}, {}, classes=3, size=SIZE)
    with pytest.raises(BundleError, match="has 5 columns"):
        decode(spec, {"out": tensor(np.zeros((1, 300, 5)))}, 0.5)
    spec = manifest("yolo_e2e", {"output": ("out",)}, {"kind": "queries"}, classes=3, size=SIZE)
    with pytest.raises(BundleError, match="3 labels"):
        decode(spec, {"out": tensor(queries(7))}, 0.5)


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("size", [SIZE, (640, 640), (320, 320)])
def test_300_rows_of_6_are_recognised(normalized: bool, size: tuple[int, int]) -> None:
    seen = graph({"o": rows(normalized=normalized)}, size=size, metadata={"task": "detect"})
    found = yolo_e2e.recognise(seen)
    assert found is not None
    assert found.options["normalized"] is normalized
    assert found.options["kind"] == "rows"
    assert found.nms is None
    assert found.class_count is None
    assert found.input.resize.rule == "letterbox"
    for other in (yolo_v5, yolo_v8, yolox):
        assert other.recognise(seen) is None


def test_a_free_number_of_rows_of_7_is_recognised() -> None:
    seven = np.array([[0.0, 10, 20, 30, 40, 3, 0.8], [0, 100, 20, 130, 140, 0, 0.3]])
    found = yolo_e2e.recognise(graph({"o": seven}, size=SIZE, free=(0,)))
    assert found is not None
    assert (found.options["box_column"], found.options["class_column"], found.options["score_column"]) == (1, 5, 6)


def test_queries_are_recognised_with_their_classes() -> None:
    found = yolo_e2e.recognise(graph({"o": queries(80)}, size=(640, 640)))
    assert found is not None
    assert found.options["kind"] == "queries"
    assert found.options["normalized"] is True
    assert found.class_count == 80
    assert found.nms is None


def test_rows_with_key_points_are_refused_or_left() -> None:
    with pytest.raises(BundleError, match="pose"):
        yolo_e2e.recognise(graph({"o": queries(53)}, size=(640, 640), metadata={"task": "pose"}))
    assert yolo_e2e.recognise(graph({"o": rows() * 50}, size=SIZE)) is None
    assert yolo_e2e.recognise(graph({"o": np.zeros((1, 1000))}, size=SIZE)) is None


def test_unused_rows_do_not_tell_fractions_from_pixels() -> None:
    """NMS in the graph leaves nothing of noise: all zeros, which is no sign of fractions."""
    found = yolo_e2e.recognise(graph({"o": np.zeros((1, 300, 6))}, size=(640, 640)))
    assert found is not None
    assert found.options["normalized"] is False
    assert any("pixels" in sentence for sentence in found.assumed)


def test_labels_are_not_made_up() -> None:
    """COCO only where the classes seen come close to its 80."""
    few, many = rows(5), rows(80)
    many[0, :40, 5] = np.arange(40, 80)
    for values, labels in ((few, ""), (many, "coco80"), (np.zeros((1, 300, 6)), "")):
        found = yolo_e2e.recognise(graph({"o": values}, size=(640, 640)))
        assert found is not None
        assert found.default_labels == labels


def test_rows_of_deformable_attention_are_of_a_stretched_picture() -> None:
    found = yolo_e2e.recognise(graph({"o": rows()}, size=(640, 640), kinds=["GridSample"]))
    assert found is not None
    assert found.input.resize.rule == "stretch"
