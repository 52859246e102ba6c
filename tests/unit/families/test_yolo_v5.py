"""YOLOv5's head: [1, boxes, 5 + classes], decoded in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import yolo_e2e, yolo_v5, yolo_v8, yolox
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

SIZE = (160, 128)
CELLS = 20 * 16 + 10 * 8 + 5 * 4


def head(classes: int, *, rows: int = 3 * CELLS, normalized: bool = False) -> NDArray[np.float64]:
    rng = np.random.default_rng(rows + classes)
    unit = np.ones(4) if normalized else np.array([*SIZE, *SIZE])
    return np.concatenate(
        [rng.random((rows, 4)) * unit, sparse(rng, (rows, 1), 0.1), sparse(rng, (rows, classes), 0.3)], axis=1
    )


def reference(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    return [
        centred(*four(row[:4]), score, class_id)
        for row in outputs["out"][0]
        for class_id, score in labelled(row[5:] * row[4], threshold, multi_label)
    ]


def reference_in_fractions(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    width, height = SIZE
    return [
        Row(row.x1 * width, row.y1 * height, row.x2 * width, row.y2 * height, row.score, row.class_id)
        for row in reference(outputs, threshold, multi_label)
    ]


@pytest.mark.parametrize("classes", [1, 4])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_boxes_in_pixels_are_those_of_the_literal_reference(classes: int, dtype: str) -> None:
    spec = manifest("yolo_v5", {"output": ("out",)}, {}, classes=classes, size=SIZE)
    check_against(reference, spec, {"out": head(classes)[None]}, dtype=dtype, threshold=0.2)


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8"])
def test_fractions_become_pixels_of_a_picture_that_is_not_square(dtype: str) -> None:
    spec = manifest("yolo_v5", {"output": ("out",)}, {"normalized": True}, classes=4, size=SIZE)
    check_against(reference_in_fractions, spec, {"out": head(4, normalized=True)[None]}, dtype=dtype, threshold=0.2)


def test_a_transposed_head_gives_the_same() -> None:
    spec = manifest("yolo_v5", {"output": ("out",)}, {"layout": "CN"}, classes=4, size=SIZE)
    values = head(4)
    same(
        decode(spec, {"out": tensor(values.T[None])}, 0.2),
        reference({"out": values[None].astype(np.float32)}, 0.2, False),
    )


def test_nan_in_objectness_or_class_is_no_detection() -> None:
    rows = np.tile([50.0, 50, 20, 20, 0.9, 0.1, 0.9], (4, 1))
    rows[1, 4] = np.nan
    rows[2, 6] = np.nan
    rows[3, 5] = np.nan
    spec = manifest("yolo_v5", {"output": ("out",)}, {}, classes=2, size=SIZE)
    same(decode(spec, {"out": tensor(rows[None])}, 0.5), [Row(40, 40, 60, 60, 0.81, 1)] * 2)


def test_labels_that_do_not_fit_the_head_are_refused() -> None:
    spec = manifest("yolo_v5", {"output": ("out",)}, {}, classes=5, size=SIZE)
    with pytest.raises(BundleError, match="5 labels, but the output has room for 4"):
        decode(spec, {"out": tensor(head(4)[None])}, 0.5)


@pytest.mark.parametrize("classes", [1, 2, 80])
@pytest.mark.parametrize(("normalized", "dtype"), [(False, "float32"), (True, "float32"), (True, "uint8")])
def test_three_rows_per_cell_are_recognised(classes: int, normalized: bool, dtype: str) -> None:
    seen = graph({"o": head(classes, normalized=normalized)[None]}, size=SIZE, dtype=dtype)
    found = yolo_v5.recognise(seen)
    assert found is not None
    assert found.class_count == classes
    assert found.options == {"layout": "NC", "normalized": normalized}
    assert (found.input.width, found.input.height) == SIZE
    for other in (yolo_v8, yolox, yolo_e2e):
        assert other.recognise(seen) is None


def test_the_number_of_rows_decides_for_the_pictures_size() -> None:
    """The same columns with one row per cell are YOLOX, not YOLOv5."""
    assert yolo_v5.recognise(graph({"o": head(80, rows=CELLS)[None]}, size=SIZE)) is None


def test_yolov6_is_recognised_by_an_objectness_that_is_always_one() -> None:
    values = head(80, rows=CELLS)
    values[:, 4] = 1
    seen = graph({"o": values[None]}, size=SIZE)
    assert yolo_v5.recognise(seen) is not None


def test_p6_models_have_four_levels() -> None:
    rows = 3 * (32 * 32 + 16 * 16 + 8 * 8 + 4 * 4)
    found = yolo_v5.recognise(graph({"o": head(3, rows=rows)[None]}, size=(256, 256)))
    assert found is not None
    assert found.class_count == 3


def test_a_picture_of_any_size_is_recognised_without_a_trial_run() -> None:
    found = yolo_v5.recognise(graph({"o": np.zeros((1, 25200, 85))}, size=(640, 640), free_size=True, ran=False))
    assert found is not None
    assert (found.input.width, found.input.height) == (640, 640)


def test_logits_are_not_claimed() -> None:
    values = head(3)
    values[:, 4:] = np.log(values[:, 4:] / (1 - values[:, 4:]))
    assert yolo_v5.recognise(graph({"o": values[None]}, size=SIZE)) is None


def test_masks_are_refused() -> None:
    outputs = {"o": head(3 + 32)[None], "p": np.zeros((1, 32, 32, 40))}
    with pytest.raises(BundleError, match="segments"):
        yolo_v5.recognise(graph(outputs, size=SIZE))


def test_boxes_far_larger_than_the_picture_are_still_fractions() -> None:
    """Coarse anchors reach four times the width of a small picture."""
    values = head(3, normalized=True)
    values[::50, 2:4] = 3.6
    found = yolo_v5.recognise(graph({"o": values[None]}, size=SIZE))
    assert found is not None
    assert found.options["normalized"] is True


def test_a_family_asked_for_by_name_need_not_fit_the_cells() -> None:
    seen = graph({"o": head(3, rows=1000)[None]}, size=SIZE)
    assert yolo_v5.recognise(seen) is None
    found = yolo_v5.recognise(replace(seen, hints=Hints(family="yolo_v5")))
    assert found is not None
    assert (found.class_count, found.options["layout"]) == (3, "NC")
