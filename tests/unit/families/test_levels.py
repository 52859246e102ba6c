"""Heads before their activations: class logits and distances, level by level."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from edgemass import families
from edgemass.errors import BundleError
from edgemass.families import levels, nanodet, yolo_v5, yolo_v8, yolox
from edgemass.graph import FeatureMap
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray, Tensor, TensorInfo
from tests.unit.families.helpers import (
    Row,
    assert_same,
    decode,
    graph_of,
    manifest_from,
    manifest_of,
    names,
    recognised,
)

WIDTH, HEIGHT = 96, 64
STRIDES = (8, 16, 32)
SIZES = [(WIDTH // stride, HEIGHT // stride) for stride in STRIDES]
CLASSES = 3
RNG = np.random.default_rng(11)


def random_maps(bins: int, classes: int = CLASSES, mean: float = -3.0) -> dict[str, Tensor]:
    made = {}
    for stride, (columns, rows) in zip(STRIDES, SIZES, strict=True):
        made[f"c{stride}"] = Tensor(RNG.normal(mean, 2, (1, classes, rows, columns)).astype(np.float32))
        made[f"d{stride}"] = Tensor(RNG.normal(1, 1, (1, 4 * bins, rows, columns)).astype(np.float32))
    return made


def wanted(outputs: dict[str, Tensor], bins: int, threshold: float, *, all_classes: bool) -> list[Row]:
    """By loops and Ultralytics' formulas."""
    found: list[Row] = []
    for stride, (columns, rows) in zip(STRIDES, SIZES, strict=True):
        classes, distances = outputs[f"c{stride}"].data[0], outputs[f"d{stride}"].data[0]
        for y in range(rows):
            for x in range(columns):
                scores = [1 / (1 + math.exp(-float(value))) for value in classes[:, y, x]]
                left, top, right, bottom = (distance(part, bins) for part in distances[:, y, x].reshape(4, bins))
                box = [(x + 0.5 - left), (y + 0.5 - top), (x + 0.5 + right), (y + 0.5 + bottom)]
                ids = range(len(scores)) if all_classes else [int(np.argmax(scores))]
                found += [
                    (*(side * stride for side in box), scores[index], index)  # type: ignore[misc]
                    for index in ids
                    if scores[index] > threshold
                ]
    return found


def distance(logits: AnyArray, bins: int) -> float:
    if bins == 1:
        return float(logits[0])
    weights = np.exp(logits.astype(np.float64))
    return float((weights * np.arange(bins)).sum() / weights.sum())


def manifest(bins: int, **options: Any) -> Manifest:
    tensors = {"classes": tuple(f"c{s}" for s in STRIDES), "distances": tuple(f"d{s}" for s in STRIDES)}
    return manifest_of(
        "levels",
        tensors,
        names(CLASSES),
        options={"strides": list(STRIDES), "bins": bins, **options},
        size=(WIDTH, HEIGHT),
    )


@pytest.mark.parametrize("bins", [1, 8, 16])
@pytest.mark.parametrize("multi_label", [False, True])
def test_maps_are_read_by_the_published_formulas(bins: int, multi_label: bool) -> None:
    outputs = random_maps(bins)
    found = decode(manifest(bins), outputs, 0.3, multi_label=multi_label)
    assert len(found) > 5
    assert_same(found, wanted(outputs, bins, 0.3, all_classes=multi_label))


def test_classes_and_distances_may_share_a_map() -> None:
    outputs = random_maps(8)
    joined = {f"j{s}": Tensor(np.concatenate([outputs[f"c{s}"].data, outputs[f"d{s}"].data], axis=1)) for s in STRIDES}
    options = {"strides": list(STRIDES), "bins": 8}
    one = manifest_of("levels", {"classes": tuple(joined)}, names(CLASSES), options=options, size=(WIDTH, HEIGHT))
    assert_same(decode(one, joined, 0.3), wanted(outputs, 8, 0.3, all_classes=False))


def test_an_end_to_end_head_keeps_every_class_of_a_cell_and_its_300_best() -> None:
    outputs = random_maps(1, mean=2.0)
    found = decode(manifest(1, end_to_end=True), outputs, 0.01)
    every = sorted(wanted(outputs, 1, 0.01, all_classes=True), key=lambda row: -row[4])
    assert len(every) > 300
    assert_same(found, every[:300])


def test_huge_logits_do_not_overflow() -> None:
    outputs = random_maps(16)
    for stride in STRIDES:
        outputs[f"d{stride}"] = Tensor(outputs[f"d{stride}"].data * 500)
    found = decode(manifest(16), outputs, 0.3)
    assert len(found) > 5
    assert np.isfinite(found.xyxy).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bins": 7}, "want"),
        ({"bins": 0}, "wanted 1 to"),
        ({"strides": [8, 16]}, "3 tensors for 2 strides"),
        ({"strides": [16, 8, 32]}, "want"),
    ],
)
def test_options_that_do_not_fit_the_maps_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(BundleError, match=told):
        decode(manifest(**{"bins": 16, **options}), random_maps(16), 0.3)


@pytest.mark.parametrize("activated", [False, True])
def test_an_export_for_accelerators_is_recognised(activated: bool) -> None:
    outputs = random_maps(16)
    if activated:
        for stride in STRIDES:
            outputs[f"c{stride}"] = Tensor(1 / (1 + np.exp(-outputs[f"c{stride}"].data)))
    picture = TensorInfo("image", (1, 3, HEIGHT, WIDTH), "float32")
    recognition = recognised(levels.recognise(graph_of(outputs, picture=picture)))
    assert recognition.options["activated"] == activated
    made = manifest_from(recognition, "levels", names(CLASSES))
    plain = decode(manifest(16, activated=activated), outputs, 0.3)
    found = decode(made, outputs, 0.3)
    np.testing.assert_allclose(found.xyxy, plain.xyxy)


