"""Yolo-FastestV2: three anchors per cell that share one softmax over the classes.

A row per cell: 3 x (x, y, w, h), 3 objectness, then the classes; all activated in the graph. Levels come one after the
other in one tensor [cells, 15 + classes], or as one [1, rows, columns, 15 + classes] (or channels first) per level.
centre = (cell + 2 x - 0.5) x stride, size = (2 w)^2 x anchor, score = objectness x class. Source: `handel_preds` in
utils/utils.py and the anchors in data/coco.data, dog-qiuqiu/Yolo-FastestV2.
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
from edgemass.families._dense import Cells, cell_count, choose, corners, finish, level_sizes, stored_limit
from edgemass.families._picture import Recipe
from edgemass.families.yolox import grid_of
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Nms, Resize
from edgemass.tensors import FloatArray, Outputs, Tensor, TensorInfo

ANCHORS = (12.64, 19.39, 37.88, 51.48, 55.71, 138.31, 126.91, 78.23, 131.57, 214.55, 279.92, 258.87)
"""Width and height of 2 x 3 anchors in pixels of a 352 x 352 picture, data/coco.data."""

STRIDES = (16, 32)
PER_CELL = 3
BEFORE_CLASSES = PER_CELL * 5


RECIPE = Recipe("Yolo-FastestV2", "BGR", (0.0,), (255.0,))


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """channels_first: levels are [1, 15 + classes, rows, columns].

    anchors: w, h in pixels, three per level, level after level. strides: pixels per cell of each level.
    """

    channels_first: bool = False
    anchors: tuple[float, ...] = ANCHORS
    strides: tuple[int, ...] = STRIDES


def recognise(graph: Graph) -> families.Recognition | None:
    """A softmax over the classes, and levels of stride 16 and 32 whose cells fit the picture."""
    image = look.picture(graph)
    if image is None or not image.width or not image.height or not look.has_kind(graph, "Softmax"):
        return None
    sizes = level_sizes(image.width, image.height, STRIDES)
    found = _one_table(graph, cell_count(image.width, image.height, STRIDES)) or _levels(graph, sizes)
    if found is None or found.columns <= BEFORE_CLASSES or not _looks_activated(graph, found):
        return None
    class_count = found.columns - BEFORE_CLASSES
    spec, recipe = look.as_input(graph, image, RECIPE, Resize(rule="stretch"))
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"levels": found.names},
        class_count=class_count,
        options={"channels_first": found.channels_first, "anchors": ANCHORS, "strides": STRIDES},
        nms=Nms(iou=0.45),
        assumed=(*recipe, "the anchors are those of COCO (Yolo-FastestV2, data/coco.data)"),
        default_labels=look.default_labels(class_count),
        score=0.3,  # the authors' own (sample/ncnn), and near the best F1 on 110 pictures of COCO val2017
    )


@dataclass(frozen=True)
class _Levels:
    names: tuple[str, ...]
    columns: int
    channels_first: bool


def _one_table(graph: Graph, cells: int) -> _Levels | None:
    if len(graph.outputs) != 1:
        return None
    shape = look.known_shape(graph.outputs[0], graph)
    fits = len(shape) in (2, 3) and shape[-2] == cells and shape[:-2] in ((), (1,))
    return _Levels((graph.outputs[0].name,), shape[-1], channels_first=False) if fits else None


def _levels(graph: Graph, sizes: list[tuple[int, int]]) -> _Levels | None:
    """One output per level, in any order."""
    shapes = {info.name: look.known_shape(info, graph) for info in graph.outputs}
    if len(shapes) != len(sizes) or any(len(shape) != 4 for shape in shapes.values()):
        return None
    for channels_first in (False, True):
        rows, columns, channels = (2, 3, 1) if channels_first else (1, 2, 3)
        by_size = {(shape[columns], shape[rows]): name for name, shape in shapes.items()}
        widths = {shape[channels] for shape in shapes.values()}
        if set(by_size) == set(sizes) and len(widths) == 1:
            return _Levels(tuple(by_size[size] for size in sizes), widths.pop(), channels_first)
    return None


def _looks_activated(graph: Graph, found: _Levels) -> bool:
    """In every trial run the classes of a cell sum to 1, as a softmax leaves them."""
    for run in graph.runs:
        table = np.concatenate([_table(run[name], channels_first=found.channels_first).real() for name in found.names])
        total = table[:, BEFORE_CLASSES:].sum(axis=1)
        if not look.are_probabilities(table) or not np.allclose(total, 1, atol=0.2):  # 0.2: rounding of 8-bit outputs
            return False
    return True


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    levels = families.role(manifest, outputs, "levels")
    columns = {level.shape[1 if options.channels_first else -1] for level in levels}
    if len(columns) != 1:
        raise BundleError(f"{manifest.name}: levels have {sorted(map(str, columns))} channels, wanted the same for all")
    channels = columns.pop()
    if channels is not None:
        families.check_labels(manifest, channels - BEFORE_CLASSES)
    wanted = len(options.strides) * PER_CELL * 2
    if len(options.anchors) != wanted:
        raise BundleError(
            f"{manifest.name}: output.options.anchors has {len(options.anchors)} numbers, wanted {wanted}: w, h of "
            f"{PER_CELL} anchors for each of the strides {list(options.strides)}"
        )
    grid = grid_of(manifest, options.strides)
    if len(levels) == 1 and levels[0].shape[-2] not in (None, len(grid)):
        raise BundleError(
            f"{manifest.name}: output {levels[0].name} has {levels[0].shape[-2]} rows, strides {list(options.strides)} "
            f"give {len(grid)} for a picture of {manifest.input.width}x{manifest.input.height}; correct the input size"
        )
    anchors = np.asarray(options.anchors, np.float32).reshape(len(options.strides), PER_CELL, 2)
    level_of_cell = np.searchsorted(options.strides, grid.stride[:, 0])
    return _Decoder(tuple(level.name for level in levels), options.channels_first, grid, anchors[level_of_cell])


def _table(tensor: Tensor, *, channels_first: bool) -> Tensor:
    """A view (cells, channels)."""
    data = tensor.data
    if channels_first:
        return tensor.with_data(data.reshape(data.shape[1], -1).T)
    return tensor.with_data(data.reshape(-1, data.shape[-1]))


@dataclass(frozen=True)
class _Decoder:
    """anchors: (cells, 3, 2)."""

    levels: tuple[str, ...]
    channels_first: bool
    grid: Cells
    anchors: FloatArray

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        found: list[Detections] = []
        start = 0
        for name in self.levels:
            table = _table(outputs[name], channels_first=self.channels_first)
            found.append(self._level(table, start, score_threshold, multi_label=multi_label))
            start += len(table.data)
        if len(found) == 1:
            return found[0]
        return Detections(
            np.concatenate([one.xyxy for one in found]),
            np.concatenate([one.score for one in found]),
            np.concatenate([one.class_id for one in found]),
        )

    def _level(self, table: Tensor, start: int, threshold: float, *, multi_label: bool) -> Detections:
        objectness = table.data[:, PER_CELL * 4 : BEFORE_CLASSES]
        cell, anchor = np.nonzero(objectness > stored_limit(table, threshold))  # a class is at most 1
        rows = table.with_data(table.data[cell]).real()
        nth = np.arange(len(cell))
        score = rows[:, BEFORE_CLASSES:] * rows[nth, PER_CELL * 4 + anchor][:, None]
        passed, class_id = choose(score, threshold, multi_label=multi_label)
        raw = rows[:, : PER_CELL * 4].reshape(-1, PER_CELL, 4)[passed, anchor[passed]]
        where = start + cell[passed]
        centre = (raw[:, :2] * 2 - 0.5 + self.grid.xy[where]) * self.grid.stride[where]
        size = (raw[:, 2:] * 2) ** 2 * self.anchors[where, anchor[passed]]
        boxes = corners(np.concatenate([centre, size], axis=1))
        return finish(boxes, score[passed, class_id], class_id, threshold)
