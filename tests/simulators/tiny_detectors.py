"""Detectors of some kilobytes with seeded weights and the heads of the published families, made with onnx.helper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tests.simulators.tiny_models import save_onnx

SIDE = 64
CLASSES = 3
BINS = 16
STRIDES = (8, 16, 32)
CELLS = sum((SIDE // stride) ** 2 for stride in STRIDES)
NAMES = "{0: 'ant', 1: 'bee', 2: 'cat'}"


class Net:
    """Collects nodes and constants of a graph."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._rng = np.random.default_rng(seed)

    def constant(self, value: Any) -> str:
        import onnx

        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> Any:
        """One node; its output, or the list of them."""
        import onnx

        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        return names[0] if outputs == 1 else names

    def convolution(self, tensor: str, channels: tuple[int, int], *, size: int = 3, stride: int = 1) -> str:
        weights = self._rng.normal(0, 1 / np.sqrt(channels[0] * size * size), (channels[1], channels[0], size, size))
        bias = self._rng.normal(0, 0.1, channels[1])
        names = [self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32))]
        pad = size // 2
        found: str = self.add("Conv", [tensor, *names], strides=[stride, stride], pads=[pad] * 4)
        return found

    def silu(self, tensor: str) -> str:
        found: str = self.add("Mul", [tensor, self.add("Sigmoid", [tensor])])
        return found

    def save(self, path: Path, output: str, shape: Sequence[int | str], side: int | str = SIDE) -> Path:
        import onnx

        self.nodes[-1].output[0] = output
        kind = onnx.TensorProto.FLOAT
        graph = onnx.helper.make_graph(
            self.nodes,
            "detector",
            [onnx.helper.make_tensor_value_info("images", kind, [1, 3, side, side])],
            [onnx.helper.make_tensor_value_info(output, kind, list(shape))],
            self.constants,
        )
        return save_onnx(graph, path, {"names": NAMES, "task": "detect", "imgsz": f"[{SIDE}, {SIDE}]"})


def yolo_v8(
    path: Path,
    *,
    head: Literal["apart", "joined"] = "apart",
    side: int | str = SIDE,
    confidence: float = 1.0,
    seed: int = 0,
) -> Path:
    """Ultralytics' YOLOv8 in small: [1, 4 + classes, cells].

    head: boxes and classes of all levels put together apart, or level by level and split afterwards, as newer and older
        exporters do. side: a text leaves it free. confidence: what every probability is multiplied with at the end,
        which no published head does.
    """
    net = Net(seed)
    levels = _backbone(net)
    raw = [
        (net.convolution(level, (8, 4 * BINS), size=1), net.convolution(level, (8, CLASSES), size=1))
        for level in levels
    ]
    if head == "apart":
        boxes = net.add("Concat", [_flat(net, box, 4 * BINS) for box, _ in raw], axis=2)
        classes = net.add("Concat", [_flat(net, label, CLASSES) for _, label in raw], axis=2)
    else:
        joined = [_flat(net, net.add("Concat", pair, axis=1), 4 * BINS + CLASSES) for pair in raw]
        sizes = net.constant(np.array([4 * BINS, CLASSES], np.int64))
        boxes, classes = net.add("Split", [net.add("Concat", joined, axis=2), sizes], 2, axis=1)
    probabilities = net.add("Sigmoid", [classes])
    if confidence != 1:
        probabilities = net.add("Mul", [probabilities, net.constant(np.array([confidence], np.float32))])
    net.add("Concat", [_decoded(net, boxes), probabilities], axis=1)
    return net.save(path, "output0", (1, 4 + CLASSES, CELLS if side == SIDE else "cells"), side)


def _backbone(net: Net) -> list[str]:
    """Feature maps of 8 channels at strides 8, 16 and 32, with the split of a C2f block on the way."""
    tensor = net.silu(net.convolution("images", (3, 8), stride=2))
    tensor = net.silu(net.convolution(tensor, (8, 8), stride=2))
    sizes = net.constant(np.array([4, 4], np.int64))
    left, right = net.add("Split", [net.silu(net.convolution(tensor, (8, 8), size=1)), sizes], 2, axis=1)
    tensor = net.add("Concat", [left, right, net.silu(net.convolution(right, (4, 4)))], axis=1)
    tensor = net.silu(net.convolution(tensor, (12, 8), size=1))
    levels = []
    for _ in STRIDES:
        tensor = net.silu(net.convolution(tensor, (8, 8), stride=2))
        levels.append(tensor)
    return levels


def _flat(net: Net, tensor: str, channels: int) -> str:
    found: str = net.add("Reshape", [tensor, net.constant(np.array([1, channels, -1], np.int64))])
    return found


def _decoded(net: Net, boxes: str) -> str:
    """DFL and the way from distances to centre and size, as Ultralytics' exporter writes them."""
    split = net.add("Reshape", [boxes, net.constant(np.array([1, 4, BINS, CELLS], np.int64))])
    shares = net.add("Softmax", [net.add("Transpose", [split], perm=[0, 2, 1, 3])], axis=1)
    bins = net.constant(np.arange(BINS, dtype=np.float32).reshape(1, BINS, 1, 1))
    distances = _flat(net, net.add("Conv", [shares, bins]), 4)
    halves = net.constant(np.array([2, 2], np.int64))
    left_top, right_bottom = net.add("Split", [distances, halves], 2, axis=1)
    points, strides = _points()
    centre = net.constant(points)
    least, most = net.add("Sub", [centre, left_top]), net.add("Add", [centre, right_bottom])
    two = net.constant(np.array([2], np.float32))
    middle = net.add("Div", [net.add("Add", [least, most]), two])
    both = net.add("Concat", [middle, net.add("Sub", [most, least])], axis=1)
    found: str = net.add("Mul", [both, net.constant(strides)])
    return found


def _points() -> tuple[Any, Any]:
    """Centres of all cells (1, 2, cells), in cells, and strides (1, cells)."""
    points, strides = [], []
    for stride in STRIDES:
        count = SIDE // stride
        y, x = np.divmod(np.arange(count * count), count)
        points.append(np.stack([x, y]) + 0.5)
        strides.append(np.full(count * count, stride))
    return np.concatenate(points, axis=1)[None].astype(np.float32), np.concatenate(strides)[None].astype(np.float32)
