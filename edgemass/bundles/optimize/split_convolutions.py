"""Convolution -> activation -> Split into as many convolutions as there are parts.

ONNX Runtime keeps the blocked layout of a convolution's answer through activations, but not through Split: each one
costs a reordering of the whole tensor. Convolutions with sliced weights compute the same numbers and need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import onnx

from edgemass.bundles.optimize.onnx_graph_editor import Editor, attributes

_ELEMENTWISE = (
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Elu",
    "Selu",
    "Tanh",
    "Softplus",
    "Identity",
)


@dataclass(frozen=True)
class _Match:
    """A convolution, the nodes of its activation in order, and the Split after it. sizes: of the parts."""

    convolution: Any
    activation: tuple[Any, ...]
    split: Any
    sizes: tuple[int, ...]


def split_convolutions(editor: Editor) -> int:
    """Rewrite them all; returns how many there were."""
    count = 0
    for name in [node.output[0] for node in editor.nodes if node.op_type == "Split"]:
        split = editor.producer(name)
        match = _match(editor, split) if split is not None else None
        if match is not None:
            _slice(editor, match)
            count += 1
    return count


def _match(editor: Editor, split: Any) -> _Match | None:
    if attributes(split).get("axis", 0) != 1:
        return None
    activation, source = _activation(editor, split.input[0])
    convolution = editor.producer(source)
    if convolution is None or convolution.op_type != "Conv" or attributes(convolution).get("group", 1) != 1:
        return None
    weights = editor.constant(convolution.input[1])
    if weights is None or any(editor.constant(name) is None for name in convolution.input[2:]):
        return None
    inside = {id(node) for node in (*activation, split)}
    seen = [source, *(node.output[0] for node in activation)]
    if any(id(node) not in inside for name in seen for node in editor.readers(name)) or set(seen) & set(editor.outputs):
        return None
    sizes = _sizes(editor, split, len(weights))
    return _Match(convolution, activation, split, sizes) if sizes else None


def _activation(editor: Editor, tensor: str) -> tuple[tuple[Any, ...], str]:
    """The nodes between a convolution and `tensor`, and the convolution's output: one operator, or x * f(x)."""
    node = editor.producer(tensor)
    if node is None:
        return (), tensor
    if node.op_type in _ELEMENTWISE:
        return (node,), node.input[0]
    if node.op_type == "Mul":
        for left, right in (node.input, reversed(node.input)):
            gate = editor.producer(right)
            if gate is not None and gate.op_type in _ELEMENTWISE and gate.input[0] == left:
                return (gate, node), left
    return (), tensor


def _sizes(editor: Editor, split: Any, channels: int) -> tuple[int, ...]:
    """Channels of the parts; () where only a run tells."""
    told = attributes(split)
    sizes: Sequence[int] | None = told.get("split")
    if len(split.input) > 1 and split.input[1]:
        value = editor.constant(split.input[1])
        sizes = None if value is None else [int(size) for size in value]
        if sizes is None:
            return ()
    if sizes is None:
        part = -(-channels // len(split.output))
        sizes = [min(part, channels - part * index) for index in range(len(split.output))]
    fits = len(sizes) == len(split.output) and sum(sizes) == channels and min(sizes) > 0
    return tuple(sizes) if fits else ()


def _slice(editor: Editor, match: _Match) -> None:
    made: list[Any] = []
    constants = [editor.constant(name) for name in match.convolution.input[1:]]
    edges = np.cumsum([0, *match.sizes]).tolist()
    for (start, end), output in zip(pairwise(edges), match.split.output, strict=True):
        names = {match.convolution.output[0]: editor.new_name("part")}
        part = _copy(match.convolution, names)
        for index, value in enumerate(constants, start=1):
            assert value is not None
            part.input[index] = editor.add_constant(value[start:end], "sliced")
        made.append(part)
        for node in match.activation:
            names[node.output[0]] = editor.new_name("part")
            made.append(_copy(node, names))
        made[-1].output[0] = output
    editor.replace([match.convolution, *match.activation, match.split], made)


def _copy(node: Any, names: dict[str, str]) -> Any:
    """The node with tensors renamed."""
    copy = onnx.NodeProto.FromString(node.SerializeToString())
    for names_of in (copy.input, copy.output):
        for index, name in enumerate(names_of):
            names_of[index] = names.get(name, name)
    copy.name = copy.output[0]
    return copy
