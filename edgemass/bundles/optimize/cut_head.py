"""Where a detector's head can be cut: the feature maps of its last convolutions.

Behind them comes arithmetic over every cell of the picture: activations, distributions, decoding, concatenation. The
host does the same for the few cells whose score passes, once their family knows how (see `families`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgemass.bundles.optimize.onnx_graph_editor import Editor
from edgemass.tensors import AnyArray

_MAX_CONSTANTS = 64
_MAX_ELEMENTS = 1 << 22


def last_maps(editor: Editor) -> list[str]:
    """The outputs of the convolutions that the graph's outputs are computed from without any further one.

    In the order in which the graph computes them.
    """
    found: set[str] = set()
    seen: set[str] = set()
    waiting = list(editor.outputs)
    while waiting:
        tensor = waiting.pop()
        node = editor.producer(tensor)
        if tensor in seen or node is None:
            continue
        seen.add(tensor)
        if _is_convolution(editor, node):
            found.add(tensor)
        else:
            waiting.extend(name for name in node.input if name)
    return [name for node in editor.nodes for name in node.output if name in found]


def _is_convolution(editor: Editor, node: Any) -> bool:
    """A convolution, what quantization makes of one, or the bias that is added to one of integers; not the weighted
    mean over bins that DFL writes as a convolution.
    """
    if node.op_type == "Conv":
        return not _is_mean_over_bins(editor, node)
    if node.op_type == "DequantizeLinear":
        quantized = editor.producer(node.input[0])
        if quantized is None or quantized.op_type != "QuantizeLinear":
            return False
        made = editor.producer(quantized.input[0])
        return made is not None and _is_convolution(editor, made)
    if node.op_type == "Add":
        summed = [editor.producer(name) for name in node.input]
        return any(_scaled_integers(editor, made) for made in summed if made is not None)
    return False


def _is_mean_over_bins(editor: Editor, node: Any) -> bool:
    """Whether the weights are 0, 1, 2, ...; quantization rounds them."""
    stored = editor.producer(node.input[1])
    if stored is not None and stored.op_type == "DequantizeLinear":
        weights, scale = editor.constant(stored.input[0]), editor.constant(stored.input[1])
        if weights is None or scale is None or scale.size != 1:
            return False
        weights = weights.astype(np.float32) * scale.reshape(())
    else:
        weights = editor.constant(node.input[1])
    if weights is None or weights.shape[0] != 1 or weights.size < 2:
        return False
    return bool(np.allclose(weights.reshape(-1), np.arange(weights.size), atol=0.1))


def _scaled_integers(editor: Editor, node: Any) -> bool:
    """Mul(Cast(ConvInteger), scale), as dynamic quantization writes it."""
    if node.op_type != "Mul":
        return False
    cast = editor.producer(node.input[0])
    made = editor.producer(cast.input[0]) if cast is not None and cast.op_type == "Cast" else None
    return made is not None and made.op_type == "ConvInteger"


def constants_behind(editor: Editor, tensor: str, maps: set[str]) -> tuple[AnyArray, ...]:
    """Constants that the arithmetic behind a map uses before it meets another map's, nearest first: grids, anchors."""
    constants: dict[str, AnyArray] = {}
    seen = {tensor}
    waiting = [tensor]
    while waiting and len(constants) < _MAX_CONSTANTS:
        for node in editor.readers(waiting.pop(0)):
            if node.op_type == "Concat" and not _own(editor, node, tensor, maps):
                continue
            for name in node.input:
                value = editor.constant(name)
                if value is not None and value.dtype.kind == "f" and value.size <= _MAX_ELEMENTS:
                    constants[name] = value
            new = [name for name in node.output if name not in seen]
            seen.update(new)
            waiting.extend(new)
    return tuple(constants.values())


def _own(editor: Editor, node: Any, tensor: str, maps: set[str]) -> bool:
    """Whether all that a node reads comes from this map."""
    waiting = list(node.input)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in maps:
            if name != tensor:
                return False
            continue
        made = editor.producer(name)
        waiting.extend(made.input if made is not None else [])
    return True
