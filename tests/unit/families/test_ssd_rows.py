"""Rows of seven numbers, as Caffe's and OpenVINO's DetectionOutput writes them."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import ssd_rows
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

TENSORS = {"rows": ("r",)}


def rows(rng: np.random.Generator, count: int = 30, used: int = 25) -> FloatArray:
    made = np.zeros((1, 1, count, 7), np.float32)
    made[0, 0, :, 1] = rng.integers(0, 6, count)
    made[0, 0, :, 2:] = rng.random((count, 5))
    made[0, 0, used:, 0] = -1
    return made


def reference(made: FloatArray, threshold: float) -> list[Row]:
    found: list[Row] = []
    for image_id, label, confidence, x1, y1, x2, y2 in made[0, 0].tolist():
        if image_id < -0.5:
            break
        if confidence > threshold and label >= 0.5:
            found.append((x1 * 300, y1 * 300, x2 * 300, y2 * 300, confidence, round(label) - 1))
    return found


@pytest.mark.parametrize("threshold", [0.0, 0.6])
def test_rows_up_to_the_first_negative_image_become_boxes(threshold: float) -> None:
    made = rows(np.random.default_rng(1))

    found = decode(manifest_of("ssd_rows", TENSORS, names(5)), {"r": Tensor(made)}, threshold)

    assert_same(found, reference(made, threshold))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_quantized_rows_decode_as_the_real_ones_they_stand_for(dtype: str) -> None:
    tensor = stored(rows(np.random.default_rng(2), used=30), dtype)

    found = decode(manifest_of("ssd_rows", TENSORS, names(5)), {"r": tensor}, 0.3)

    assert_same(found, reference(tensor.real(), 0.3))


def test_an_empty_list_is_no_detection() -> None:
    made = np.full((1, 1, 10, 7), -1, np.float32)

    assert len(decode(manifest_of("ssd_rows", TENSORS, names(5)), {"r": Tensor(made)}, 0.0)) == 0


def test_labels_that_name_the_background_are_indexed_by_the_graphs_own_numbers() -> None:
    made = rows(np.random.default_rng(3), count=1, used=1)
    made[0, 0, 0, :3] = [0, 3, 0.9]
    labels = ["background", *names(5)]

    found = decode(manifest_of("ssd_rows", TENSORS, labels), {"r": Tensor(made)}, 0.5)

    assert found.class_id.tolist() == [3]


def test_what_is_not_finite_is_no_detection() -> None:
    made = rows(np.random.default_rng(4), count=4, used=4)
    made[0, 0, :, 1] = 1
    made[0, 0, 0, 2] = np.nan
    made[0, 0, 1, 4] = np.inf
    made[0, 0, 2, 1] = np.nan

    assert len(decode(manifest_of("ssd_rows", TENSORS, names(5)), {"r": Tensor(made)}, 0.0)) == 1


def test_another_number_of_columns_is_refused() -> None:
    with pytest.raises(BundleError, match=r"wanted \[1, 1, N, 7\]"):
        decode(manifest_of("ssd_rows", TENSORS, names(5)), {"r": Tensor(np.zeros((1, 1, 10, 6), np.float32))}, 0.5)


@pytest.mark.parametrize(("side", "mean"), [(300, (127.5,)), (512, (0.0,))])
def test_a_single_list_of_sevens_is_recognised(side: int, mean: tuple[float, ...]) -> None:
    made = {"detection_out": Tensor(rows(np.random.default_rng(5)))}
    graph = graph_of(made, picture=TensorInfo("data", (1, 3, side, side), "float32"))

    claim = recognised(ssd_rows.recognise(graph))

    assert (claim.input.color, claim.input.mean) == ("BGR", mean)
    assert claim.tensors == {"rows": ("detection_out",)}
    decode(manifest_from(claim, "ssd_rows", names(20)), made, 0.5)


def test_a_picture_sized_output_is_not_a_list() -> None:
    assert ssd_rows.recognise(graph_of({"out": Tensor(np.zeros((1, 7, 30, 7), np.float32))})) is None
