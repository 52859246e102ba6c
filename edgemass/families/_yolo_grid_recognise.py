"""Recognise YOLO's raw feature maps, and whose anchors they want.

Anchors are not in the graph, but the graph tells which model it is: by its activations, its poolings and its
convolutions. Where it does not, the importer asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edgemass import families
from edgemass.families import _recognise as look
from edgemass.families import _yolo_boxes
from edgemass.families._picture import Picture, Recipe
from edgemass.families._yolo_anchors import PRESETS
from edgemass.families.yolo_v8 import LETTERBOX, RECIPE
from edgemass.graph import Graph, Node
from edgemass.manifest import Nms, Resize
from edgemass.tensors import FloatArray

DARKNET = Recipe("darknet", "RGB", (0.0,), (255.0,))
TENSORFLOW = Recipe("the ONNX model zoo's YOLOv4", "RGB", (0.0,), (255.0,))

PER_CELL = 3  # anchors per cell of every published model of these families
LARGEST_RAW = 40  # exp(40) pixels are no box: such numbers are boxes that the graph has decoded already


@dataclass(frozen=True)
class _Heads:
    """names: by ascending stride. columns: numbers per anchor."""

    names: tuple[str, ...]
    strides: tuple[int, ...]
    axes: str
    columns: int


def recognise(graph: Graph) -> families.Recognition | None:
    """Two to four feature maps of strides 8 to 64 with three anchors per cell, and nothing else; or `_yolo_boxes`.

    Raises:
        BundleError: boxes of unknown make that end in NMS indices.
    """
    if (decoded := _yolo_boxes.recognise(graph)) is not None:
        return decoded
    image = look.picture(graph)
    # A softmax before the end is that of Yolo-FastestV2 or of a transformer.
    if image is None or look.has_kind(graph, "Softmax"):
        return None
    heads = next((found for axes in _AXES if (found := _heads(graph, image, axes)) is not None), None)
    if heads is None:
        return None
    rows = _observed(graph, heads)
    if rows.size and np.nanmax(np.abs(rows[:, :4])) > LARGEST_RAW:
        return None
    applied = _applied(rows)
    names = _models(graph, heads, squared="wh" in applied)
    options = {"strides": heads.strides, "axes": heads.axes, "applied": applied}
    if len(names) == 1:
        options["anchors"] = names[0]
    spec, assumed = look.as_input(graph, image, *_recipe(names, heads))
    if len(names) == 1:
        assumed = (*assumed, f"anchors are those of {names[0]}: the graph's operators fit")
    class_count = heads.columns - 5
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"heads": heads.names},
        class_count=class_count,
        options=options,
        nms=Nms(iou=0.45 if len(heads.names) == 2 else 0.6),
        assumed=assumed,
        default_labels=look.default_labels(class_count),
        questions={} if len(names) == 1 else {"anchors": names},
    )


_AXES = {  # axes of a head -> position of rows, columns, anchors (None: in one axis with the numbers), numbers
    "N(AC)HW": (2, 3, None, 1),
    "NHW(AC)": (1, 2, None, 3),
    "NAHWC": (2, 3, 1, 4),
    "NHWAC": (1, 2, 3, 4),
}


def _heads(graph: Graph, image: Picture, axes: str) -> _Heads | None:
    """All outputs as heads with these axes; None where one of them is not."""
    rows, columns, anchors, numbers = _AXES[axes]
    by_rows: dict[int, str] = {}
    found: set[tuple[float, int]] = set()
    for info in graph.outputs:
        shape = look.known_shape(info, graph)
        if len(shape) != (4 if anchors is None else 5) or shape[0] != 1 or min(shape) < 1:
            return None
        if anchors is not None and shape[anchors] != PER_CELL:
            return None
        by_rows[shape[rows]] = info.name
        found.add((shape[columns] / shape[rows], shape[numbers]))
    if len(by_rows) != len(graph.outputs) or len(found) != 1:
        return None
    aspect, width = found.pop()
    each, rest = (width, 0) if anchors is not None else divmod(width, PER_CELL)
    heights = sorted(by_rows, reverse=True)
    strides = _strides(heights, aspect, image)
    if strides is None or rest or each < 6:
        return None
    return _Heads(tuple(by_rows[height] for height in heights), strides, axes, each)


def _strides(heights: list[int], aspect: float, image: Picture) -> tuple[int, ...] | None:
    """Strides of feature maps of these heights, finest first; the coarsest is 32 where the picture's size is free."""
    if not 2 <= len(heights) <= 4:
        return None
    coarsest = 64 if len(heights) == 4 else 32
    strides = tuple(coarsest >> i for i in reversed(range(len(heights))))
    height, width = image.height or heights[-1] * coarsest, image.width or round(heights[-1] * aspect) * coarsest
    fits = all(
        height == rows * stride and width == round(rows * aspect) * stride
        for rows, stride in zip(heights, strides, strict=True)
    )
    return strides if fits else None


def _observed(graph: Graph, heads: _Heads) -> FloatArray:
    """Rows (k, 5 + classes) of all heads and trial runs."""
    tables = [_table(run[name].real(), heads) for run in graph.runs for name in heads.names]
    return np.concatenate(tables) if tables else np.empty((0, heads.columns), np.float32)


def _applied(rows: FloatArray) -> tuple[str, ...]:
    """What the graph has put through a sigmoid, by what the trial runs show."""
    groups = {"xy": rows[:, :2], "wh": rows[:, 2:4], "scores": rows[:, 4:]}
    return tuple(group for group, values in groups.items() if look.are_probabilities(values))


