"""Which nodes compute in 8 bits; the rest stay in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgemass_tools.int8.float_graph import FloatGraph

# What ONNX Runtime's CPU provider computes on 8 bits when it stands between QDQ pairs, or passes on as it is.
OPERATORS = frozenset(
    {
        *(
            "Add",
            "AveragePool",
            "Clip",
            "Concat",
            "Conv",
            "Gemm",
            "GlobalAveragePool",
            "LeakyRelu",
            "MatMul",
            "MaxPool",
        ),
        *("Mul", "Relu", "Reshape", "Resize", "Sigmoid", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    }
)


@dataclass(frozen=True)
class Plan:
    """int8: names of the nodes that compute in 8 bits. weighted, float_weighted: nodes with weights: all of them, and
    those that stay in float.
    """

    int8: frozenset[str]
    weighted: int
    float_weighted: int


def plan(graph: FloatGraph, errors: Mapping[str, float], budget: float) -> Plan:
    """Keep in float what hurts most for its work, until the errors of all else add up to the budget.

    errors: by tensor, see `sensitivity`; what is not in it costs nothing.
    """
    spared = _spared(graph, errors, budget)
    chosen: set[str] = set()
    made: set[str] = set()  # tensors that come out of 8-bit nodes
    for node in graph.nodes:
        if node.op_type not in OPERATORS or node.name in graph.first or node.name not in graph.before_the_last_weights:
            continue
        if spared.intersection((*node.input, *node.output)):
            continue
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            if not graph.is_weighted(node):
                continue
        elif not made.intersection(node.input):
            continue  # between float nodes it would only add conversions
        chosen.add(node.name)
        made.update(node.output)
    _leave_to_float_readers(graph, chosen)
    in_float = [node for node in graph.weighted if node.name not in chosen]
    return Plan(frozenset(chosen), len(graph.weighted), len(in_float))


def _leave_to_float_readers(graph: FloatGraph, chosen: set[str]) -> None:
    """Take out what only float nodes read: a Sigmoid in 8 bits before a Mul in float would keep both from being one."""
    for node in reversed(graph.nodes):
        if node.name in chosen and not graph.is_weighted(node):
            readers = [reader.name for name in node.output for reader in graph.readers[name]]
            if not chosen.intersection(readers):
                chosen.remove(node.name)


def _spared(graph: FloatGraph, errors: Mapping[str, float], budget: float) -> set[str]:
    """Tensors that are not rounded: first those that lower the error most for the work that goes back to float."""
    found: set[str] = set()
    left = sum(errors.values())
    worth = {name: error / _work_at(graph, name) for name, error in errors.items()}
    for name in sorted(errors, key=lambda name: (-worth[name], name)):
        if left <= budget:
            break
        found.add(name)
        left -= errors[name]
    return found


def _work_at(graph: FloatGraph, name: str) -> float:
    """Of the nodes that are in float when this tensor is: who makes it and who reads it."""
    return sum(graph.work(node) for node in (*graph.makers.get(name, ()), *graph.readers.get(name, ()))) or 1.0
