"""Yolo-FastestV2: 3 x box | 3 objectness | classes per cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import fastestdet, nanodet, yolo_fastestv2, yolo_grid, yolo_v5, yolo_v8, yolox
from edgemass.tensors import FloatArray
from tests.unit.families.yolo_helpers import (
    Row,
    centred,
    check_against,
    decode,
    graph,
    labelled,
    manifest,
    same,
    sparse,
    tensor,
)

SIZE = (160, 96)
LEVELS = [(16, 10, 6), (32, 5, 3)]  # stride, columns, rows
CLASSES = 6


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum(-1, keepdims=True))


def maps(classes: int = CLASSES) -> dict[str, NDArray[np.float64]]:
    """[1, rows, columns, 15 + classes] per level, all activated."""
    rng = np.random.default_rng(classes)
    found = {}
    for stride, columns, rows in LEVELS:
        shape = (1, rows, columns)
        parts = [rng.random((*shape, 12)), sparse(rng, (*shape, 3), 0.2), softmax(rng.normal(0, 3, (*shape, classes)))]
        found[f"level{stride}"] = np.concatenate(parts, axis=-1)
    return found


def table(classes: int = CLASSES) -> NDArray[np.float64]:
    return np.concatenate([level.reshape(-1, 15 + classes) for level in maps(classes).values()])


def reference(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
    """`handel_preds` of the authors, one number at a time."""
    found, start = [], 0
    rows_of_all = np.concatenate([values.reshape(-1, 15 + CLASSES) for values in outputs.values()])
    for level, (stride, columns, rows) in enumerate(LEVELS):
        for y, x, a in np.ndindex(rows, columns, 3):
            row = rows_of_all[start + y * columns + x]
            bx, by, bw, bh = map(float, row[4 * a : 4 * a + 4])
            pw, ph = yolo_fastestv2.ANCHORS[6 * level + 2 * a : 6 * level + 2 * a + 2]
            box = ((bx * 2 - 0.5 + x) * stride, (by * 2 - 0.5 + y) * stride, (bw * 2) ** 2 * pw, (bh * 2) ** 2 * ph)
            for class_id, score in labelled(row[15:] * row[12 + a], threshold, multi_label):
                found.append(centred(*box, score, class_id))
        start += rows * columns
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
def test_one_table_of_both_levels_decodes_as_the_authors_do(dtype: str) -> None:
    spec = manifest("yolo_fastestv2", {"levels": ("out",)}, {}, classes=CLASSES, size=SIZE)
    check_against(reference, spec, {"out": table()}, dtype=dtype, threshold=0.15)


@pytest.mark.parametrize("channels_first", [False, True])
def test_one_map_per_level_gives_the_same(channels_first: bool) -> None:
    levels = maps()
    options = {"channels_first": channels_first}
    spec = manifest("yolo_fastestv2", {"levels": tuple(levels)}, options, classes=CLASSES, size=SIZE)
    outputs = {
        name: tensor(np.ascontiguousarray(values.transpose(0, 3, 1, 2)) if channels_first else values)
        for name, values in levels.items()
    }
    wanted = reference({"out": table().astype(np.float32)}, 0.15, False)
    same(decode(spec, outputs, 0.15), wanted)


def test_nan_is_no_detection() -> None:
    values = np.zeros((75, 15 + CLASSES))
    values[:, :12] = 0.5
    values[:3, 12] = 0.9
    values[:3, 15] = 1
    values[0, 12] = np.nan
    values[1, 15] = np.nan
    values[2, 0] = np.nan
    values[3, 13] = 0.9
    values[3, 16] = 1
    spec = manifest("yolo_fastestv2", {"levels": ("out",)}, {}, classes=CLASSES, size=SIZE)
    same(decode(spec, {"out": tensor(values)}, 0.5), [centred(3.5 * 16, 0.5 * 16, 37.88, 51.48, 0.9, 1)])


@pytest.mark.parametrize(
    ("classes", "size", "options", "message"),
    [
        (5, SIZE, {}, "5 labels, but the output has room for 6"),
        (6, (160, 160), {}, "has 75 rows"),
        (6, SIZE, {"anchors": (1, 2, 3)}, "wanted 12"),
        (6, SIZE, {"strides": ()}, "wanted at least one|wanted 0"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    classes: int, size: tuple[int, int], options: dict[str, Any], message: str
) -> None:
    spec = manifest("yolo_fastestv2", {"levels": ("out",)}, options, classes=classes, size=size)
    with pytest.raises(BundleError, match=message):
        decode(spec, {"out": tensor(table())}, 0.5)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("classes", [1, 3, 80])
def test_recognised_as_one_table_and_as_maps(classes: int, dtype: str) -> None:
    levels = maps(classes)
    first = {name: values.transpose(0, 3, 1, 2) for name, values in reversed(levels.items())}
    for outputs, names, channels_first in (
        ({"out": table(classes)}, ("out",), False),
        (dict(reversed(levels.items())), ("level16", "level32"), False),
        (first, ("level16", "level32"), True),
    ):
        seen = graph(outputs, size=SIZE, kinds=["Softmax"], dtype=dtype)
        found = yolo_fastestv2.recognise(seen)
        assert found is not None
        assert found.class_count == classes
        assert found.tensors == {"levels": names}
        assert found.options["channels_first"] is channels_first
        assert (found.input.color, found.input.resize.rule) == ("BGR", "stretch")
        for other in (yolo_grid, yolo_v5, yolo_v8, yolox, fastestdet, nanodet):
            assert other.recognise(seen) is None


def test_classes_that_do_not_sum_to_one_are_not_claimed() -> None:
    assert yolo_fastestv2.recognise(graph({"out": table() * 0.5}, size=SIZE, kinds=["Softmax"])) is None
