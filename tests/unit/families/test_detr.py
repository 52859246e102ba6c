"""Detection transformers with and without their post-processor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import detr
from edgemass.graph import Graph, Node
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

PICTURE = TensorInfo("images", (None, 3, 640, 640), "float32")
SIZES = TensorInfo("orig_target_sizes", (None, 2), "int64")
ATTENTION = [Node("MatMul", ("a",), ("b",))]
DECODED = {"labels": ("labels",), "boxes": ("boxes",), "scores": ("scores",)}
HEADS = {"logits": ("logits",), "boxes": ("boxes",)}


def answer(rng: np.random.Generator, *, batch: bool, queries: int = 50) -> dict[str, Tensor]:
    lead = (1, queries) if batch else (queries,)
    return {
        "labels": Tensor(rng.integers(0, 5, lead)),
        "boxes": Tensor(rng.uniform(0, 640, (*lead, 4)).astype(np.float32)),
        "scores": Tensor(rng.random(lead).astype(np.float32)),
    }


@pytest.mark.parametrize("batch", [False, True])
def test_rows_of_the_post_processor_are_taken_as_they_are(batch: bool) -> None:
    given = answer(np.random.default_rng(1), batch=batch)

    found = decode(manifest_of("detr", DECODED, names(5), size=(640, 640)), given, 0.4)

    boxes, scores = given["boxes"].data.reshape(-1, 4).tolist(), given["scores"].data.reshape(-1).tolist()
    labels = given["labels"].data.reshape(-1).tolist()
    wanted = [(*b, s, label) for b, s, label in zip(boxes, scores, labels, strict=True) if s > 0.4]
    assert_same(found, wanted)


def test_what_is_not_finite_is_no_detection() -> None:
    given = answer(np.random.default_rng(2), batch=True, queries=3)
    given["scores"].data[0, 0] = np.nan
    given["boxes"].data[0, 1, 0] = np.nan

    assert len(decode(manifest_of("detr", DECODED, names(5)), given, 0.0)) == 1


@pytest.mark.parametrize("order", [["labels", "boxes", "scores"], ["scores", "labels", "boxes"]])
@pytest.mark.parametrize("batch", [False, True])
def test_a_picture_and_its_size_are_recognised_in_any_order(order: list[str], batch: bool) -> None:
    given = answer(np.random.default_rng(3), batch=batch)
    graph = graph_of({name: given[name] for name in order}, picture=PICTURE, further_inputs=[SIZES])

    claim = recognised(detr.recognise(graph))

    assert claim.tensors == DECODED
    (size,) = claim.auxiliary_inputs
    # Given the model's own size, boxes come back in the model's pixels, and any resize rule finds the way to the frame.
    assert (size.name, size.role, size.dtype, size.shape) == ("orig_target_sizes", "input-size-wh", "int64", (1, 2))
    assert (claim.input.std, claim.default_labels, claim.nms) == ((255.0,), "coco80", None)
    decode(manifest_from(claim, "detr", names(80)), given, 0.5)


def test_free_dimensions_without_a_run_leave_the_names_to_tell() -> None:
    outputs = (
        TensorInfo("labels", (None,), "int64"),
        TensorInfo("boxes", (None, None), "float32"),
        TensorInfo("scores", (None,), "float32"),
    )

    assert recognised(detr.recognise(Graph("onnx", (PICTURE, SIZES), outputs))).tensors == DECODED


def heads(rng: np.random.Generator, columns: int, queries: int = 100) -> dict[str, FloatArray]:
    return {
        "logits": rng.normal(-1, 2, (1, queries, columns)).astype(np.float32),
        "boxes": rng.uniform(0.05, 0.95, (1, queries, 4)).astype(np.float32),
    }


def reference(  # as PostProcess of facebookresearch/detr and RTDETRPostProcessor do
    logits: FloatArray, boxes: FloatArray, threshold: float, *, softmax: bool, offset: int, multi_label: bool
) -> list[Row]:
    found: list[Row] = []
    for row, (cx, cy, w, h) in zip(logits[0].tolist(), boxes[0].tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        columns = row[:-1] if softmax else row
        scores = [math.exp(value) / total if softmax else 1 / (1 + math.exp(-value)) for value in columns]
        passed = sorted((score, i) for i, score in enumerate(scores) if score > threshold)
        corners = ((cx - w / 2) * 300, (cy - h / 2) * 300, (cx + w / 2) * 300, (cy + h / 2) * 300)
        kept = passed if multi_label else passed[-1:]
        found.extend((*corners, score, i - offset) for score, i in kept if i >= offset)
    return found


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("multi_label", [False, True])
def test_raw_heads_decode_as_their_authors_do(dtype: str, activation: str, offset: int, multi_label: bool) -> None:
    multi_label = multi_label or dtype != "float32"  # stored ties have no best class
    softmax = activation == "softmax"
    tensors = {name: stored(values, dtype) for name, values in heads(np.random.default_rng(4), 6).items()}
    options = {"activation": activation, "class_offset": offset}
    spec = manifest_of("detr", HEADS, names(6 - offset - softmax), options=options)

    found = decode(spec, tensors, 0.3, multi_label=multi_label)

    wanted = reference(
        tensors["logits"].real(),
        tensors["boxes"].real(),
        0.3,
        softmax=softmax,
        offset=offset,
        multi_label=multi_label,
    )
    assert len(wanted) > 20
    assert_same(found, wanted)


@pytest.mark.parametrize(
    ("columns", "activation", "offset", "classes"),
    [
        (92, "softmax", 1, 90),
        (91, "sigmoid", 1, 90),
        (80, "sigmoid", 0, 80),
        (3, "sigmoid", 0, 3),
        (4, "sigmoid", 0, 4),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_raw_heads_are_recognised_by_their_columns(
    columns: int, activation: str, offset: int, classes: int, swapped: bool
) -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(5), columns).items()}
    ordered = dict(reversed(given.items())) if swapped else given

    claim = recognised(detr.recognise(graph_of(ordered, picture=PICTURE, nodes=ATTENTION)))

    assert claim.tensors == HEADS
    assert claim.options == {"activation": activation, "class_offset": offset}
    assert claim.class_count == classes
    decode(manifest_from(claim, "detr", names(classes)), given, 0.5)


def test_heads_without_attention_are_somebody_elses() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(6), 80).items()}

    assert detr.recognise(graph_of(given, picture=PICTURE, nodes=[Node("Conv", (), ())])) is None


def test_a_further_input_that_is_no_size_is_somebody_elses() -> None:
    given = answer(np.random.default_rng(7), batch=True)
    mask = TensorInfo("pixel_mask", (1, 64, 64), "int64")

    assert detr.recognise(graph_of(given, picture=PICTURE, further_inputs=[mask])) is None


def test_labels_that_do_not_fit_the_logits_are_refused() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(8), 6).items()}

    with pytest.raises(BundleError, match=r"5 labels.*6 classes"):
        decode(manifest_of("detr", HEADS, names(5), options={"activation": "sigmoid"}), given, 0.5)
