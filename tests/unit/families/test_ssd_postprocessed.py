"""SSD with suppression in the graph."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from edgemass import families
from edgemass.bundles.labels import NAMED
from edgemass.errors import BundleError
from edgemass.families import ssd_postprocessed
from edgemass.graph import Graph, Node
from edgemass.manifest import Manifest
from edgemass.tensors import FloatArray, Quantization, Tensor, TensorInfo
from tests.unit.families.helpers import (
    Row,
    assert_same,
    decode,
    graph_of,
    info,
    manifest_from,
    manifest_of,
    names,
    recognised,
    stored,
)

UINT8_PICTURE = TensorInfo("image", (1, 300, 300, 3), "uint8", Quantization(0.0078125, 128))
TENSORS = {"boxes": ("b",), "classes": ("c",), "scores": ("s",), "count": ("n",)}


def outputs(
    rng: np.random.Generator, rows: int = 20, *, valid: int | None = None, classes: int = 5
) -> dict[str, Tensor]:
    return {
        "b": Tensor(rng.random((1, rows, 4)).astype(np.float32)),
        "c": Tensor(rng.integers(0, classes, (1, rows)).astype(np.float32)),
        "s": Tensor(rng.random((1, rows)).astype(np.float32)),
        "n": Tensor(np.array([rows if valid is None else valid], np.float32)),
    }


def reference(values: Mapping[str, FloatArray], threshold: float, width: int, height: int) -> list[Row]:
    """Row by row: ymin, xmin, ymax, xmax as fractions."""
    found = []
    for i in range(int(values["n"][0])):
        score = float(values["s"][0, i])
        if score > threshold:
            y1, x1, y2, x2 = (float(side) for side in values["b"][0, i])
            found.append((x1 * width, y1 * height, x2 * width, y2 * height, score, int(values["c"][0, i])))
    return found


def manifest(labels: Sequence[str], *, size: tuple[int, int] = (300, 300), **options: Any) -> Manifest:
    return manifest_of("ssd_postprocessed", TENSORS, labels, options=options, size=size)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.99])
def test_rows_become_the_boxes_that_the_operator_means(dtype: str, threshold: float) -> None:
    rng = np.random.default_rng(1)
    given = outputs(rng, valid=17)
    given["b"], given["s"] = stored(given["b"].data, dtype), stored(given["s"].data, dtype)

    found = decode(manifest(names(5), size=(320, 200)), given, threshold)

    assert_same(found, reference({name: tensor.real() for name, tensor in given.items()}, threshold, 320, 200))


def test_rows_beyond_the_count_are_left_over_from_earlier_frames_and_ignored() -> None:
    given = outputs(np.random.default_rng(2), valid=3)

    assert len(decode(manifest(names(5)), given, 0.0)) == 3


@pytest.mark.parametrize("count", [float("nan"), -1.0, 0.0])
def test_a_count_that_is_no_number_means_no_rows(count: float) -> None:
    given = outputs(np.random.default_rng(2)) | {"n": Tensor(np.array([count], np.float32))}

    assert len(decode(manifest(names(5)), given, 0.0)) == 0


def test_without_a_count_every_row_counts() -> None:
    given = outputs(np.random.default_rng(3))
    del given["n"]
    spec = manifest_of("ssd_postprocessed", {role: TENSORS[role] for role in ("boxes", "classes", "scores")}, names(5))

    assert len(decode(spec, given, 0.0)) == 20


def test_what_is_not_a_number_is_no_detection() -> None:
    given = outputs(np.random.default_rng(4), rows=4)
    given["s"].data[0, 0] = np.nan
    given["b"].data[0, 1, 2] = np.inf
    given["c"].data[0, 2] = np.nan

    assert len(decode(manifest(names(5)), given, 0.0)) == 1


def test_a_class_without_a_label_is_left_out_and_not_misnamed() -> None:
    given = outputs(np.random.default_rng(5), rows=3)
    given["c"].data[0] = [0, 4, 5]

    found = decode(manifest(names(5)), given, 0.0)

    assert sorted(found.class_id.tolist()) == [0, 4]


def test_ninety_labels_begin_with_class_0() -> None:
    given = outputs(np.random.default_rng(6), rows=1)
    given["c"].data[0] = [16]  # COCO's category 17

    found = decode(manifest(NAMED["coco90"], class_count=90), given, 0.0)

    assert NAMED["coco90"][found.class_id[0]] == "cat"


def test_ninety_one_labels_with_the_background_first_are_shifted_by_one() -> None:
    given = outputs(np.random.default_rng(6), rows=1)
    given["c"].data[0] = [16]
    labels = ("???", *NAMED["coco90"])

    cases: list[dict[str, Any]] = [{"class_count": 90}, {}]
    for options in cases:
        found = decode(manifest(labels, **options), given, 0.0)
        assert labels[found.class_id[0]] == "cat"


@pytest.mark.parametrize("options", [{"class_count": 90}, {}])
def test_eighty_labels_without_gaps_are_refused_since_they_would_name_most_classes_wrongly(
    options: Mapping[str, Any],
) -> None:
    given = outputs(np.random.default_rng(7))

    with pytest.raises(BundleError, match="90 labels"):
        decode(manifest(NAMED["coco80"], **options), given, 0.5)


def test_eighty_labels_are_taken_when_the_graph_is_said_to_have_eighty_classes() -> None:
    given = outputs(np.random.default_rng(7))

    assert len(decode(manifest(NAMED["coco80"], class_count=80), given, 0.0)) == 20


def test_boxes_with_another_number_of_columns_are_refused() -> None:
    given = outputs(np.random.default_rng(7))
    given["b"] = Tensor(np.zeros((1, 20, 5), np.float32))

    with pytest.raises(BundleError, match=r"wanted \[1, N, 4\]"):
        decode(manifest(names(5)), given, 0.5)


def tflite_graph(order: Sequence[str], *, classes: int | None = None, ran: bool = True) -> Graph:
    """A file whose outputs come in `order` (b, c, s, n), as newer exporters permute them."""
    rng = np.random.default_rng(8)
    values = outputs(rng, classes=3)
    operator = Node(
        "TFLite_Detection_PostProcess",
        ("box_encodings", "class_predictions", "anchors"),
        tuple(f"StatefulPartitionedCall:{order.index(role)}" for role in "bcsn"),
        {} if classes is None else {"num_classes": classes, "max_detections": 20},
    )
    named = {f"StatefulPartitionedCall:{i}": values[role] for i, role in enumerate(order)}
    return graph_of(named, picture=UINT8_PICTURE, nodes=[operator], format_="tflite", ran=ran)


@pytest.mark.parametrize("order", list(itertools.permutations("bcsn")))
def test_the_operator_tells_the_roles_whatever_order_the_file_has(order: Sequence[str]) -> None:
    claim = recognised(ssd_postprocessed.recognise(tflite_graph(order, classes=90, ran=False)))

    for role, letter in (("boxes", "b"), ("classes", "c"), ("scores", "s"), ("count", "n")):
        assert claim.tensors[role] == (f"StatefulPartitionedCall:{order.index(letter)}",)
    assert claim.default_labels == "coco90"


@pytest.mark.parametrize("order", list(itertools.permutations("bcsn")))
def test_without_the_operator_shapes_and_values_tell_the_roles(order: Sequence[str]) -> None:
    values = outputs(np.random.default_rng(9))
    graph = graph_of({f"out{i}": values[role] for i, role in enumerate(order)}, picture=UINT8_PICTURE)

    claim = recognised(ssd_postprocessed.recognise(graph))

    for role, letter in (("boxes", "b"), ("classes", "c"), ("scores", "s"), ("count", "n")):
        assert claim.tensors[role] == (f"out{order.index(letter)}",)


def test_a_declared_number_of_classes_is_the_number_of_labels() -> None:
    claim = recognised(ssd_postprocessed.recognise(tflite_graph("bcsn", classes=3)))

    assert claim.class_count == 3
    assert claim.default_labels == ""


def test_uint8_pixels_go_in_as_they_are() -> None:
    claim = recognised(ssd_postprocessed.recognise(tflite_graph("bcsn", classes=90)))

    assert (claim.input.scale, claim.input.mean, claim.input.std) == (None, (0.0,), (1.0,))
    assert (claim.input.color, claim.input.layout) == ("RGB", "NHWC")


def test_tensorflows_object_detection_api_counts_classes_from_1() -> None:
    rng = np.random.default_rng(10)
    values = outputs(rng)
    graph = graph_of(
        {
            "detection_anchor_indices": values["s"],
            "detection_boxes:0": values["b"],
            "detection_classes:0": Tensor(rng.integers(1, 91, (1, 20)).astype(np.float32)),
            "detection_scores:0": values["s"],
            "num_detections:0": values["n"],
            "raw_detection_boxes": Tensor(rng.random((1, 1917, 4)).astype(np.float32)),
        },
        picture=TensorInfo("image_tensor:0", (1, None, None, 3), "uint8"),
    )

    claim = recognised(ssd_postprocessed.recognise(graph))
    found = decode(manifest_from(claim, "ssd_postprocessed", NAMED["coco90"]), graph.runs[0], 0.0)

    assert claim.options["class_offset"] == 1
    assert claim.default_labels == "coco90"
    wanted = graph.runs[0]["detection_classes:0"].data[0].astype(int) - 1
    assert sorted(found.class_id.tolist()) == sorted(wanted.tolist())
    assert any("resizes pictures itself" in line for line in claim.assumed)


def test_the_onnx_zoos_ssd_gives_left_top_right_bottom_and_counts_from_1() -> None:
    graph = graph_of(
        {
            "bboxes": Tensor(np.array([[[0.1, 0.2, 0.3, 0.6]]], np.float32)),
            "labels": Tensor(np.array([[1]], np.int64)),
            "scores": Tensor(np.array([[0.9]], np.float32)),
        },
        picture=TensorInfo("image", (1, 3, 1200, 1200), "float32"),
    )

    claim = recognised(ssd_postprocessed.recognise(graph))
    found = decode(manifest_from(claim, "ssd_postprocessed", NAMED["coco80"]), graph.runs[0], 0.5)

    assert_same(found, [(120, 240, 360, 720, 0.9, 0)])
    assert claim.input.mean == (123.675, 116.28, 103.53)  # ImageNet's, as its page in the zoo says


def test_state_of_an_lstm_ssd_is_paired_by_name() -> None:
    graph = tflite_graph("bcsn", classes=3)
    state = Tensor(np.zeros((1, 8, 8, 320), np.uint8), Quantization(0.02, 0))
    values = dict(graph.runs[0]) | {"raw_outputs/lstm_h": state, "raw_outputs/lstm_c": state}
    further = [info("raw_inputs/init_lstm_c", state), info("raw_inputs/init_lstm_h", state)]
    stateful = graph_of(values, picture=UINT8_PICTURE, further_inputs=further, nodes=graph.nodes, format_="tflite")

    claim = recognised(ssd_postprocessed.recognise(stateful))

    assert [(pair.input, pair.output) for pair in claim.state] == [
        ("raw_inputs/init_lstm_c", "raw_outputs/lstm_c"),
        ("raw_inputs/init_lstm_h", "raw_outputs/lstm_h"),
    ]


def test_boxes_in_pixels_are_somebody_elses() -> None:
    values = outputs(np.random.default_rng(11))
    values["b"] = Tensor(values["b"].data * 640)

    assert ssd_postprocessed.recognise(graph_of(values, picture=UINT8_PICTURE)) is None


def test_options_that_do_not_exist_are_refused_by_name() -> None:
    with pytest.raises(BundleError, match="class_ofset"):
        families.options(manifest(names(5), class_ofset=1), ssd_postprocessed.Options)