def _table(head: FloatArray, heads: _Heads) -> FloatArray:
    """One head as rows (anchors x cells, 5 + classes)."""
    if heads.axes == "N(AC)HW":
        return head.reshape(PER_CELL, heads.columns, -1).transpose(0, 2, 1).reshape(-1, heads.columns)
    return head.reshape(-1, heads.columns)


def _recipe(names: tuple[str, ...], heads: _Heads) -> tuple[Recipe, Resize]:
    """How the likely models are fed: darknet stretches, PyTorch's YOLOs letterbox on grey 114, others on 128."""
    if all(PRESETS[name].squared for name in names) and "yolov4-csp" not in names:
        return RECIPE, LETTERBOX
    if names == ("yolov4-csp",):
        return DARKNET, Resize(rule="letterbox", pad_value=128)  # letter_box=1 in its cfg
    if heads.axes == "NHWAC":
        return TENSORFLOW, Resize(rule="letterbox", pad_value=128)
    return DARKNET, Resize(rule="stretch")


def _models(graph: Graph, heads: _Heads, *, squared: bool) -> tuple[str, ...]:
    """Names of the anchors that can be meant; one where the graph decides.

    squared: w and h have gone through a sigmoid, so only models with squared sizes can be meant.
    """
    if heads.strides == (16, 32):
        names = _tiny_models(graph)
    elif heads.strides == (8, 16, 32):
        names = _large_models(graph, squared=squared)
    else:
        names = ("yolov5-p6",)
    fitting = tuple(name for name in names if PRESETS[name].squared or not squared)
    if fitting:
        return fitting
    return tuple(name for name, one in PRESETS.items() if one.strides == heads.strides and one.squared)


def _tiny_models(graph: Graph) -> tuple[str, ...]:
    """Yolo-Fastest has depthwise convolutions, YOLOv4-tiny halves its channels, YOLOv3-tiny does neither."""
    if _grouped(graph):
        return ("yolo-fastest",)
    if _splits(graph):
        return ("yolov4-tiny",)
    if _swishes(graph):
        return ("yolov3-tiny-ultralytics",)
    if _leaky(graph):
        return ("yolov3-tiny",)
    return ("yolov3-tiny", "yolov4-tiny", "yolo-fastest", "yolov3-tiny-ultralytics")


def _large_models(graph: Graph, *, squared: bool) -> tuple[str, ...]:
    """Mish is YOLOv4; SiLU is YOLOv5 or v7; leaky ReLU is darknet or YOLOv7-tiny."""
    if look.has_kind(graph, "Mish", "Softplus"):
        return ("yolov4",) if _leaky(graph) and not squared else ("yolov4-csp",)
    pools = set(_pool_sizes(graph))
    if _swishes(graph):
        if not pools:
            return ("yolov5", "yolov7")
        return ("yolov7",) if 2 in pools else ("yolov5",)  # YOLOv7 halves its maps by pooling
    if _leaky(graph):
        return _leaky_models(graph, pools)
    return ("yolov3", "yolov4", "yolov5", "yolov7", "yolov4-csp")


def _leaky_models(graph: Graph, pools: set[int]) -> tuple[str, ...]:
    """YOLOv7-tiny and darknet's models of three heads."""
    if {2, 13} <= pools:  # halving, and the spatial pyramid pooling of YOLOv7-tiny
        return ("yolov5",)
    if 2 in pools:
        return ("yolov4-tiny-3l",) if _splits(graph) else ("yolov3-tiny-3l",)
    concatenations = sum(node.kind.lower().startswith("concat") for node in graph.nodes)
    if concatenations <= 3:  # two of the upsampled maps, one in YOLOv3-spp; cross-stage-partial networks have many
        return ("yolov3",)
    return ("yolov4", "yolov3", "yolov4-csp", "yolov5")


def _splits(graph: Graph) -> bool:
    """Whether channels are halved in three blocks, as in YOLOv4-tiny; exporters also slice shapes to upsample."""
    kinds = [node.kind.replace("_", "").lower() for node in graph.nodes]
    return sum(kind in ("split", "splitv", "slice", "stridedslice") for kind in kinds) >= 3


def _grouped(graph: Graph) -> bool:
    return any(
        node.kind.upper().startswith("DEPTHWISE") or _number(node, "group") > 1
        for node in graph.nodes
        if "CONV" in node.kind.upper()
    )


def _leaky(graph: Graph) -> bool:
    return look.has_kind(graph, "LeakyRelu", "QLinearLeakyRelu")


def _swishes(graph: Graph) -> bool:
    """Swish or hard swish as activation of the backbone; a few sigmoids at the heads are none."""
    many = sum(node.kind.lower() in ("sigmoid", "logistic", "qlinearsigmoid", "quickgelu") for node in graph.nodes)
    return many > 12 or look.has_kind(graph, "HardSwish", "Swish", "Silu")


def _pool_sizes(graph: Graph) -> Iterator[int]:
    """Window sizes of all maximum poolings that the file names."""
    for node in graph.nodes:
        if node.kind.replace("_", "").lower() in ("maxpool", "maxpool2d"):
            yield from (int(size) for key in ("kernel_shape", "filter_height") for size in _numbers(node, key))


def _number(node: Node, attribute: str) -> float:
    return next(iter(_numbers(node, attribute)), 0.0)


def _numbers(node: Node, attribute: str) -> tuple[float, ...]:
    value = node.attributes.get(attribute)
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(float(item) for item in values if isinstance(item, int | float))
