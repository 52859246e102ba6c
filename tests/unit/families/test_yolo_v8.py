"""YOLOv8's head: [1, 4 + classes, boxes]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import yolo_v5, yolo_v8, yolox
from edgemass.graph import Hints
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

SIZE = (96, 64)  # width, height
BOXES = 12 * 8 + 6 * 4 + 3 * 2


def head(classes: int, *, seed: int = 0, size: tuple[int, int] = SIZE, normalized: bool = False) -> NDArray[np.float64]:
    """(4 + classes, boxes)."""
    rng = np.random.default_rng(seed)
    unit = np.ones(4) if normalized else np.array([*size, *size])
    return np.concatenate([rng.random((4, BOXES)) * unit[:, None], sparse(rng, (classes, BOXES))])


def reference(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    return [
        centred(*four(column[:4]), score, class_id)
        for column in outputs["out"][0].T
        for class_id, score in labelled(column[4:], threshold, multi_label)
    ]


def reference_in_fractions(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    width, height = SIZE
    return [
        Row(row.x1 * width, row.y1 * height, row.x2 * width, row.y2 * height, row.score, row.class_id)
        for row in reference(outputs, threshold, multi_label)
    ]


@pytest.mark.parametrize("classes", [1, 7])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_boxes_in_pixels_are_those_of_the_literal_reference(classes: int, dtype: str) -> None:
    spec = manifest("yolo_v8", {"output": ("out",)}, {}, classes=classes, size=SIZE)
    check_against(reference, spec, {"out": head(classes)[None]}, dtype=dtype, threshold=0.25)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_fractions_become_pixels_of_a_picture_that_is_not_square(dtype: str) -> None:
    spec = manifest("yolo_v8", {"output": ("out",)}, {"normalized": True}, classes=5, size=SIZE)
    check_against(reference_in_fractions, spec, {"out": head(5, normalized=True)[None]}, dtype=dtype, threshold=0.25)


def test_a_transposed_head_gives_the_same() -> None:
    values = head(6)
    plain = manifest("yolo_v8", {"output": ("out",)}, {}, classes=6, size=SIZE)
    turned = manifest("yolo_v8", {"output": ("out",)}, {"layout": "NC"}, classes=6, size=SIZE)
    for multi_label in (False, True):
        wanted = decode(plain, {"out": tensor(values[None])}, 0.2, multi_label=multi_label)
        found = decode(turned, {"out": tensor(values.T[None].copy())}, 0.2, multi_label=multi_label)
        assert len(wanted) > 0
        np.testing.assert_array_equal(found.xyxy, wanted.xyxy)
        np.testing.assert_array_equal(found.score, wanted.score)
        np.testing.assert_array_equal(found.class_id, wanted.class_id)


def test_a_nan_score_is_no_detection_and_hides_no_other_class() -> None:
    values = np.zeros((7, BOXES))
    values[:4] = [[30], [20], [10], [10]]
    values[4, 0] = np.nan
    values[5, 0] = 0.8
    values[6, 1] = np.nan
    spec = manifest("yolo_v8", {"output": ("out",)}, {}, classes=3, size=SIZE)
    for multi_label in (False, True):
        found = decode(spec, {"out": tensor(values[None])}, 0.5, multi_label=multi_label)
        same(found, [Row(25, 15, 35, 25, 0.8, 1)])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_box_that_is_no_box_is_dropped(broken: float) -> None:
    values = np.zeros((6, BOXES))
    values[:4] = 10
    values[4, :2] = 0.9
    values[2, 0] = broken
    spec = manifest("yolo_v8", {"output": ("out",)}, {}, classes=2, size=SIZE)
    same(decode(spec, {"out": tensor(values[None])}, 0.5), [Row(5, 5, 15, 15, 0.9, 0)])


@pytest.mark.parametrize("threshold", [0.0, 1.0])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_extreme_thresholds_neither_fail_nor_lie(threshold: float, dtype: str) -> None:
    spec = manifest("yolo_v8", {"output": ("out",)}, {"normalized": True}, classes=3, size=SIZE)
    outputs = {"out": tensor(head(3, normalized=True)[None], dtype)}
    found = decode(spec, outputs, threshold, multi_label=True)
    assert len(found) == int((outputs["out"].real()[0, 4:] > threshold).sum())


def test_labels_that_do_not_fit_the_head_are_refused() -> None:
    spec = manifest("yolo_v8", {"output": ("out",)}, {}, classes=6, size=SIZE)
    with pytest.raises(BundleError, match="6 labels, but the output has room for 7"):
        decode(spec, {"out": tensor(head(7)[None])}, 0.5)


def test_more_than_one_picture_per_run_is_refused() -> None:
    spec = manifest("yolo_v8", {"output": ("out",)}, {}, classes=6, size=SIZE)
    with pytest.raises(BundleError, match="batch size 1"):
        decode(spec, {"out": tensor(np.zeros((2, 10, BOXES)))}, 0.5)


@pytest.mark.parametrize("classes", [1, 3, 80])
@pytest.mark.parametrize(
    ("normalized", "dtype"), [(False, "float32"), (False, "float16"), (True, "float32"), (True, "int8")]
)
def test_recognised_by_shape_and_range_alone(classes: int, normalized: bool, dtype: str) -> None:
    found = yolo_v8.recognise(graph({"o": head(classes, normalized=normalized)[None]}, size=SIZE, dtype=dtype))
    assert found is not None
    assert found.class_count == classes
    assert found.options == {"layout": "CN", "normalized": normalized}
    assert (found.input.width, found.input.height) == SIZE
    assert found.input.resize.rule == "letterbox"
    assert found.input.resize.pad_value == 114
    assert found.nms is not None
    assert found.default_labels == ("coco80" if classes == 80 else "")


def test_a_transposed_head_of_80_classes_is_recognised() -> None:
    found = yolo_v8.recognise(graph({"o": head(80).T[None]}, size=SIZE))
    assert found is not None
    assert found.options["layout"] == "NC"


def test_labels_in_the_file_tell_a_transposed_head_from_one_with_objectness() -> None:
    names = tuple("abcdef")
    seen = graph({"o": head(6).T[None]}, size=SIZE, labels=names)
    found = yolo_v8.recognise(seen)
    assert found is not None
    assert found.class_count == 6
    assert yolox.recognise(seen) is None


def test_a_picture_of_any_size_takes_the_exporters() -> None:
    seen = graph(
        {"o": head(3)[None]}, size=SIZE, free_size=True, free=(0, 2), metadata={"imgsz": "[320, 480]", "task": "detect"}
    )
    found = yolo_v8.recognise(seen)
    assert found is not None
    assert (found.input.width, found.input.height) == (480, 320)
    assert any("any size" in sentence for sentence in found.assumed)


def test_raw_maps_beside_the_head_do_not_matter() -> None:
    maps = {f"map{i}": np.zeros((1, 67, 8 >> i, 12 >> i)) for i in range(3)}
    assert yolo_v8.recognise(graph({**maps, "o": head(3)[None]}, size=SIZE)) is not None


@pytest.mark.parametrize("task", ["segment", "pose", "obb"])
def test_another_task_is_refused_by_its_name(task: str) -> None:
    with pytest.raises(BundleError, match=task):
        yolo_v8.recognise(graph({"o": head(52)[None]}, size=SIZE, metadata={"task": task}))


def test_mask_prototypes_are_refused() -> None:
    outputs = {"o": head(80 + 32)[None], "p": np.zeros((1, 32, 16, 24))}
    with pytest.raises(BundleError, match="segments"):
        yolo_v8.recognise(graph(outputs, size=SIZE))


def test_other_heads_are_left_to_others() -> None:
    with_anchors = np.zeros((1, 3 * BOXES, 8))
    assert yolo_v8.recognise(graph({"o": with_anchors}, size=SIZE)) is None
    assert yolo_v8.recognise(graph({"o": np.zeros((1, 1000))}, size=SIZE)) is None
    assert yolo_v5.recognise(graph({"o": head(80)[None]}, size=SIZE)) is None
    assert yolox.recognise(graph({"o": head(80)[None]}, size=SIZE)) is None


def test_integers_too_coarse_for_scores_are_refused_at_import() -> None:
    """One scale for pixels and probabilities leaves steps of whole pixels, and no model would ever find anything."""
    with pytest.raises(BundleError, match="scores are lost"):
        yolo_v8.recognise(graph({"o": head(3)[None]}, size=SIZE, dtype="int8"))


@pytest.mark.parametrize("hints", [Hints(label_count=6), Hints(family="yolo_v8")])
def test_what_the_user_says_tells_a_transposed_head_from_one_with_objectness(hints: Hints) -> None:
    seen = graph({"o": head(6).T[None]}, size=SIZE)
    assert yolo_v8.recognise(seen) is None
    told = replace(seen, hints=hints)
    found = yolo_v8.recognise(told)
    assert found is not None
    assert (found.class_count, found.options["layout"]) == (6, "NC")
    if hints.label_count:
        assert yolox.recognise(told) is None


@pytest.mark.parametrize("count", [79, 81])
def test_a_wrong_number_of_labels_makes_no_other_family_of_cocos_heads(count: int) -> None:
    told = replace(graph({"o": head(80)[None]}, size=SIZE), hints=Hints(label_count=count))
    assert yolo_v8.recognise(told) is not None
    assert yolox.recognise(told) is None
