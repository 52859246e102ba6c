"""Every change of a graph leaves its answers as they were; the reference evaluator of ONNX tells, without a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgemass.bundles.optimize.fold_input import fold_input
from edgemass.bundles.optimize.fuse_hard_swish import fuse_hard_swish
from edgemass.bundles.optimize.onnx_graph_editor import Editor
from edgemass.bundles.optimize.split_convolutions import split_convolutions
from edgemass.manifest import InputSpec
from edgemass.tensors import AnyArray

SIDE = 8
RNG = np.random.default_rng(3)
PICTURE = RNG.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)  # BGR


def model(
    nodes: Sequence[Any], outputs: Sequence[str], *, shape: Sequence[int] = (1, 3, SIDE, SIDE), **constants: Any
) -> Any:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def run(made: Any, x: AnyArray) -> list[AnyArray]:
    return list(ReferenceEvaluator(made).run(None, {"x": x}))


def weights(*shape: int) -> AnyArray:
    return RNG.normal(0, 1, shape).astype(np.float32)


def spec(**changes: Any) -> InputSpec:
    fields: dict[str, Any] = {"name": "x", "layout": "NCHW", "dtype": "float32", "width": SIDE, "height": SIDE}
    return InputSpec(**{**fields, **changes})


def prepared(wanted: InputSpec) -> AnyArray:
    """PICTURE as the stock graph takes it."""
    pixels = PICTURE[..., ::-1] if wanted.color == "RGB" else PICTURE
    real = (pixels.astype(np.float64) - np.asarray(wanted.mean)) / np.asarray(wanted.std)
    placed: AnyArray = real.transpose(0, 3, 1, 2) if wanted.layout == "NCHW" else real
    return placed.astype(wanted.dtype)


CONV = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1])
RECIPES = [
    spec(color="RGB", std=(255.0,)),
    spec(color="BGR", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395)),
    spec(color="RGB", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    spec(color="BGR"),
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [0, 0, 0, 0]])
def test_a_graph_that_takes_pixels_answers_as_before(recipe: InputSpec, pads: list[int]) -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=pads)
    made = model([node], ["y"], w=weights(4, 3, 3, 3), b=weights(4))
    wanted = run(made, prepared(recipe))
    editor = Editor(made)
    folded, against = fold_input(editor, recipe)
    assert (against, folded.dtype, folded.layout, folded.color) == ("", "uint8", "NHWC", "BGR")
    np.testing.assert_allclose(run(editor.model, PICTURE)[0], wanted[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("recipe", RECIPES)
def test_pixels_reach_a_first_operator_that_is_no_convolution(recipe: InputSpec) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], ["y"])
    wanted = run(made, prepared(recipe))
    editor = Editor(made)
    fold_input(editor, recipe)
    np.testing.assert_allclose(run(editor.model, PICTURE)[0], wanted[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_focus_becomes_one_convolution_of_the_picture(recipe: InputSpec) -> None:
    nodes = []
    for index, (row, column) in enumerate(((0, 0), (1, 0), (0, 1), (1, 1))):
        parts = {f"s{index}": np.array([row, column])}
        nodes.append(helper.make_node("Slice", ["x", f"s{index}", "ends", "axes", "steps"], [f"p{index}"]))
        FOCUS.update(parts)
    nodes.append(helper.make_node("Concat", ["p0", "p1", "p2", "p3"], ["stacked"], axis=1))
    nodes.append(helper.make_node("Conv", ["stacked", "w", "b"], ["y"], pads=[1, 1, 1, 1]))
    made = model(nodes, ["y"], w=weights(4, 12, 3, 3), b=weights(4), **FOCUS)
    wanted = run(made, prepared(recipe))
    editor = Editor(made)
    fold_input(editor, recipe)
    np.testing.assert_allclose(run(editor.model, PICTURE)[0], wanted[0], rtol=1e-4, atol=1e-4)
    assert not {"Slice", "Concat", "Gather"} & {node.op_type for node in Editor(pruned(editor)).nodes}


def pruned(editor: Editor) -> Any:
    editor.prune()
    return editor.model


FOCUS: dict[str, Any] = {
    "ends": np.array([2**31 - 1, 2**31 - 1]),
    "axes": np.array([2, 3]),
    "steps": np.array([2, 2]),
}


@pytest.mark.parametrize("first", ["Transpose", "Relu"])
def test_an_interleaved_picture_is_taken_as_it_is(first: str) -> None:
    recipe = spec(layout="NHWC", color="RGB", mean=(127.5,), std=(127.5,))
    attributes: dict[str, Any] = {"perm": [0, 3, 1, 2]} if first == "Transpose" else {}
    nodes = [helper.make_node(first, ["x"], ["t"], **attributes), helper.make_node("Identity", ["t"], ["y"])]
    made = model(nodes, ["y"], shape=(1, SIDE, SIDE, 3))
    wanted = run(made, prepared(recipe))
    editor = Editor(made)
    fold_input(editor, recipe)
    np.testing.assert_allclose(run(editor.model, PICTURE)[0], wanted[0], rtol=1e-5, atol=1e-5)


def test_a_graph_that_takes_pixels_already_is_left_alone() -> None:
    editor = Editor(model([CONV], ["y"], w=weights(4, 3, 3, 3), b=weights(4)))
    before = editor.model.SerializeToString()
    _, against = fold_input(editor, spec(dtype="uint8"))
    assert "already" in against
    assert editor.model.SerializeToString() == before


SPLITS = {
    "silu": [helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Mul", ["c", "s"], ["a"])],
    "relu": [helper.make_node("Relu", ["c"], ["a"])],
    "none": [helper.make_node("Identity", ["c"], ["a"])],
}


@pytest.mark.parametrize("activation", SPLITS)
@pytest.mark.parametrize("sizes", [(2, 4), (1, 2, 3), None])
def test_a_convolution_in_parts_computes_what_was_split(activation: str, sizes: tuple[int, ...] | None) -> None:
    outputs = ["p", "q", "r"][: len(sizes) if sizes else 2]
    given: dict[str, Any] = {"sizes": np.array(sizes)} if sizes else {}
    split = helper.make_node("Split", ["a", *given], outputs, axis=1)
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4), *SPLITS[activation], split]
    made = model(nodes, outputs, w=weights(6, 3, 3, 3), b=weights(6), **given)
    x = weights(1, 3, SIDE, SIDE)
    wanted = run(made, x)
    editor = Editor(made)
    assert split_convolutions(editor) == 1
    assert not any(node.op_type == "Split" for node in editor.nodes)
    for ours, theirs in zip(run(editor.model, x), wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_convolution_that_others_read_too_stays_whole() -> None:
    nodes = [CONV, helper.make_node("Split", ["y"], ["p", "q"], axis=1), helper.make_node("Relu", ["y"], ["z"])]
    editor = Editor(model(nodes, ["p", "q", "z"], w=weights(4, 3, 3, 3), b=weights(4)))
    assert split_convolutions(editor) == 0


def as_constants(numbers: dict[str, float]) -> dict[str, Any]:
    return {name: np.array(value, np.float32) for name, value in numbers.items()}


@pytest.mark.parametrize("last", [("Div", 6.0), ("Mul", 1 / 6)])
def test_a_hard_swish_of_four_operators_becomes_two(last: tuple[str, float]) -> None:
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "six"], ["c"]),
        helper.make_node("Mul", ["x", "c"], ["m"]),
        helper.make_node(last[0], ["m", "factor"], ["y"]),
    ]
    numbers = {"three": 3.0, "zero": 0.0, "six": 6.0, "factor": last[1]}
    made = model(nodes, ["y"], **as_constants(numbers))
    x = weights(1, 3, SIDE, SIDE) * 4
    wanted = run(made, x)
    editor = Editor(made)
    assert fuse_hard_swish(editor) == 1
    assert len(editor.nodes) == 2
    np.testing.assert_allclose(run(editor.model, x)[0], wanted[0], rtol=1e-5, atol=1e-6)


def test_something_like_a_hard_swish_is_left_alone() -> None:
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"]),
        helper.make_node("Clip", ["a", "zero", "six"], ["c"]),
        helper.make_node("Mul", ["x", "c"], ["m"]),
        helper.make_node("Div", ["m", "six"], ["y"]),
    ]
    numbers = {"three": 2.5, "zero": 0.0, "six": 6.0}
    editor = Editor(model(nodes, ["y"], **as_constants(numbers)))
    assert fuse_hard_swish(editor) == 0


def test_what_no_output_needs_is_dropped_and_constants_are_no_inputs() -> None:
    made = model([CONV, helper.make_node("Relu", ["y"], ["z"])], ["y", "z"], w=weights(4, 3, 3, 3), b=weights(4))
    made.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3, 3, 3]))
    made.graph.initializer.append(numpy_helper.from_array(weights(9), "unused"))
    editor = Editor(made)
    editor.answer_with([helper.make_empty_tensor_value_info("y")])
    assert [node.op_type for node in editor.nodes] == ["Conv"]
    assert [value.name for value in editor.model.graph.input] == ["x"]
    assert {tensor.name for tensor in editor.model.graph.initializer} == {"w", "b"}
