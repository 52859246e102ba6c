"""Ranges in front of functions that are flat somewhere, computed by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra import enables this")
pytest.importorskip("onnxruntime", reason="the extra onnx enables this")

from edgemass_tools.int8 import activation  # noqa: E402 (wants what may be absent)
from edgemass_tools.int8.float_graph import FloatGraph  # noqa: E402 (as above)

pytestmark = [pytest.mark.runtime]

make = onnx.helper.make_node


def graph(function: Sequence[Any], **constants: float) -> FloatGraph:
    """A convolution c, then the function of c that ends in `out`."""
    held = [onnx.numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    weights = onnx.numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), "w")
    kind = onnx.TensorProto.FLOAT
    info = onnx.helper.make_tensor_value_info
    nodes = [make("Conv", ["x", "w"], ["c"], "conv"), *function]
    for number, node in enumerate(nodes):
        node.name = node.name or f"node{number}"
    names = [name for node in nodes[:-1] for name in node.output]
    made = onnx.helper.make_graph(
        nodes,
        "function",
        [info("x", kind, [1, 1, 4, 4])],
        [info("out", kind, [1, 1, 4, 4])],
        [weights, *held],
        value_info=[info(name, kind, [1, 1, 4, 4]) for name in names],
    )
    return FloatGraph(onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8))


SILU = [make("Sigmoid", ["c"], ["s"]), make("Mul", ["c", "s"], ["out"])]


def test_silu_needs_no_steps_far_below_zero() -> None:
    found = activation.clipped(graph(SILU), {"c": (-40.0, 10.0), "out": (-0.28, 10.0)})
    low, high = found["c"]
    assert -8 < low < -4
    assert high == pytest.approx(10, abs=0.1)
    assert found["out"] == (-0.28, 10.0)


def test_a_hard_swish_of_four_nodes_needs_none_below_minus_3() -> None:
    nodes = [
        make("Add", ["c", "three"], ["sum"]),
        make("Clip", ["sum", "zero", "six"], ["gate"]),
        make("Mul", ["c", "gate"], ["product"]),
        make("Div", ["product", "six"], ["out"]),
    ]
    ranges = {"c": (-40.0, 10.0), "product": (-2.25, 60.0), "out": (-0.375, 10.0)}
    found = activation.clipped(graph(nodes, three=3, zero=0, six=6), ranges)
    assert found["c"] == pytest.approx((-3, 10), abs=0.1)


def test_a_hard_sigmoid_is_flat_at_both_ends() -> None:
    found = activation.clipped(graph([make("HardSigmoid", ["c"], ["out"])]), {"c": (-40.0, 40.0), "out": (0.0, 1.0)})
    assert found["c"] == pytest.approx((-2.5, 2.5), abs=0.1)


def test_what_something_else_reads_too_keeps_its_range() -> None:
    other = [*SILU[:1], make("Mul", ["c", "s"], ["a"]), make("MaxPool", ["c"], ["m"], kernel_shape=[1, 1])]
    nodes = [*other, make("Add", ["a", "m"], ["out"])]
    assert activation.clipped(graph(nodes), {"c": (-40.0, 10.0), "a": (-0.3, 10.0)})["c"] == (-40.0, 10.0)


def test_zero_stays_inside_the_range() -> None:
    found = activation.clipped(graph(SILU), {"c": (-40.0, 0.0), "out": (-0.28, 0.0)})
    assert found["c"][0] < 0
    assert found["c"][1] == 0
