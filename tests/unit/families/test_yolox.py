"""YOLOX's head: [1, cells, 5 + classes], decoded or not."""

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

SIZE = (128, 96)
LEVELS = [(8, 16, 12), (16, 8, 6), (32, 4, 3)]  # stride, columns, rows
CELLS = sum(columns * rows for _, columns, rows in LEVELS)


def head(classes: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(classes)
    return np.concatenate(
        [
            rng.normal(0.5, 1, (CELLS, 2)),
            rng.normal(0, 1, (CELLS, 2)),
            sparse(rng, (CELLS, 1), 0.2),
            sparse(rng, (CELLS, classes), 0.3),
        ],
        axis=1,
    )


def cells() -> list[tuple[int, int, int]]:
    return [(stride, x, y) for stride, columns, rows in LEVELS for y in range(rows) for x in range(columns)]


def reference(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    found = []
    for (stride, x, y), row in zip(cells(), outputs["out"][0], strict=True):
        box = (row[0] + x) * stride, (row[1] + y) * stride, np.exp(row[2]) * stride, np.exp(row[3]) * stride
        for class_id, score in labelled(row[5:] * row[4], threshold, multi_label):
            found.append(centred(*four(box), score, class_id))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_boxes_are_those_of_the_literal_reference(dtype: str) -> None:
    spec = manifest("yolox", {"output": ("out",)}, {}, classes=5, size=SIZE)
    check_against(reference, spec, {"out": head(5)[None]}, dtype=dtype, threshold=0.2)


def test_known_boxes_come_back() -> None:
    wanted, values = [], np.zeros((1, CELLS, 7))
    for index, (stride, x, y) in enumerate(cells()):
        box = ((x + 0.3) * stride, (y + 0.7) * stride, 10.0 + index, 20.0)
        values[0, index] = [0.3, 0.7, np.log(box[2] / stride), np.log(box[3] / stride), 1, 0.1, 0.9]
        wanted.append(centred(*box, 0.9, 1))
    spec = manifest("yolox", {"output": ("out",)}, {}, classes=2, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), wanted)


def test_decoded_boxes_are_taken_as_they_are() -> None:
    values = np.array([[[50, 40, 20, 10, 0.9, 0.9]]] * 1, float)
    spec = manifest("yolox", {"output": ("out",)}, {"decoded": True}, classes=1, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), [Row(40, 35, 60, 45, 0.81, 0)])


def test_a_size_that_overflows_is_dropped_without_a_warning() -> None:
    values = head(1)
    values[0] = [0, 0, 500, 0, 1, 1]
    spec = manifest("yolox", {"output": ("out",)}, {}, classes=1, size=SIZE)
    found = decode(spec, {"out": tensor(values[None])}, 0.99)
    assert bool(np.isfinite(found.xyxy).all())
    assert len(found) == 0


def test_rows_that_do_not_fit_the_pictures_size_are_refused() -> None:
    spec = manifest("yolox", {"output": ("out",)}, {}, classes=5, size=(160, 96))
    with pytest.raises(BundleError, match=f"has {CELLS} rows"):
        decode(spec, {"out": tensor(head(5)[None])}, 0.5)


def test_labels_that_do_not_fit_the_head_are_refused() -> None:
    spec = manifest("yolox", {"output": ("out",)}, {}, classes=4, size=SIZE)
    with pytest.raises(BundleError, match="4 labels, but the output has room for 5"):
        decode(spec, {"out": tensor(head(5)[None])}, 0.5)


@pytest.mark.parametrize("classes", [2, 80])
def test_one_row_per_cell_with_objectness_is_recognised(classes: int) -> None:
    seen = graph({"o": head(classes)[None]}, size=SIZE)
    found = yolox.recognise(seen)
    assert found is not None
    assert found.class_count == classes
    assert found.options == {"layout": "NC", "decoded": False, "strides": (8, 16, 32)}
    assert found.input.color == "BGR"
    assert found.input.std == (1.0,)
    assert found.input.resize.rule == "letterbox-top-left"
    assert yolo_v5.recognise(seen) is None
    assert yolo_v8.recognise(seen) is None


def test_ranges_tell_that_the_graph_decodes() -> None:
    values = head(80)
    values[:, :4] = np.random.default_rng(1).random((CELLS, 4)) * [*SIZE, *SIZE]
    found = yolox.recognise(graph({"o": values[None]}, size=SIZE))
    assert found is not None
    assert found.options["decoded"] is True


def test_a_softmax_speaks_against_it() -> None:
    assert yolox.recognise(graph({"o": head(80)[None]}, size=SIZE, kinds=["Softmax"])) is None


def test_sizes_below_zero_show_objectness_whatever_number_of_labels_is_given() -> None:
    """So that a label too many is an error, and not another reading of the head."""
    seen = replace(graph({"o": head(2)[None]}, size=SIZE), hints=Hints(label_count=3))
    assert yolox.recognise(seen) is not None
    assert yolo_v8.recognise(seen) is None
