"""Classifiers of pictures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgemass.errors import BundleError
from edgemass.families import classifier
from edgemass.graph import Graph, Node
from edgemass.tensors import FloatArray, Quantization, Tensor, TensorInfo
from tests.unit.families.helpers import classify, graph_of, info, manifest_of, names, recognised, stored

TENSORS = {"scores": ("s",)}


def logits(count: int = 12, seed: int = 1) -> FloatArray:
    return np.random.default_rng(seed).normal(0, 2, (1, count)).astype(np.float32)


def picture_graph(
    scores: FloatArray,
    shape: tuple[int | None, ...] = (1, 3, 224, 224),
    dtype: str = "float32",
    quantization: Quantization | None = None,
    nodes: tuple[Node, ...] = (),
    format_: str = "onnx",
) -> Graph:
    picture = TensorInfo("data", shape, dtype, quantization)
    return graph_of({"s": Tensor(scores)}, picture=picture, nodes=nodes, format_=format_)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
@pytest.mark.parametrize("shape", [(1, 12), (1, 12, 1, 1), (1, 1, 1, 12)])
def test_the_best_classes_come_first(dtype: str, activation: str, shape: tuple[int, ...]) -> None:
    raw = logits() if activation != "none" else (1 / (1 + np.exp(-logits()))).astype(np.float32)
    tensor = stored(raw.reshape(shape), dtype)
    spec = manifest_of("classifier", TENSORS, names(12), options={"activation": activation}, task="classification")

    found = classify(spec, {"s": tensor}, 0.0)

    values = tensor.real().reshape(-1).tolist()
    total = sum(math.exp(value) for value in values)
    wanted = {
        "softmax": [math.exp(value) / total for value in values],
        "sigmoid": [1 / (1 + math.exp(-value)) for value in values],
        "none": values,
    }[activation]
    best = sorted(range(12), key=lambda i: -wanted[i])[:5]
    np.testing.assert_allclose(found.score, [wanted[i] for i in best], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose([wanted[i] for i in found.class_id], found.score, rtol=1e-4, atol=1e-6)


def test_only_classes_above_the_threshold_are_an_answer() -> None:
    scores = np.array([[0.2, 0.5, 0.3, 0.0, np.nan]], np.float32)
    spec = manifest_of("classifier", TENSORS, names(5), options={"activation": "none"}, task="classification")

    assert classify(spec, {"s": Tensor(scores)}, 0.25).class_id.tolist() == [1, 2]
    assert classify(spec, {"s": Tensor(scores)}, 0.5).class_id.tolist() == []


def test_the_number_of_classes_in_an_answer_can_be_set() -> None:
    options = {"activation": "softmax", "top": 2}
    spec = manifest_of("classifier", TENSORS, names(12), options=options, task="classification")

    assert len(classify(spec, {"s": Tensor(logits())}, 0.0)) == 2


@pytest.mark.parametrize(("labels", "wanted"), [(1001, 7), (1000, 6)])
def test_1001_columns_take_labels_with_and_without_the_background(labels: int, wanted: int) -> None:
    scores = np.zeros((1, 1001), np.float32)
    scores[0, 0], scores[0, 7] = 0.6, 0.4
    spec = manifest_of("classifier", TENSORS, names(labels), options={"activation": "none"}, task="classification")

    found = classify(spec, {"s": Tensor(scores)}, 0.1)

    assert found.class_id.tolist() == ([0, wanted] if labels == 1001 else [wanted])


@pytest.mark.parametrize(("columns", "labels"), [(12, 11), (12, 13), (1001, 999)])
def test_labels_that_do_not_fit_are_refused_with_both_numbers(columns: int, labels: int) -> None:
    spec = manifest_of("classifier", TENSORS, names(labels), task="classification")

    with pytest.raises(BundleError, match=rf"{labels} labels.*{columns} classes"):
        classify(spec, {"s": Tensor(logits(columns))}, 0.0)


def test_an_applied_softmax_is_seen_through_operators_that_only_move_numbers() -> None:
    nodes = (Node("Softmax", ("x",), ("y",)), Node("Flatten", ("y",), ("z",)), Node("DequantizeLinear", ("z",), ("s",)))

    claim = recognised(classifier.recognise(picture_graph(logits(), nodes=nodes)))

    assert claim.options["activation"] == "none"


def test_an_applied_softmax_is_seen_in_the_values_where_operators_do_not_tell() -> None:
    applied = np.exp(logits()) / np.exp(logits()).sum()

    assert recognised(classifier.recognise(picture_graph(applied))).options["activation"] == "none"
    assert recognised(classifier.recognise(picture_graph(logits()))).options["activation"] == "softmax"


@pytest.mark.parametrize(
    ("shape", "color", "mean", "short_side"),
    [
        ((1, 3, 224, 224), "RGB", (123.675, 116.28, 103.53), 256),
        ((1, 3, 227, 227), "BGR", (104.0, 117.0, 123.0), 259),
        ((None, 3, None, None), "RGB", (123.675, 116.28, 103.53), 256),
        ((1, 224, 224, 3), "RGB", (127.5,), 256),
        ((1, 299, 299, 3), "RGB", (127.5,), 342),
    ],
)
def test_float_pictures_follow_the_published_recipe_of_their_size_and_layout(
    shape: tuple[int | None, ...], color: str, mean: tuple[float, ...], short_side: int
) -> None:
    claim = recognised(classifier.recognise(picture_graph(logits(1000), shape)))

    assert (claim.input.color, claim.input.mean, claim.input.resize.short_side) == (color, mean, short_side)
    assert (claim.input.resize.rule, claim.default_labels) == ("center-crop", "imagenet1000")
    assert any(color in line for line in claim.assumed)


@pytest.mark.parametrize(
    ("dtype", "quantization", "mean", "scale"),
    [
        ("uint8", Quantization(0.0078125, 128), (0.0,), None),  # -1..1
        ("uint8", Quantization(1 / 255, 0), (0.0,), None),  # 0..1
        ("uint8", None, (0.0,), None),
        ("int8", Quantization(1 / 255, -128), (0.0,), 1.0),  # stored = pixel - 128
        ("int8", Quantization(1.074509859085083, -14), (104.0, 117.0, 123.0), 1.074509859085083),
        ("int8", Quantization(0.0187, -14), (123.675, 116.28, 103.53), 0.0187),
    ],
)
def test_the_real_range_of_integer_pixels_tells_the_recipe(
    dtype: str, quantization: Quantization | None, mean: tuple[float, ...], scale: float | None
) -> None:
    graph = picture_graph(logits(1000), (1, 227, 227, 3), dtype, quantization, format_="tflite")

    spec = recognised(classifier.recognise(graph)).input

    assert (spec.mean, spec.scale) == (mean, scale)


def test_an_ultralytics_classifier_takes_plain_fractions() -> None:
    graph = picture_graph(logits(1000))
    graph = Graph(graph.format, graph.inputs, graph.outputs, metadata={"task": "classify"}, runs=graph.runs)

    spec = recognised(classifier.recognise(graph)).input

    assert (spec.mean, spec.std, spec.resize.short_side) == ((0.0,), (255.0,), 224)


def test_small_grey_pictures_of_ten_classes_are_digits() -> None:
    claim = recognised(classifier.recognise(picture_graph(logits(10), (1, 28, 28, 1))))

    assert (claim.default_labels, claim.input.color, claim.input.resize.rule) == ("digits", "GRAY", "stretch")


def test_state_that_is_carried_over_is_no_second_answer() -> None:
    state = Tensor(np.zeros((1, 64), np.float32))
    graph = graph_of({"hn": state, "s": Tensor(logits(7))}, further_inputs=[info("h0", state)])

    claim = recognised(classifier.recognise(graph))

    assert claim.tensors == {"scores": ("s",)}
    assert [(pair.input, pair.output) for pair in claim.state] == [("h0", "hn")]


@pytest.mark.parametrize("shape", [(605, 95), (1, 84, 8400), (1, 255, 10, 10), (1, 1), (1, 100, 4)])
def test_outputs_that_are_no_list_of_classes_are_somebody_elses(shape: tuple[int, ...]) -> None:
    assert classifier.recognise(picture_graph(np.zeros(shape, np.float32))) is None


@pytest.mark.parametrize(("name", "kinds", "color"), [("data_0", ["Softmax"], "BGR"), ("data_0", [], "RGB")])
def test_what_the_model_zoo_took_from_caffe_takes_its_pixels(name: str, kinds: list[str], color: str) -> None:
    """Without a softmax at its end it is DenseNet, which was trained with other numbers."""
    nodes = tuple(Node(kind, ("x",), ("s",)) for kind in kinds)
    graph = picture_graph(logits(1000), nodes=nodes)
    graph = replace(graph, inputs=(replace(graph.inputs[0], name=name),))

    spec = recognised(classifier.recognise(graph)).input

    assert spec.color == color
    assert (spec.mean == (104.0, 117.0, 123.0)) is (color == "BGR")
