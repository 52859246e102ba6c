"""FastestDet: one feature map of stride 16."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import fastestdet, yolo_fastestv2, yolo_grid
from edgemass.tensors import FloatArray
from tests.unit.families.yolo_helpers import (
    Row,
    centred,
    check_against,
    decode,
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
COLUMNS, ROWS = 10, 6


def feature_map(classes: int = 5) -> NDArray[np.float64]:
    """[1, 5 + classes, rows, columns]."""
    rng = np.random.default_rng(classes)
    logits = np.exp(rng.normal(0, 3, (classes, ROWS, COLUMNS)))
    parts = [sparse(rng, (1, ROWS, COLUMNS), 0.3), rng.normal(0, 1, (4, ROWS, COLUMNS)), logits / logits.sum(0)]
    return np.concatenate(parts)[None]


def reference(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    """The authors' C++ example, one cell at a time."""
    found = []
    values = outputs["out"][0]
    for y, x in np.ndindex(ROWS, COLUMNS):
        objectness, dx, dy, w, h, *classes = map(float, values[:, y, x])
        scores = [max(objectness, 0) ** 0.6 * max(one, 0) ** 0.4 for one in classes]
        cx, cy = (x + np.tanh(dx)) / COLUMNS * SIZE[0], (y + np.tanh(dy)) / ROWS * SIZE[1]
        for class_id, score in labelled(scores, threshold, multi_label):
            found.append(centred(float(cx), float(cy), sigmoid(w) * SIZE[0], sigmoid(h) * SIZE[1], score, class_id))
    return found


def reference_channels_last(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    return reference({"out": outputs["out"].transpose(0, 3, 1, 2)}, threshold, multi_label)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_boxes_are_those_of_the_authors_example(dtype: str) -> None:
    spec = manifest("fastestdet", {"output": ("out",)}, {}, classes=5, size=SIZE)
    check_against(reference, spec, {"out": feature_map()}, dtype=dtype, threshold=0.35)


def test_channels_may_come_last() -> None:
    spec = manifest("fastestdet", {"output": ("out",)}, {"layout": "NC"}, classes=5, size=SIZE)
    last = feature_map().transpose(0, 2, 3, 1)
    check_against(reference_channels_last, spec, {"out": last}, dtype="float32", threshold=0.35)


def test_known_boxes_come_back() -> None:
    values, wanted = np.zeros((1, 7, ROWS, COLUMNS)), []
    for y, x in np.ndindex(ROWS, COLUMNS):
        w, h = 20 + x, 30 + y
        box = [np.arctanh(0.4), np.arctanh(-0.3), inverse_sigmoid(w / SIZE[0]), inverse_sigmoid(h / SIZE[1])]
        values[0, :, y, x] = [0.9, *box, 0.2, 0.8]
        wanted.append(centred((x + 0.4) * 16, (y - 0.3) * 16, w, h, 0.9**0.6 * 0.8**0.4, 1))
    spec = manifest("fastestdet", {"output": ("out",)}, {}, classes=2, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), wanted)


def test_nan_is_no_detection() -> None:
    values = np.zeros((1, 7, ROWS, COLUMNS))
    values[0, 0, 0, :4] = values[0, 6, 0, :4] = 1
    values[0, 0, 0, 0] = values[0, 6, 0, 1] = values[0, 1, 0, 2] = values[0, 5, 0, 3] = np.nan
    spec = manifest("fastestdet", {"output": ("out",)}, {}, classes=2, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), [centred(3 * 16, 0, 80, 48, 1, 1)])


@pytest.mark.parametrize(
    ("classes", "size", "options", "message"),
    [
        (4, SIZE, {}, "4 labels, but the output has room for 5"),
        (5, (96, 160), {}, "cells"),
        (5, SIZE, {"stride": 32}, "cells"),
        (5, SIZE, {"stride": 0}, "wanted at least one above 0"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    classes: int, size: tuple[int, int], options: dict[str, Any], message: str
) -> None:
    spec = manifest("fastestdet", {"output": ("out",)}, options, classes=classes, size=size)
    with pytest.raises(BundleError, match=message):
        decode(spec, {"out": tensor(feature_map())}, 0.5)


@pytest.mark.parametrize("classes", [1, 20, 80])
@pytest.mark.parametrize("channels_last", [False, True])
def test_recognised_by_its_map_and_softmax(classes: int, channels_last: bool) -> None:
    values = feature_map(classes)
    seen = graph(
        {"o": values.transpose(0, 2, 3, 1) if channels_last else values}, size=SIZE, kinds=["Sigmoid", "Softmax"]
    )
    found = fastestdet.recognise(seen)
    assert found is not None
    assert found.class_count == classes
    assert found.options["layout"] == ("NC" if channels_last else "CN")
    assert (found.input.color, found.input.resize.rule, found.input.std) == ("BGR", "stretch", (255.0,))
    assert found.default_labels == {20: "voc20", 80: "coco80"}.get(classes, "")
    assert yolo_grid.recognise(seen) is None
    assert yolo_fastestv2.recognise(seen) is None


def test_another_map_with_a_softmax_is_not_claimed() -> None:
    rng = np.random.default_rng(0)
    assert (
        fastestdet.recognise(graph({"o": rng.normal(0, 1, (1, 25, ROWS, COLUMNS))}, size=SIZE, kinds=["Softmax"]))
        is None
    )
    assert fastestdet.recognise(graph({"o": rng.random((1, 25, 3, 5))}, size=SIZE, kinds=["Softmax"])) is None
