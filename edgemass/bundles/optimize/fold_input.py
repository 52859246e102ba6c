"""The picture as OpenCV has it: uint8 NHWC BGR, with the normalization and the order of channels in the first weights.

What remains of the host's preprocessing is one resize into a buffer.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from onnx import TensorProto, helper

from edgemass.bundles.optimize.fold_focus import fold_focus
from edgemass.bundles.optimize.onnx_graph_editor import Editor, attributes
from edgemass.manifest import InputSpec
from edgemass.tensors import AnyArray

TO_NCHW = [0, 3, 1, 2]


def fold_input(editor: Editor, spec: InputSpec) -> tuple[InputSpec, str]:
    """Let the graph take pixels.

    Returns the new input, and what stands against it: the old input and a sentence, or the new one and "".
    """
    if spec.dtype not in ("float32", "float16"):
        return spec, f"its input takes {spec.dtype} pixels already"
    if spec.color == "GRAY" or spec.layout not in ("NCHW", "NHWC"):
        return spec, f"its input stays {spec.dtype}: {spec.color} pictures as {spec.layout} are not folded"
    planes, into = _planes(editor, spec)
    fold_focus(editor, planes)
    fold = _Fold(spec)
    convolutions = _first_convolutions(editor, planes)
    padded = any(_is_padded(node) for node in convolutions)
    front: list[Any] = []
    pixels = _convert(editor, spec, front)
    if convolutions and fold.shifts and padded:  # padding is 0 in the stock graph, which is the mean in pixels
        pixels = _apply(editor, front, "Sub", pixels, fold.mean[None, :, None, None], spec)
    if convolutions:
        for node in convolutions:
            fold.into(editor, node, with_mean=fold.shifts and not padded)
    else:
        pixels = _normalize(editor, front, pixels, fold, spec)
    editor.read_instead(planes, pixels, readers=editor.readers(planes))
    editor.replace([into] if into is not None else [], front)
    value = editor.input(spec.name)
    value.CopyFrom(helper.make_tensor_value_info(spec.name, TensorProto.UINT8, [1, spec.height, spec.width, 3]))
    return (
        msgspec.structs.replace(
            spec, layout="NHWC", dtype="uint8", color="BGR", mean=(0.0,), std=(1.0,), scale=None, zero_point=0
        ),
        "",
    )


def _planes(editor: Editor, spec: InputSpec) -> tuple[str, Any | None]:
    """The tensor that is the picture as NCHW, and the transposition that makes it, where there is one."""
    readers = editor.readers(spec.name)
    only = readers[0] if len(readers) == 1 else None
    if spec.layout == "NHWC" and only is not None and attributes(only).get("perm") == TO_NCHW:
        return only.output[0], only
    return spec.name, None


class _Fold:
    """real = (pixel - mean) / std with the channels in BGR order.

    order: which channel of the model's order stands at each place of BGR. shifts: whether a mean is subtracted.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.order = [2, 1, 0] if spec.color == "RGB" else [0, 1, 2]
        self.mean = np.broadcast_to(np.asarray(spec.mean, np.float64), 3)[self.order]
        self.std = np.broadcast_to(np.asarray(spec.std, np.float64), 3)[self.order]
        self.shifts = bool(self.mean.any())

    def into(self, editor: Editor, node: Any, *, with_mean: bool) -> None:
        """New weights for a convolution that reads the picture."""
        weights = editor.constant(node.input[1])
        assert weights is not None
        folded = weights.astype(np.float64)[:, self.order] / self.std[:, None, None]
        if with_mean:
            bias = editor.constant(node.input[2]) if len(node.input) > 2 else np.zeros(len(folded))
            assert bias is not None
            shift = (folded * self.mean[:, None, None]).sum(axis=(1, 2, 3))
            name = editor.add_constant((bias.astype(np.float64) - shift).astype(weights.dtype), "folded_bias")
            del node.input[2:]
            node.input.append(name)
        node.input[1] = editor.add_constant(folded.astype(weights.dtype), "folded_weights")


def _first_convolutions(editor: Editor, planes: str) -> list[Any]:
    """The convolutions that read the picture; empty where anything else reads it too."""
    readers = editor.readers(planes)
    return readers if all(_takes_weights(editor, node) for node in readers) else []


def _takes_weights(editor: Editor, node: Any) -> bool:
    if node.op_type != "Conv" or attributes(node).get("group", 1) != 1:
        return False
    weights = editor.constant(node.input[1])
    bias_known = len(node.input) < 3 or editor.constant(node.input[2]) is not None
    return weights is not None and weights.ndim == 4 and weights.shape[1] == 3 and bias_known


def _is_padded(node: Any) -> bool:
    told = attributes(node)
    return told.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or any(told.get("pads", ()))


def _convert(editor: Editor, spec: InputSpec, front: list[Any]) -> str:
    """uint8 NHWC -> numbers NCHW."""
    moved, numbers = editor.new_name("planes"), editor.new_name("numbers")
    kind = TensorProto.FLOAT16 if spec.dtype == "float16" else TensorProto.FLOAT
    front += [
        helper.make_node("Transpose", [spec.name], [moved], name=moved, perm=TO_NCHW),
        helper.make_node("Cast", [moved], [numbers], name=numbers, to=kind),
    ]
    return numbers


def _normalize(editor: Editor, front: list[Any], pixels: str, fold: _Fold, spec: InputSpec) -> str:
    """The same by operators, where no convolution can take it; as the first nodes wanted it."""
    if fold.order != [0, 1, 2]:
        chosen = editor.new_name("ordered")
        order = editor.add_constant(np.asarray(fold.order, np.int64), "order")
        front.append(helper.make_node("Gather", [pixels, order], [chosen], name=chosen, axis=1))
        pixels = chosen
    if fold.shifts:
        pixels = _apply(editor, front, "Sub", pixels, fold.mean[fold.order][None, :, None, None], spec)
    if (fold.std != 1).any():
        pixels = _apply(editor, front, "Mul", pixels, 1 / fold.std[fold.order][None, :, None, None], spec)
    if spec.layout == "NHWC" and not _planes(editor, spec)[1]:
        back = editor.new_name("interleaved")
        front.append(helper.make_node("Transpose", [pixels], [back], name=back, perm=[0, 2, 3, 1]))
        pixels = back
    return pixels


def _apply(editor: Editor, front: list[Any], kind: str, pixels: str, value: AnyArray, spec: InputSpec) -> str:
    name = editor.new_name(kind.lower())
    front.append(
        helper.make_node(kind, [pixels, editor.add_constant(value.astype(spec.dtype), kind)], [name], name=name)
    )
    return name
