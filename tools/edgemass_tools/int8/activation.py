"""Where the function that follows a tensor is flat: values there need no steps of their own.

SiLU and hard swish come apart into several nodes in most exports (x, Sigmoid, Mul); what matters of x are the values
from about -6 up, while convolutions give some far below. Steps are spent where the function still moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from edgemass.tensors import AnyArray
from edgemass_tools.int8.float_graph import FloatGraph
from edgemass_tools.int8.ranges import session

STEPS = 255
_GRID = 4097
_MOST_NODES = 8  # Mish has three, a hard swish four
_POINTWISE = frozenset(
    {
        *("Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu"),
        *("Sigmoid", "Softplus", "Sub", "Tanh"),
    }
)

Ranges = dict[str, tuple[float, float]]


def clipped(graph: FloatGraph, ranges: Mapping[str, tuple[float, float]]) -> Ranges:
    """The ranges without the parts in which a following function changes by less than half a step of its own result."""
    found = dict(ranges)
    for node in graph.weighted:
        name = node.output[0]
        if name in ranges and (chain := _function(graph, name)):
            found[name] = _moving(graph, name, chain, ranges)
    return found


def _function(graph: FloatGraph, name: str) -> list[Any]:
    """The nodes that make one value of each of the tensor, if nothing else reads it; the last one gives the result."""
    if name in {item.name for item in graph.model.graph.output}:
        return []
    inside: list[Any] = []
    known = {name}
    open_ends = {name}  # computed, and not yet read by all that read it
    for node in graph.nodes:
        if not known.intersection(node.input):
            continue
        if not _is_pointwise(graph, node, known) or len(inside) == _MOST_NODES:
            return []
        inside.append(node)
        known.update(node.output)
        open_ends.update(node.output)
        names = {item.name for item in inside}
        open_ends = {end for end in open_ends if not _is_read_inside(graph, end, names)}
        if open_ends == set(node.output):
            return inside
    return []


def _is_read_inside(graph: FloatGraph, name: str, inside: set[str]) -> bool:
    """Whether the nodes of these names are all that read a tensor; the graph's own outputs are read outside."""
    return bool(graph.readers[name]) and all(reader.name in inside for reader in graph.readers[name])


def _is_pointwise(graph: FloatGraph, node: Any, known: set[str]) -> bool:
    return node.op_type in _POINTWISE and all(
        name in known or name == "" or (name in graph.constants and graph.constant(name).size == 1)
        for name in node.input
    )


def _moving(
    graph: FloatGraph, name: str, chain: list[Any], ranges: Mapping[str, tuple[float, float]]
) -> tuple[float, float]:
    low, high = ranges[name]
    result = chain[-1].output[0]
    if result not in ranges or low == high:
        return low, high
    given = np.linspace(low, high, _GRID, dtype=np.float32)
    made = _values(graph, name, chain, given)
    tolerance = (ranges[result][1] - ranges[result][0]) / STEPS / 2
    below = np.maximum.accumulate(np.abs(made - made[0]))  # of all values up to here from the lowest one's
    above = np.maximum.accumulate(np.abs(made - made[-1])[::-1])[::-1]
    first = int(np.searchsorted(below, tolerance, "right")) - 1
    last = int(np.argmax(above <= tolerance))
    if first >= last:
        return low, high
    return min(float(given[first]), 0.0), max(float(given[last]), 0.0)


def _values(graph: FloatGraph, name: str, chain: list[Any], given: AnyArray) -> AnyArray:
    """The function of many numbers at once; scalars of any rank become plain ones."""
    result = chain[-1].output[0]
    used = {item for node in chain for item in node.input if item in graph.constants}
    part = helper.make_graph(
        chain,
        "function",
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [len(given)])],
        [helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(graph.constant(item).reshape(()), item) for item in sorted(used)],
    )
    model = helper.make_model(
        part, opset_imports=graph.model.opset_import, ir_version=graph.model.ir_version, producer_name="edgemass"
    )
    values: AnyArray = session(model).run([result], {name: given})[0]
    return values.reshape(-1)
