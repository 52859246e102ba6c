"""Detectors whose graph ends in pixels and whose number of rows is free."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import faster_rcnn
from edgemass.graph import Graph, Node
from edgemass.tensors import Tensor, TensorInfo
from tests.unit.families.helpers import Row, assert_same, decode, manifest_from, manifest_of, names, recognised

TENSORS = {"boxes": ("boxes",), "labels": ("labels",), "scores": ("scores",)}


def answer(rng: np.random.Generator, rows: int = 30) -> dict[str, Tensor]:
    return {
        "boxes": Tensor(rng.uniform(0, 800, (rows, 4)).astype(np.float32)),
        "labels": Tensor(rng.integers(1, 6, rows)),
        "scores": Tensor(rng.random(rows).astype(np.float32)),
    }


def reference(given: dict[str, Tensor], threshold: float) -> list[Row]:
    rows = zip(given["boxes"].data.tolist(), given["scores"].data.tolist(), given["labels"].data.tolist(), strict=True)
    return [(box[0], box[1], box[2], box[3], score, label - 1) for box, score, label in rows if score > threshold]


@pytest.mark.parametrize("rows", [0, 1, 30])
def test_rows_above_the_threshold_are_the_boxes(rows: int) -> None:
    given = answer(np.random.default_rng(1), rows)
    spec = manifest_of("faster_rcnn", TENSORS, names(5), size=None)

    assert_same(decode(spec, given, 0.4), reference(given, 0.4))


def test_background_and_classes_without_a_label_are_left_out() -> None:
    given = answer(np.random.default_rng(2), 3) | {"labels": Tensor(np.array([0, 1, 6]))}

    found = decode(manifest_of("faster_rcnn", TENSORS, names(5), size=None), given, 0.0)

    assert found.class_id.tolist() == [0]


def test_what_is_not_finite_is_no_detection() -> None:
    given = answer(np.random.default_rng(3), 3)
    given["scores"].data[0] = np.nan
    given["boxes"].data[1, 1] = np.inf

    assert len(decode(manifest_of("faster_rcnn", TENSORS, names(5), size=None), given, 0.0)) == 1


def test_boxes_with_another_number_of_columns_are_refused() -> None:
    given = answer(np.random.default_rng(4)) | {"boxes": Tensor(np.zeros((30, 5), np.float32))}

    with pytest.raises(BundleError, match=r"wanted \[n, 4\]"):
        decode(manifest_of("faster_rcnn", TENSORS, names(5), size=None), given, 0.0)


def graph(*kinds: str, order: str = "bls", shape: tuple[int | None, ...] = (3, None, None)) -> Graph:
    """A picture that passes operators of these kinds, and three outputs with a free number of rows."""
    infos = {
        "b": TensorInfo("boxes", (None, 4), "float32"),
        "l": TensorInfo("labels", (None,), "int64"),
        "s": TensorInfo("scores", (None,), "float32"),
        "m": TensorInfo("masks", (None, 1, 28, 28), "float32"),
    }
    nodes = [Node(kind, (f"t{i}",), (f"t{i + 1}",)) for i, kind in enumerate(kinds)]
    nodes = [Node("Shape", ("t0",), ("side",)), Node("Constant", (), ("mean",)), *nodes]
    return Graph("onnx", (TensorInfo("t0", shape, "float32"),), tuple(infos[role] for role in order), tuple(nodes))


@pytest.mark.parametrize("order", ["bls", "bsl", "lbs", "sblm"])
def test_the_zoos_faster_rcnn_is_recognised_in_any_order(order: str) -> None:
    claim = recognised(faster_rcnn.recognise(graph("Unsqueeze", "Conv", order=order)))

    assert claim.tensors == TENSORS
    assert (claim.input.layout, claim.input.color, claim.default_labels) == ("CHW", "BGR", "coco80")
    assert claim.input.mean == (102.9801, 115.9465, 122.7717)
    resize = claim.input.resize
    assert (resize.rule, resize.short_side, resize.long_side, resize.multiple) == ("shortest-edge", 800, 1333, 32)
    decode(manifest_from(claim, "faster_rcnn", names(80)), answer(np.random.default_rng(5)), 0.5)


def test_a_graph_that_normalises_itself_is_torchvisions() -> None:
    claim = recognised(faster_rcnn.recognise(graph("Sub", "Div", "Unsqueeze", "Resize", "Conv")))

    assert (claim.input.color, claim.input.mean, claim.input.std) == ("RGB", (0.0,), (255.0,))
    assert claim.default_labels == "coco90"  # its labels are COCO's ids with gaps


def test_a_graph_that_resizes_itself_is_not_fed_padding() -> None:
    claim = recognised(faster_rcnn.recognise(graph("Add", "Gather", "Div", "Unsqueeze", "Resize", "Conv")))

    assert claim.input.resize.multiple == 1
    assert claim.input.color == "BGR"


def test_a_fixed_picture_keeps_its_shape() -> None:
    claim = recognised(faster_rcnn.recognise(graph("Conv", shape=(1, 3, 480, 640))))

    assert (claim.input.width, claim.input.height, claim.input.resize.rule) == (640, 480, "letterbox-top-left")


@pytest.mark.parametrize("order", ["bl", "bls", "ls"])
def test_other_sets_of_outputs_are_somebody_elses(order: str) -> None:
    shape = (1, 1, 28, 28) if order == "bls" else (3, None, None)  # a grey picture is none of a detector's

    assert faster_rcnn.recognise(graph("Conv", order=order, shape=shape)) is None
