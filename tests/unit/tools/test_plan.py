"""Which nodes go to 8 bits, on a small graph that is never run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra import enables this")
pytest.importorskip("onnxruntime", reason="the extra onnx enables this")

from edgemass_tools.int8.float_graph import FloatGraph  # noqa: E402 (both want what may be absent)
from edgemass_tools.int8.plan import plan  # noqa: E402 (as above)


def graph() -> FloatGraph:
    """Three convolutions with SiLU, then a sigmoid that decodes."""
    make = onnx.helper.make_node
    nodes: list[Any] = []
    constants = []
    values = []
    last = "x"
    for number in range(3):
        constants.append(onnx.numpy_helper.from_array(np.zeros((4, 4, 1, 1), np.float32), f"w{number}"))
        nodes.append(make("Conv", [last, f"w{number}"], [f"c{number}"], f"conv{number}"))
        if number < 2:
            nodes.append(make("Sigmoid", [f"c{number}"], [f"s{number}"], f"sigmoid{number}"))
            nodes.append(make("Mul", [f"c{number}", f"s{number}"], [f"a{number}"], f"mul{number}"))
        last = f"a{number}"
        values += [name for node in nodes[-3:] for name in node.output]
    nodes.append(make("Sigmoid", ["c2"], ["out"], "decode"))
    kind = onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes,
        "three",
        [info("x", kind, [1, 4, 8, 8])],
        [info("out", kind, [1, 4, 8, 8])],
        constants,
        value_info=[info(name, kind, [1, 4, 8, 8]) for name in dict.fromkeys(values)],
    )
    return FloatGraph(onnx.helper.make_model(made))


def test_the_first_weights_and_what_decodes_stay_in_float() -> None:
    found = plan(graph(), {}, 0.01)
    assert found.int8 == {"conv1", "sigmoid1", "mul1", "conv2"}
    assert (found.weighted, found.float_weighted) == (3, 1)


def test_the_heads_are_the_last_weights() -> None:
    assert graph().heads == (("c2", 1),)


def test_what_hurts_stays_in_float_until_the_rest_is_within_the_budget() -> None:
    assert "conv2" not in plan(graph(), {"a1": 0.5, "c1": 0.004, "c2": 0.003}, 0.01).int8
    assert "conv2" in plan(graph(), {"a1": 0.5, "c1": 0.004, "c2": 0.003}, 1.0).int8


def test_activations_between_float_layers_are_not_rounded() -> None:
    found = plan(graph(), {"c1": 0.5}, 0.01)
    assert found.int8 == {"conv2"}


def test_at_equal_error_the_layer_with_less_work_goes_back_to_float() -> None:
    """a1 lies between a Mul and a convolution, s1 between a Sigmoid and that Mul."""
    found = plan(graph(), {"a1": 0.01, "s1": 0.01}, 0.01)
    assert "conv2" in found.int8
    assert "sigmoid1" not in found.int8
