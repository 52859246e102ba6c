"""YOLOX: one row per cell with objectness, usually not decoded in the graph.

output: [1, cells, 5 + classes]; per row dx, dy, log w, log h, objectness, one probability per class;
centre = (cell + d) x stride, size = exp(log) x stride, score = objectness x class. Exports with `decode_in_inference`
have cx, cy, w, h in pixels instead.
Source: `YOLOXHead.decode_outputs` in Megvii-BaseDetection/YOLOX yolox/models/yolo_head.py and `ValTransform` in
yolox/data/data_augment.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._candidates import logit, picture_size, sigmoid
from edgemass.families._dense import (
    Cells,
    Layout,
    cells,
    choose,
    corners,
    finish,
    level_sizes,
    pick_with_objectness,
    rows_above,
    rows_by_columns,
)
from edgemass.families._levels import by_level
from edgemass.families._picture import Recipe
from edgemass.families.yolo_v8 import check_columns
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import Manifest, Nms, OutputSpec, Resize
from edgemass.tensors import FloatArray, Outputs, Tensor, TensorInfo

RECIPE = Recipe("YOLOX since 0.1.1rc0; older exports took RGB with mean and std", "BGR")
TOP_LEFT = Resize(rule="letterbox-top-left", pad_value=114)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """layout: "NC" = [1, cells, 5 + classes], "CN" = transposed.

    decoded: boxes are cx, cy, w, h in pixels already.
    strides: pixels per cell of each level, in the order of the rows.
    maps: the head before its activations and its one table: per level boxes [1, 4, h, w], objectness [1, 1, h, w] and
        classes [1, classes, h, w], the last two as logits, with these roles.
    """

    layout: Layout = "NC"
    decoded: bool = False
    strides: tuple[int, ...] = (8, 16, 32)
    maps: bool = False


def recognise(graph: Graph) -> families.Recognition | None:
    """One head with one row per cell and objectness.

    Raises:
        BundleError: the same head with masks.
    """
    image = look.picture(graph)
    found = look.only_head(graph, image) if image else None
    if image is None or found is None or found.per_cell != 1:
        return None
    if look.has_kind(graph, "Softmax") and not graph.hints.family:
        return None
    if not look.has_objectness(graph, found):
        return None
    rows = look.observed_rows(graph, found)
    if rows.size and not look.are_probabilities(rows[:, 4:], graph.output(found.name)):
        return None
    decoded = (
        bool(rows.size) and bool(np.nanmin(rows[:, 2:4]) >= 0) and bool(np.nanmax(rows[:, :2]) > found.strides[-1])
    )
    class_count = found.columns - 5
    spec, recipe = look.as_input(graph, image, RECIPE, TOP_LEFT)
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"output": (found.name,)},
        class_count=class_count,
        options={"layout": found.layout, "decoded": decoded, "strides": found.strides},
        nms=Nms(),
        assumed=recipe,
        default_labels=look.default_labels(class_count),
        score=0.3,  # of Megvii's demos, and near the best F1 on 110 pictures of COCO val2017
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    if options.maps:
        return _prepare_maps(manifest, outputs, options)
    (output,) = families.role(manifest, outputs, "output")
    check_columns(manifest, output, options.layout, before_classes=5)
    grid = None if options.decoded else grid_of(manifest, options.strides)
    rows = output.shape[-2 if options.layout == "NC" else -1]
    if grid is not None and rows is not None and rows != len(grid):
        raise BundleError(
            f"{manifest.name}: output {output.name} has {rows} rows, strides {list(options.strides)} give {len(grid)} "
            f"for a picture of {manifest.input.width}x{manifest.input.height}; correct input size or strides"
        )
    return _Decoder(output.name, options.layout, grid)


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    """Three maps per level. A head that decodes its boxes itself has the same ones before."""
    options = families.options(manifest, Options)
    levels = by_level(maps, *picture_size(manifest))
    if levels is None or tuple(levels) != options.strides:
        return ()
    tensors: dict[str, list[str]] = {"boxes": [], "objectness": [], "classes": []}
    for level in levels.values():
        channels = {item.channels: item.name for item in level}
        if len(level) != 3 or set(channels) != {4, 1, len(manifest.labels)}:
            return ()
        for role, count in (("boxes", 4), ("objectness", 1), ("classes", len(manifest.labels))):
            tensors[role].append(channels[count])
    roles = {role: tuple(names) for role, names in tensors.items()}
    return [
        OutputSpec(
            family="yolox",
            tensors=roles,
            options={"strides": list(options.strides), "maps": True},
            nms=manifest.output.nms,
        )
    ]


def _prepare_maps(manifest: Manifest, outputs: Mapping[str, TensorInfo], options: Options) -> families.Decoder:
    levels = []
    sizes = level_sizes(*picture_size(manifest), options.strides)
    roles = [families.role(manifest, outputs, role) for role in ("boxes", "objectness", "classes")]
    for tensors, channels in zip(roles, (4, 1, len(manifest.labels)), strict=True):
        if len(tensors) != len(sizes):
            raise BundleError(f"{manifest.name}: {len(tensors)} tensors for {len(sizes)} strides; name one for each")
        for tensor, (columns, rows) in zip(tensors, sizes, strict=True):
            wanted = (1, channels, rows, columns)
            if any(f not in (None, w) for f, w in zip(tensor.shape, wanted, strict=False)) or len(tensor.shape) != 4:
                raise BundleError(
                    f"{manifest.name}: output {tensor.name} has shape {list(tensor.shape)}, wanted {list(wanted)}"
                )
    for boxes, objectness, classes, stride in zip(*roles, options.strides, strict=True):
        levels.append(_Level(boxes.name, objectness.name, classes.name, grid_of(manifest, (stride,))))
    return _MapsDecoder(tuple(levels))


def grid_of(manifest: Manifest, strides: tuple[int, ...]) -> Cells:
    """The cells of the manifest's picture.

    Raises:
        BundleError: no size or no strides to make them from.
    """
    if not strides or min(strides) < 1:
        raise BundleError(f"{manifest.name}: output.options.strides is {list(strides)}, wanted at least one above 0")
    return cells(*picture_size(manifest), strides)


@dataclass(frozen=True)
class _Decoder:
    output: str
    layout: Layout
    grid: Cells | None

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        table = rows_by_columns(outputs[self.output], self.layout)
        found = pick_with_objectness(table, score_threshold, multi_label=multi_label)
        boxes = table.with_data(table.data[found.row, :4]).real()
        if self.grid is not None:
            boxes = _decode(boxes, self.grid.xy[found.row], self.grid.stride[found.row])
        return finish(corners(boxes), found.score, found.class_id, score_threshold)


@dataclass(frozen=True)
class _Level:
    boxes: str
    objectness: str
    classes: str
    grid: Cells


@dataclass(frozen=True)
class _MapsDecoder:
    levels: tuple[_Level, ...]

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        parts = [self._decode(outputs, level, score_threshold, multi_label=multi_label) for level in self.levels]
        return Detections(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.score for part in parts]),
            np.concatenate([part.class_id for part in parts]),
        )

    @staticmethod
    def _decode(outputs: Outputs, level: _Level, threshold: float, *, multi_label: bool) -> Detections:
        """A class is at most 1, so objectness alone must reach the score."""
        objectness, classes, boxes = (
            rows_by_columns(_flat(outputs[name]), "CN") for name in (level.objectness, level.classes, level.boxes)
        )
        row = rows_above(objectness.with_data(objectness.data[:, 0]), logit(threshold))
        found = sigmoid(objectness.with_data(objectness.data[row, 0]).real())
        score = sigmoid(classes.with_data(classes.data[row]).real()) * found[:, None]
        nth, class_id = choose(score, threshold, multi_label=multi_label)
        kept = row[nth]
        decoded = _decode(boxes.with_data(boxes.data[kept]).real(), level.grid.xy[kept], level.grid.stride[kept])
        return finish(corners(decoded), score[nth, class_id], class_id, threshold)


def _flat(tensor: Tensor) -> Tensor:
    """[1, channels, h, w] -> [1, channels, cells]."""
    return tensor.reshape(1, tensor.data.shape[1], -1)


def _decode(raw: FloatArray, cell: FloatArray, stride: FloatArray) -> FloatArray:
    """dx, dy, log w, log h (k, 4) -> cx, cy, w, h in pixels."""
    with np.errstate(over="ignore"):  # an infinite box is dropped later
        return np.concatenate([(raw[:, :2] + cell) * stride, np.exp(raw[:, 2:]) * stride], axis=1)
