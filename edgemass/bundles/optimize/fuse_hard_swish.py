"""x * clip(x + 3, 0, 6) / 6, which PaddlePaddle and older PyTorch write as four operators, as two."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from edgemass.bundles.optimize.onnx_graph_editor import Editor

_CLOSE = 1e-6


def fuse_hard_swish(editor: Editor) -> int:
    """Rewrite them all; returns how many there were."""
    count = 0
    for name in [node.output[0] for node in editor.nodes if node.op_type in ("Div", "Mul")]:
        last = editor.producer(name)
        found = _match(editor, last) if last is not None else None
        if found is not None:
            source, nodes = found
            gate = editor.new_name("gate")
            made = [
                helper.make_node("HardSigmoid", [source], [gate], name=gate, alpha=1 / 6, beta=0.5),
                helper.make_node("Mul", [source, gate], [name], name=name),
            ]
            editor.replace(nodes, made)
            count += 1
    return count


def _match(editor: Editor, last: Any) -> tuple[str, list[Any]] | None:
    """The tensor x and the four nodes, the last one given."""
    factor = 1 / 6 if last.op_type == "Mul" else 6.0
    product = editor.producer(last.input[0])
    if product is None or product.op_type != "Mul" or not _is(editor, last.input[1], factor):
        return None
    for source, clipped in (product.input, reversed(product.input)):
        clip = editor.producer(clipped)
        if clip is None or clip.op_type != "Clip" or len(clip.input) != 3:
            continue
        if not (_is(editor, clip.input[1], 0.0) and _is(editor, clip.input[2], 6.0)):
            continue
        added = editor.producer(clip.input[0])
        if added is None or added.op_type != "Add" or added.input[0] != source or not _is(editor, added.input[1], 3.0):
            continue
        nodes = [added, clip, product, last]
        inner = [node.output[0] for node in nodes[:-1]]
        if all(len(editor.readers(name)) == 1 for name in inner) and not set(inner) & set(editor.outputs):
            return source, nodes
    return None


def _is(editor: Editor, tensor: str, value: float) -> bool:
    constant = editor.constant(tensor)
    return constant is not None and constant.size == 1 and bool(np.abs(constant - value).max() < _CLOSE)
