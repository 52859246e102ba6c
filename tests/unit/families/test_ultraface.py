"""Decoded boxes with softmax scores: UltraFace and its kin."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import ultraface
from edgemass.graph import Node
from edgemass.tensors import FloatArray, Tensor, TensorInfo
from tests.unit.families.helpers import (
    Row,
    assert_same,
    decode,
    graph_of,
    manifest_from,
    manifest_of,
    names,
    recognised,
    stored,
)

TENSORS = {"scores": ("scores",), "boxes": ("boxes",)}


def heads(rng: np.random.Generator, *, columns: int = 2, rows: int = 4420) -> dict[str, FloatArray]:
    logits = rng.normal(0, 2, (1, rows, columns))
    scores = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    boxes = np.sort(rng.uniform(-0.2, 1.2, (1, rows, 2, 2)), axis=2).reshape(1, rows, 4)
    return {"scores": scores.astype(np.float32), "boxes": boxes.astype(np.float32)}


def reference(scores: FloatArray, boxes: FloatArray, threshold: float, *, multi_label: bool) -> list[Row]:
    found: list[Row] = []
    for row, box in zip(scores[0].tolist(), boxes[0].tolist(), strict=True):
        passed = [(score, i) for i, score in enumerate(row[1:]) if score > threshold]
        corners = (box[0] * 320, box[1] * 240, box[2] * 320, box[3] * 240)
        found.extend((*corners, *entry) for entry in (passed if multi_label else sorted(passed)[-1:]))
    return found


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("columns", [2, 4])
@pytest.mark.parametrize("multi_label", [False, True])
def test_decoded_boxes_are_scaled_to_the_picture(dtype: str, columns: int, multi_label: bool) -> None:
    multi_label = multi_label or (dtype != "float32" and columns > 2)  # stored ties have no best class
    tensors = {name: stored(v, dtype) for name, v in heads(np.random.default_rng(1), columns=columns).items()}
    spec = manifest_of("ultraface", TENSORS, names(columns - 1), size=(320, 240))

    found = decode(spec, tensors, 0.4, multi_label=multi_label)

    assert_same(found, reference(tensors["scores"].real(), tensors["boxes"].real(), 0.4, multi_label=multi_label))


def test_what_is_not_finite_is_no_detection() -> None:
    given = heads(np.random.default_rng(2), rows=3)
    given["scores"][0] = [0.1, 0.9]
    given["scores"][0, 0, 1] = np.nan
    given["boxes"][0, 1, 3] = np.nan
    spec = manifest_of("ultraface", TENSORS, ["face"])

    assert len(decode(spec, {name: Tensor(values) for name, values in given.items()}, 0.5)) == 1


@pytest.mark.parametrize(("width", "height", "rows"), [(320, 240, 4420), (640, 480, 17640)])
@pytest.mark.parametrize("swapped", [False, True])
def test_ultraface_is_recognised_in_both_sizes_and_any_order(width: int, height: int, rows: int, swapped: bool) -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(3), rows=rows).items()}
    ordered = dict(reversed(given.items())) if swapped else given

    claim = recognised(
        ultraface.recognise(graph_of(ordered, picture=TensorInfo("input", (1, 3, height, width), "float32")))
    )

    assert claim.tensors == TENSORS
    assert (claim.class_count, claim.default_labels) == (1, "face")
    assert (claim.input.mean, claim.input.std, claim.input.color) == ((127.0,), (128.0,), "RGB")
    assert claim.nms is not None
    assert claim.nms.iou == 0.3
    decode(manifest_from(claim, "ultraface", ["face"]), given, 0.5)


def test_more_classes_are_counted_without_the_background() -> None:
    given = {n: Tensor(v) for n, v in heads(np.random.default_rng(4), columns=21, rows=3000).items()}

    claim = recognised(ultraface.recognise(graph_of(given)))

    assert (claim.class_count, claim.default_labels) == (20, "voc20")


def test_four_columns_of_scores_are_told_from_four_columns_of_boxes_by_their_sum() -> None:
    given = heads(np.random.default_rng(5), columns=4, rows=3000)
    graph = graph_of({"a": Tensor(given["boxes"]), "b": Tensor(given["scores"])})

    assert recognised(ultraface.recognise(graph)).tensors == {"scores": ("b",), "boxes": ("a",)}


def test_without_an_observed_run_operators_and_names_must_tell() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(6)).items()}
    softmax = Node("Softmax", ("x",), ("scores",))

    assert ultraface.recognise(graph_of(given, nodes=[softmax], ran=False)) is not None
    assert ultraface.recognise(graph_of(given, ran=False)) is None


def test_offsets_to_anchors_are_not_taken_for_boxes() -> None:
    given = heads(np.random.default_rng(7))
    given["boxes"] = np.random.default_rng(7).uniform(-1, 1, given["boxes"].shape).astype(np.float32)

    assert ultraface.recognise(graph_of({name: Tensor(values) for name, values in given.items()})) is None


def test_scores_that_are_no_distribution_are_somebody_elses() -> None:
    given = heads(np.random.default_rng(7))
    given["scores"] *= 0.5

    assert ultraface.recognise(graph_of({name: Tensor(values) for name, values in given.items()})) is None


def test_scores_and_boxes_of_different_length_are_refused() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(8)).items()}
    given["boxes"] = Tensor(given["boxes"].data[:, :-1])

    with pytest.raises(BundleError, match="do not belong together"):
        decode(manifest_of("ultraface", TENSORS, ["face"]), given, 0.5)


def test_two_labels_for_one_class_are_refused() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(8)).items()}

    with pytest.raises(BundleError, match=r"2 labels.*1 classes"):
        decode(manifest_of("ultraface", TENSORS, ["face", "mask"]), given, 0.5)
