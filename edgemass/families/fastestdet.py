"""FastestDet: one level of stride 16, no anchors.

output: [1, 5 + classes, rows, columns] or channels last; objectness (sigmoid applied), four raw numbers dx, dy, w, h,
then the classes (softmax applied). centre = (cell + tanh d) x stride, size = sigmoid x picture;
score = objectness^0.6 x class^0.4. Source: `DetectHead` in module/custom_layers.py and `handle_preds` in utils/tool.py,
dog-qiuqiu/FastestDet; the exponents are those of its example/ncnn/FastestDet.cpp (its Python tools have none).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._candidates import sigmoid
from edgemass.families._dense import Cells, Layout, choose, corners, finish, rows_above
from edgemass.families._picture import Recipe
from edgemass.families.yolox import grid_of
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Nms, Resize
from edgemass.tensors import FloatArray, Outputs, Tensor, TensorInfo

STRIDE = 16


RECIPE = Recipe("FastestDet", "BGR", (0.0,), (255.0,))


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """layout: "CN" = [1, 5 + classes, rows, columns], "NC" = [1, rows, columns, 5 + classes].

    stride: pixels per cell. objectness_power, class_power: exponents of the score.
    """

    layout: Layout = "CN"
    stride: int = STRIDE
    objectness_power: float = 0.6
    class_power: float = 0.4


def recognise(graph: Graph) -> families.Recognition | None:
    """One feature map of stride 16 with a softmax over its classes."""
    image = look.picture(graph)
    if image is None or not image.width or not image.height or len(graph.outputs) != 1:
        return None
    shape = look.known_shape(graph.outputs[0], graph)
    if len(shape) != 4 or shape[0] != 1 or not look.has_kind(graph, "Softmax"):
        return None
    size = (-(-image.height // STRIDE), -(-image.width // STRIDE))
    layout: Layout = "CN" if shape[2:] == size else "NC"
    channels = shape[1] if layout == "CN" else shape[3]
    if size not in (shape[1:3], shape[2:]) or channels < 6 or not _looks_activated(graph, layout):
        return None
    class_count = channels - 5
    spec, recipe = look.as_input(graph, image, RECIPE, Resize(rule="stretch"))
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"output": (graph.outputs[0].name,)},
        class_count=class_count,
        options={"layout": layout, "stride": STRIDE, "objectness_power": 0.6, "class_power": 0.4},
        nms=Nms(iou=0.45),
        assumed=(*recipe, "score = objectness^0.6 x class^0.4 (FastestDet's C++ example)"),
        default_labels=look.default_labels(class_count),
        score=0.55,  # best F1 on 110 pictures of COCO val2017; the exponents raise all scores
    )


def _looks_activated(graph: Graph, layout: Layout) -> bool:
    """In every trial run objectness is a probability and the classes of a cell sum to 1."""
    for run in graph.runs:
        table = _table(run[graph.outputs[0].name], layout).real()
        if not look.are_probabilities(table[:, :1]) or not np.allclose(table[:, 5:].sum(axis=1), 1, atol=0.2):
            return False  # 0.2: rounding of 8-bit outputs
    return True


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    (output,) = families.role(manifest, outputs, "output")
    if len(output.shape) != 4:
        raise BundleError(
            f"{manifest.name}: output {output.name} has shape {list(output.shape)}, wanted one feature map"
        )
    if not (options.objectness_power > 0 and options.class_power > 0):
        raise BundleError(f"{manifest.name}: output.options: objectness_power and class_power must be above 0")
    grid = grid_of(manifest, (options.stride,))
    channels = output.shape[1 if options.layout == "CN" else 3]
    sides = output.shape[2:] if options.layout == "CN" else output.shape[1:3]
    if channels is not None:
        families.check_labels(manifest, channels - 5)
    wanted = int(grid.xy[-1, 1]) + 1, int(grid.xy[-1, 0]) + 1
    if None not in sides and sides != wanted:
        raise BundleError(
            f"{manifest.name}: output {output.name} has {list(sides)} cells, stride {options.stride} gives "
            f"{list(wanted)} for a picture of {manifest.input.width}x{manifest.input.height}; correct size or stride"
        )
    return _Decoder(output.name, options, grid, np.array([manifest.input.width, manifest.input.height], np.float32))


def _table(tensor: Tensor, layout: Layout) -> Tensor:
    """A view (cells, channels)."""
    data = tensor.data
    if layout == "CN":
        return tensor.with_data(data.reshape(data.shape[1], -1).T)
    return tensor.with_data(data.reshape(-1, data.shape[-1]))


@dataclass(frozen=True)
class _Decoder:
    """size: width and height of the picture in pixels."""

    output: str
    options: Options
    grid: Cells
    size: FloatArray

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        options = self.options
        table = _table(outputs[self.output], options.layout)
        # A class is at most 1, so objectness alone must reach the score.
        least = max(score_threshold, 0.0) ** (1 / options.objectness_power)
        cell = rows_above(table.with_data(table.data[:, 0]), least)
        rows = table.with_data(table.data[cell]).real()
        score = np.asarray(
            rows[:, :1] ** options.objectness_power * np.maximum(rows[:, 5:], 0) ** options.class_power, np.float32
        )
        passed, class_id = choose(score, score_threshold, multi_label=multi_label)
        raw, where = rows[passed, 1:5], cell[passed]
        centre = (np.tanh(raw[:, :2]) + self.grid.xy[where]) * self.grid.stride[where]
        boxes = corners(np.concatenate([centre, sigmoid(raw[:, 2:]) * self.size], axis=1))
        return finish(boxes, score[passed, class_id], class_id, score_threshold)
