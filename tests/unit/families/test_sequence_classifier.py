"""Classifiers that read a picture row by row, and what cannot be fed from a camera."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import sequence_classifier
from edgemass.graph import Graph
from edgemass.tensors import Quantization, Tensor, TensorInfo
from tests.unit.families.helpers import classify, graph_of, info, manifest_from, names, recognised

PROBABILITIES = Tensor(np.array([[0.05, 0.05, 0.7, 0.2, 0, 0, 0, 0, 0, 0]], np.float32))


@pytest.mark.parametrize(
    ("dtype", "quantization", "wanted"),
    [
        ("float32", None, (255.0, None, 0)),
        ("uint8", Quantization(1 / 255, 0), (1.0, None, 0)),
        ("int8", Quantization(1 / 255, -128), (1.0, 1.0, -128)),
    ],
)
def test_square_sequences_are_read_as_grey_pictures(
    dtype: str, quantization: Quantization | None, wanted: tuple[float, float | None, int]
) -> None:
    graph = graph_of({"s": PROBABILITIES}, picture=TensorInfo("x", (1, 28, 28), dtype, quantization))

    claim = recognised(sequence_classifier.recognise(graph))

    spec = claim.input
    assert (spec.layout, spec.color, spec.width, spec.height) == ("NHW", "GRAY", 28, 28)
    assert (spec.std[0], spec.scale, spec.zero_point) == wanted
    assert (claim.class_count, claim.default_labels, claim.options["activation"]) == (10, "digits", "none")


def test_the_best_digit_comes_first() -> None:
    graph = graph_of({"s": PROBABILITIES}, picture=TensorInfo("x", (1, 28, 28), "float32"))
    claim = recognised(sequence_classifier.recognise(graph))

    found = classify(manifest_from(claim, "sequence_classifier", names(10)), {"s": PROBABILITIES}, 0.1)

    assert found.class_id.tolist() == [2, 3]


def test_state_is_carried_by_the_stream() -> None:
    state = Tensor(np.zeros((2, 1, 64), np.float32))
    outputs = {"stateN": state, "s": PROBABILITIES}
    graph = graph_of(outputs, picture=TensorInfo("x", (1, 28, 28), "float32"), further_inputs=[info("state", state)])

    claim = recognised(sequence_classifier.recognise(graph))

    assert [(pair.input, pair.output, pair.shape) for pair in claim.state] == [("state", "stateN", (2, 1, 64))]


def test_a_voice_detector_is_refused_and_the_reason_names_what_was_found() -> None:
    graph = Graph(
        "onnx",
        inputs=(
            TensorInfo("input", (None, None), "float32"),
            TensorInfo("state", (2, None, 128), "float32"),
            TensorInfo("sr", (), "int64"),
        ),
        outputs=(TensorInfo("output", (None, 1), "float32"), TensorInfo("stateN", (None, None, None), "float32")),
    )

    with pytest.raises(BundleError, match=r"input \[\?,\?\], state \[2,\?,128\], sr \[\].*sound"):
        sequence_classifier.recognise(graph)


def test_series_that_are_not_square_are_no_pictures() -> None:
    with pytest.raises(BundleError, match="no input takes a picture"):
        sequence_classifier.recognise(graph_of({"s": PROBABILITIES}, picture=TensorInfo("x", (1, 128, 9), "float32")))


def test_ordinary_pictures_are_left_to_the_other_families() -> None:
    assert sequence_classifier.recognise(graph_of({"s": PROBABILITIES})) is None
    assert sequence_classifier.recognise(Graph("onnx", (), ())) is None
