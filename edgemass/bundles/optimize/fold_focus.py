"""Focus, the first layer of YOLOX and of YOLOv5 before version 6, as the one convolution that it is.

The picture is cut into four by rows and columns, even and odd, put on top of each other, and convolved; a kernel of
twice the size over every second pixel of the picture itself computes the same sums.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from edgemass.bundles.optimize.onnx_graph_editor import Editor, attributes
from edgemass.manifest import MAX_SIDE
from edgemass.tensors import AnyArray

_ROWS, _COLUMNS = 2, 3  # axes of NCHW


def fold_focus(editor: Editor, picture: str) -> bool:
    """Rewrite it where it is there.

    picture: the tensor [1, channels, h, w] that is cut into four.
    """
    concats = [node for node in editor.nodes if node.op_type == "Concat" and attributes(node).get("axis") == 1]
    for concat in concats:
        offsets = [_offset(editor, name, picture) for name in concat.input]
        if sorted(offset for offset in offsets if offset is not None) != [(0, 0), (0, 1), (1, 0), (1, 1)]:
            continue
        readers = editor.readers(concat.output[0])
        if len(readers) == 1 and len(offsets) == 4 and _fits(editor, readers[0]):
            _fold(editor, readers[0], picture, [offset for offset in offsets if offset is not None])
            editor.prune()
            return True
    return False


def _offset(editor: Editor, tensor: str, picture: str) -> tuple[int, int] | None:
    """First row and column of a part of every second one of both; None where the tensor is something else."""
    found: dict[int, int] = {}
    while tensor != picture:
        node = editor.producer(tensor)
        if node is None or node.op_type != "Slice" or len(node.input) != 5:
            return None
        starts, ends, axes, steps = (editor.constant(name) for name in node.input[1:])
        if starts is None or ends is None or axes is None or steps is None or (np.ravel(steps) != 2).any():
            return None
        if (np.ravel(ends) < MAX_SIDE).any():  # not to the end
            return None
        found |= dict(zip(np.ravel(axes).tolist(), np.ravel(starts).tolist(), strict=True))
        tensor = node.input[0]
    if set(found) != {_ROWS, _COLUMNS} or not set(found.values()) <= {0, 1}:
        return None
    return found[_ROWS], found[_COLUMNS]


def _fits(editor: Editor, node: Any) -> bool:
    if node.op_type != "Conv" or editor.constant(node.input[1]) is None:
        return False
    told = attributes(node)
    plain = told.get("auto_pad", b"NOTSET") == b"NOTSET" and told.get("group", 1) == 1
    return plain and all(side == 1 for name in ("strides", "dilations") for side in told.get(name, ()))


def _fold(editor: Editor, node: Any, picture: str, offsets: list[tuple[int, int]]) -> None:
    weights = editor.constant(node.input[1])
    assert weights is not None
    name = node.output[0]
    made = helper.make_node(
        "Conv",
        [picture, editor.add_constant(_doubled(weights, offsets), "focus"), *node.input[2:]],
        [name],
        name=name,
        kernel_shape=[2 * side for side in weights.shape[2:]],
        strides=[2, 2],
        pads=[2 * pad for pad in attributes(node).get("pads", [0] * 4)],
    )
    editor.replace([node], [made])


def _doubled(weights: AnyArray, offsets: list[tuple[int, int]]) -> AnyArray:
    """(out, 4 x channels, h, w) -> (out, channels, 2h, 2w)."""
    outputs, stacked, height, width = weights.shape
    channels = stacked // 4
    doubled = np.zeros((outputs, channels, 2 * height, 2 * width), weights.dtype)
    for part, (row, column) in enumerate(offsets):
        doubled[:, :, row::2, column::2] = weights[:, part * channels : (part + 1) * channels]
    return doubled
