"""How much the answer suffers from 8 bits in one tensor, measured one at a time against the float graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgemass.errors import BundleError
from edgemass.progress import Progress
from edgemass.tensors import AnyArray
from edgemass_tools.int8.float_graph import FloatGraph
from edgemass_tools.int8.ranges import Inputs, session

PICTURES = 4
"""Each tensor costs a session and so many runs: half a minute for a YOLO at 640 pixels on two cores."""

_TINY = 1e-12
_WORTH_MEASURING = frozenset({"Add", "Mul", "Clip", "Relu", "LeakyRelu"})
"""What else than weights gives values of a new range; a Concat or a Resize passes on those that it gets."""


def measure(
    graph: FloatGraph, ranges: Mapping[str, tuple[float, float]], pictures: Sequence[Inputs], progress: Progress
) -> dict[str, float]:
    """By tensor: mean squared error of the heads over their variance, each channel on its own, averaged.

    Errors of several tensors add up, as nearly independent noise does.
    """
    cut = _up_to_heads(graph)
    exact = _answers(cut, graph.heads, pictures)
    names = _candidates(graph, ranges)
    errors = {}
    for done, name in enumerate(names):
        errors[name] = _error(_answers(_rounded(cut, name, ranges[name]), graph.heads, pictures), exact)
        progress(done + 1, len(names))
    return errors


def _candidates(graph: FloatGraph, ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    found: dict[str, None] = {}
    for node in graph.nodes:
        if node.name not in graph.before_the_last_weights or node.name in graph.first:
            continue
        if graph.is_weighted(node):
            found.update(dict.fromkeys((node.input[0], node.output[0])))
        elif node.op_type in _WORTH_MEASURING:
            found[node.output[0]] = None
    inputs = {item.name for item in graph.model.graph.input}
    return [name for name in found if name in ranges and name not in inputs]


def _up_to_heads(graph: FloatGraph) -> Any:
    """The graph without what decodes the heads."""
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    kept = [node for node in model.graph.node if node.name in graph.before_the_last_weights]
    del model.graph.node[:]
    model.graph.node.extend(kept)
    del model.graph.output[:]
    for name, _ in graph.heads:
        model.graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return model


def _rounded(model: Any, name: str, limits: tuple[float, float]) -> Any:
    """A copy in which that tensor goes through 8 bits and back."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    low, high = limits
    scale = max((high - low) / 255, _TINY)
    zero_point = int(np.clip(round(-low / scale), 0, 255))
    made.graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), "rounded:scale"))
    made.graph.initializer.append(numpy_helper.from_array(np.array(zero_point, np.uint8), "rounded:zero_point"))
    nodes = list(made.graph.node)
    place, node = next((place, node) for place, node in enumerate(nodes) if name in node.output)
    node.output[list(node.output).index(name)] = "rounded:before"
    parameters = ["rounded:scale", "rounded:zero_point"]
    nodes[place + 1 : place + 1] = [
        helper.make_node("QuantizeLinear", ["rounded:before", *parameters], ["rounded:stored"]),
        helper.make_node("DequantizeLinear", ["rounded:stored", *parameters], [name]),
    ]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def _answers(model: Any, heads: Sequence[tuple[str, int]], pictures: Sequence[Inputs]) -> list[AnyArray]:
    """Per head an array (channels, values of all pictures)."""
    running = session(model)
    names = {item.name for item in model.graph.input}
    answers: list[list[AnyArray]] = [[] for _ in heads]
    for picture in pictures:
        given = {name: array for name, array in picture.items() if name in names}
        for number, array in enumerate(running.run([name for name, _ in heads], given)):
            channels = np.moveaxis(array, heads[number][1], 0)
            answers[number].append(channels.reshape(len(channels), -1))
    return [np.concatenate(parts, axis=1) for parts in answers]


def _error(found: Sequence[AnyArray], exact: Sequence[AnyArray]) -> float:
    """Raises BundleError where there are other rows to compare, as behind a suppression in the graph."""
    if [ours.shape for ours in found] != [theirs.shape for theirs in exact]:
        raise BundleError(
            "the graph answers in a number of rows that changes with the slightest rounding, so what 8 bits cost its "
            "layers cannot be measured; keep it in float, or export it without the suppression of boxes"
        )
    shares = [
        float((np.square(ours - theirs).mean(axis=1) / (theirs.var(axis=1) + _TINY)).mean())
        for ours, theirs in zip(found, exact, strict=True)
    ]
    return float(np.mean(shares))