def maps_of(outputs: dict[str, Tensor], **constants: tuple[AnyArray, ...]) -> list[FeatureMap]:
    shapes = {name: value.data.shape for name, value in outputs.items()}
    return [FeatureMap(name, c, h, w, constants.get(name, ())) for name, (_, c, h, w) in shapes.items()]


def stock(family: str, classes: int = CLASSES, **options: Any) -> Manifest:
    return manifest_of(family, {"output": ("output0",)}, names(classes), options=options, size=(WIDTH, HEIGHT))


def test_yolo_v8s_maps_are_sorted_whatever_their_order() -> None:
    outputs = random_maps(16)
    (way,) = yolo_v8.cut(stock("yolo_v8"), maps_of(outputs)[::-1])
    assert way.family == "levels"
    assert way.tensors == {"classes": ("c8", "c16", "c32"), "distances": ("d8", "d16", "d32")}
    assert way.options == {"strides": [8, 16, 32], "bins": 16}


def test_as_many_classes_as_distances_are_tried_both_ways() -> None:
    outputs = random_maps(16, classes=64)
    first, second = yolo_v8.cut(stock("yolo_v8", 64), maps_of(outputs))
    assert first.tensors["classes"] == second.tensors["distances"]


@pytest.mark.parametrize("change", ["missing", "channels", "size"])
def test_maps_of_something_else_are_left_alone(change: str) -> None:
    outputs = random_maps(16)
    if change == "missing":
        del outputs["d8"]
    elif change == "channels":
        outputs["c8"] = Tensor(np.zeros((1, 9, *outputs["c8"].data.shape[2:]), np.float32))
    else:
        outputs["c8"] = Tensor(np.zeros((1, CLASSES, 3, 3), np.float32))
    assert yolo_v8.cut(stock("yolo_v8"), maps_of(outputs)) == ()


def test_nanodet_with_one_map_per_level_and_another_centre() -> None:
    joined = {
        f"j{s}": Tensor(np.zeros((1, CLASSES + 32, h, w), np.float32)) for s, (w, h) in zip(STRIDES, SIZES, strict=True)
    }
    (way,) = nanodet.cut(stock("nanodet", bins=8, centre=0.5), maps_of(joined))
    assert way.tensors == {"classes": ("j8", "j16", "j32")}
    assert nanodet.cut(stock("nanodet", bins=8, centre=0.0), maps_of(joined)) == ()


def test_yolo_v5s_anchors_are_those_of_the_graph_before_the_published_ones() -> None:
    outputs = {
        f"h{s}": Tensor(np.zeros((1, 3 * (5 + CLASSES), h, w), np.float32))
        for s, (w, h) in zip(STRIDES, SIZES, strict=True)
    }
    own = np.arange(2, 8, dtype=np.float32).reshape(1, 3, 1, 1, 2)
    grid = np.indices(SIZES[0], np.float32).transpose(1, 2, 0)[None, None].repeat(3, axis=1)
    shift = np.full((1, 3, 1, 1, 2), 0.5, np.float32)
    constants = {name: (grid, shift, own * (index + 1)) for index, name in enumerate(outputs)}
    ways = yolo_v5.cut(stock("yolo_v5"), maps_of(outputs, **constants))
    assert ways[0].options["anchors"] == tuple(float(side) for scale in (1, 2, 3) for side in own.reshape(-1) * scale)
    assert [way.options["anchors"] for way in ways[1:]] == ["yolov5", "yolov5-p6", "yolov7"]
    assert yolo_v5.cut(stock("yolo_v5"), maps_of(outputs))[0].options["anchors"] == "yolov5"


def test_yoloxs_maps_say_what_its_table_says() -> None:
    outputs: dict[str, Tensor] = {}
    parts = []
    for stride, (columns, rows) in zip(STRIDES, SIZES, strict=True):
        boxes, objectness, classes = (
            RNG.normal(0, 1, (1, n, rows, columns)).astype(np.float32) for n in (4, 1, CLASSES)
        )
        outputs |= {f"b{stride}": Tensor(boxes), f"o{stride}": Tensor(objectness), f"c{stride}": Tensor(classes)}
        scores = 1 / (1 + np.exp(-np.concatenate([objectness, classes], axis=1)))
        parts.append(np.concatenate([boxes, scores], axis=1).reshape(1, 5 + CLASSES, -1))
    table = {"output0": Tensor(np.concatenate(parts, axis=2).transpose(0, 2, 1))}
    made = stock("yolox", layout="NC", strides=list(STRIDES))
    (way,) = yolox.cut(made, maps_of(outputs))
    cut = manifest_of("yolox", way.tensors, names(CLASSES), options=way.options, size=(WIDTH, HEIGHT))
    for multi_label in (False, True):
        found = decode(cut, outputs, 0.4, multi_label=multi_label)
        assert len(found) > 5
        before = decode(made, table, 0.4, multi_label=multi_label)
        assert_same(
            found,
            [
                (*box, score, label)
                for box, score, label in zip(before.xyxy, before.score, before.class_id, strict=True)
            ],
        )


def test_a_family_that_cannot_be_cut_says_nothing() -> None:
    assert families.cut(stock("ssd_raw"), maps_of(random_maps(16))) == ()
