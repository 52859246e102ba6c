"""SSD heads with anchors, against the published coding written out as loops."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import ssd_raw
from edgemass.families._anchors import ssd_anchors, ssd_grids
from edgemass.families._candidates import softmax
from edgemass.tensors import FloatArray, Tensor, TensorInfo
from tests.unit.families.helpers import (
    Row,
    assert_same,
    decode,
    graph_of,
    manifest_from,
    manifest_of,
    names,
    quantized,
    recognised,
    stored,
)

ANCHORS = ssd_anchors(ssd_grids(300, 300))
TENSORS = {"boxes": ("b",), "scores": ("s",)}


def heads(rng: np.random.Generator, columns: int = 4, rows: int = len(ANCHORS)) -> dict[str, FloatArray]:
    return {
        "b": rng.normal(0, 1.5, (1, rows, 4)).astype(np.float32),
        "s": rng.normal(-3, 2, (1, rows, columns)).astype(np.float32),
    }


def probabilities(logits: FloatArray, activation: str) -> list[float]:
    values = [float(value) for value in logits]
    if activation == "sigmoid":
        return [1 / (1 + math.exp(-value)) for value in values]
    if activation == "none":
        return values
    total = sum(math.exp(value) for value in values)
    return [math.exp(value) / total for value in values]


def reference(  # as faster_rcnn_box_coder decodes
    boxes: FloatArray, scores: FloatArray, threshold: float, *, activation: str, multi_label: bool, first: int = 1
) -> list[Row]:
    found: list[Row] = []
    for anchor, box, logits in zip(ANCHORS, boxes[0], scores[0], strict=True):
        acy, acx, ah, aw = (float(value) for value in anchor)
        ty, tx, th, tw = (float(value) for value in box)
        cy, cx = ty / 10 * ah + acy, tx / 10 * aw + acx
        h, w = math.exp(th / 5) * ah, math.exp(tw / 5) * aw
        corners = ((cx - w / 2) * 300, (cy - h / 2) * 300, (cx + w / 2) * 300, (cy + h / 2) * 300)
        passed = [(score, i) for i, score in enumerate(probabilities(logits, activation)[first:]) if score > threshold]
        kept = passed if multi_label else sorted(passed)[-1:]
        found.extend((*corners, score, i) for score, i in kept)
    return found


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "none"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_heads_decode_as_the_published_coder_does(dtype: str, activation: str, multi_label: bool) -> None:
    given = heads(np.random.default_rng(1))
    if activation == "none":
        given["s"] = (1 / (1 + np.exp(-given["s"]))).astype(np.float32)
    if dtype != "float32":  # equal stored scores have no best one: leave no ties to the rounding
        multi_label = True
    tensors = {name: stored(values, dtype) for name, values in given.items()}
    spec = manifest_of("ssd_raw", TENSORS, names(3), options={"activation": activation})

    found = decode(spec, tensors, 0.35, multi_label=multi_label)

    wanted = reference(tensors["b"].real(), tensors["s"].real(), 0.35, activation=activation, multi_label=multi_label)
    assert len(wanted) > 50
    assert_same(found, wanted)


@pytest.mark.parametrize("order", ["yxhw", "xywh"])
def test_known_boxes_survive_encoding_and_decoding(order: str) -> None:
    rng = np.random.default_rng(2)
    rows = rng.choice(len(ANCHORS), 40, replace=False)
    corner = rng.uniform(10, 150, (40, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(10, 140, (40, 2))], axis=1)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 600, (boxes[:, 2:] - boxes[:, :2]) / 300
    anchor = ANCHORS[rows][:, [1, 0, 3, 2]].astype(np.float64)
    coded = np.concatenate([(centre - anchor[:, :2]) / anchor[:, 2:] * 10, np.log(size / anchor[:, 2:]) * 5], axis=1)
    encodings = np.zeros((1, len(ANCHORS), 4), np.float32)
    encodings[0, rows] = coded[:, [1, 0, 3, 2]] if order == "yxhw" else coded
    scores = np.full((1, len(ANCHORS), 3), -9, np.float32)
    classes = rng.integers(0, 2, 40)
    scores[0, rows, 1 + classes] = 2.0
    spec = manifest_of("ssd_raw", TENSORS, names(2), options={"box_order": order})

    found = decode(spec, {"b": Tensor(encodings), "s": Tensor(scores)}, 0.5)

    score = 1 / (1 + math.exp(-2))
    assert_same(found, [(*box, score, int(label)) for box, label in zip(boxes.tolist(), classes, strict=True)])


def test_heads_without_a_background_use_every_column() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(3)).items()}
    spec = manifest_of("ssd_raw", TENSORS, names(4), options={"background": "none"})

    found = decode(spec, given, 0.5, multi_label=True)

    wanted = reference(given["b"].data, given["s"].data, 0.5, activation="sigmoid", multi_label=True, first=0)
    assert_same(found, wanted)


def test_labels_may_name_the_background_first() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(3)).items()}

    plain = decode(manifest_of("ssd_raw", TENSORS, names(3)), given, 0.5)
    shifted = decode(manifest_of("ssd_raw", TENSORS, ["background", *names(3)]), given, 0.5)

    assert (shifted.class_id - plain.class_id).tolist() == [1] * len(plain)


def test_what_is_not_finite_is_no_detection() -> None:
    given = heads(np.random.default_rng(4))
    given["s"][...] = -9
    given["s"][0, :4, 1] = 5
    given["s"][0, 0, 1] = np.nan
    given["b"][0, 1, 0] = np.nan
    given["b"][0, 2, 3] = 1e9  # a size that overflows

    found = decode(manifest_of("ssd_raw", TENSORS, names(3)), {name: Tensor(v) for name, v in given.items()}, 0.5)

    assert len(found) == 1


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 1917), (1.0, 0)])
def test_thresholds_at_the_ends_pass_everything_or_nothing(threshold: float, count: int) -> None:
    given = {name: quantized(values) for name, values in heads(np.random.default_rng(5)).items()}

    assert len(decode(manifest_of("ssd_raw", TENSORS, names(3)), given, threshold)) == count


def test_another_number_of_anchors_than_rows_is_refused_with_both_numbers() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(6), rows=1916).items()}

    with pytest.raises(BundleError, match=r"1916.*1917"):
        decode(manifest_of("ssd_raw", TENSORS, names(3)), given, 0.5)


def test_another_number_of_labels_than_classes_is_refused_with_both_numbers() -> None:
    given = {name: Tensor(values) for name, values in heads(np.random.default_rng(6)).items()}

    with pytest.raises(BundleError, match=r"5 labels.*3 classes"):
        decode(manifest_of("ssd_raw", TENSORS, names(5)), given, 0.5)


def test_given_anchors_are_used_as_they_are() -> None:
    anchors = [[0.5, 0.5, 0.2, 0.4]]
    given = {"b": Tensor(np.zeros((1, 1, 4), np.float32)), "s": Tensor(np.array([[[-9, 3]]], np.float32))}

    found = decode(manifest_of("ssd_raw", TENSORS, names(1), options={"anchors": anchors}), given, 0.5)

    np.testing.assert_allclose(found.xyxy, [[90, 120, 210, 180]], atol=1e-3)


@pytest.mark.parametrize("swapped", [False, True])
def test_the_number_of_anchors_tells_the_generator(swapped: bool) -> None:
    for side, rows, generator in ((300, 1917, "ssd"), (320, 2034, "ssd"), (320, 12804, "fpn")):
        given = {n: Tensor(v) for n, v in heads(np.random.default_rng(7), columns=91, rows=rows).items()}
        ordered = dict(reversed(given.items())) if swapped else given
        picture = TensorInfo("image", (1, 3, side, side), "float32")

        claim = recognised(ssd_raw.recognise(graph_of(ordered, picture=picture)))

        assert claim.options == {"generator": generator, "activation": "sigmoid", "box_order": "yxhw"}
        assert claim.tensors == TENSORS
        assert (claim.class_count, claim.default_labels, claim.questions) == (90, "coco90", {})
        decode(manifest_from(claim, "ssd_raw", names(90)), given, 0.9)


@pytest.mark.parametrize("applied", [False, True])
def test_an_ultraface_without_its_decoder_is_recognised_by_its_anchors(applied: bool) -> None:
    given = {n: Tensor(v) for n, v in heads(np.random.default_rng(8), columns=2, rows=4420).items()}
    if applied:
        given["s"] = Tensor(softmax(given["s"].data))

    claim = recognised(ssd_raw.recognise(graph_of(given, picture=TensorInfo("input", (1, 3, 240, 320), "float32"))))

    activation = "none" if applied else "softmax"
    assert claim.options == {"generator": "ultraface", "activation": activation, "box_order": "xywh"}
    assert (claim.default_labels, claim.input.mean, claim.input.std) == ("face", (127.0,), (128.0,))
    assert claim.score == 0.7
    decode(manifest_from(claim, "ssd_raw", ["face"]), given, 0.5)


def test_a_file_that_claims_an_enormous_picture_costs_no_anchors() -> None:
    given = {n: Tensor(v) for n, v in heads(np.random.default_rng(8), columns=2, rows=100).items()}
    graph = graph_of(given, picture=TensorInfo("input", (1, 3, 1 << 30, 1 << 30), "float32"))

    assert "anchors" in recognised(ssd_raw.recognise(graph)).questions


def test_unknown_anchors_are_asked_for() -> None:
    given = {n: Tensor(v) for n, v in heads(np.random.default_rng(8), columns=21, rows=1000).items()}

    assert "anchors" in recognised(ssd_raw.recognise(graph_of(given))).questions


def test_scores_between_0_and_1_are_taken_as_they_are() -> None:
    given = heads(np.random.default_rng(9), columns=21)
    given["s"] = (1 / (1 + np.exp(-given["s"]))).astype(np.float32)
    graph = graph_of({name: Tensor(values) for name, values in given.items()})

    assert recognised(ssd_raw.recognise(graph)).options["activation"] == "none"


def test_boxes_in_pixels_are_somebody_elses() -> None:
    given = heads(np.random.default_rng(10), columns=80)
    given["b"] = np.abs(given["b"]) * 200

    assert ssd_raw.recognise(graph_of({name: Tensor(values) for name, values in given.items()})) is None


def test_decoding_costs_far_less_than_the_run() -> None:
    """Measured .17 ms for 1917 x 91 on one core; a loop over classes takes hundreds of times that."""
    given = heads(np.random.default_rng(11), columns=91)
    given["s"] -= 6
    tensors = {name: Tensor(values) for name, values in given.items()}
    spec = manifest_of("ssd_raw", TENSORS, names(90))
    decoder = ssd_raw.prepare(
        spec, {name: TensorInfo(name, tensor.data.shape, "float32") for name, tensor in tensors.items()}
    )
    times = []
    for _ in range(20):
        started = time.perf_counter()
        decoder(tensors, score_threshold=0.4)
        times.append(time.perf_counter() - started)

    assert min(times) < 0.005
