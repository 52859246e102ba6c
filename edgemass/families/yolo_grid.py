"""YOLO with anchors, as raw feature maps: v3, v4, their tiny ones, Yolo-Fastest, and v5 or v7 before their decoding.

heads: one tensor per stride; per cell and anchor x, y, w, h, objectness, then the classes. Centre and size by the
formulas of `_yolo_anchors.Preset`; score = objectness x class. Source: `get_yolo_box` in AlexeyAB/darknet
src/yolo_layer.c, `Detect` in ultralytics/yolov5 models/yolo.py. Decoded boxes and scores: see `_yolo_boxes`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _yolo_boxes, _yolo_grid_recognise
from edgemass.families._candidates import logit, sigmoid
from edgemass.families._dense import Cells, choose, corners, finish, stored_limit
from edgemass.families._yolo_anchors import PRESETS, Preset
from edgemass.families.yolox import grid_of
from edgemass.manifest import Manifest
from edgemass.tensors import FloatArray, IntArray, Outputs, Tensor, TensorInfo

recognise = _yolo_grid_recognise.recognise


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """anchors: a name of `_yolo_anchors.PRESETS`, or w, h, w, h, ... in pixels, head after head.

    strides: pixels per cell of each head. axes: of each head; A are anchors, C the numbers of one, (AC) both.
    applied: to which numbers the graph has applied the sigmoid.
    scale_x_y, squared: see `_yolo_anchors.Preset`; needed beside explicit anchors.
    decoded: the tensors are boxes and scores, with these roles, and nothing else counts.
    """

    anchors: str | tuple[float, ...] = ()
    strides: tuple[int, ...] = ()
    axes: Literal["N(AC)HW", "NHW(AC)", "NAHWC", "NHWAC"] = "N(AC)HW"
    applied: tuple[Literal["xy", "wh", "scores"], ...] = ()
    scale_x_y: tuple[float, ...] = ()
    squared: bool = False
    decoded: bool = False


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    if options.decoded:
        return _yolo_boxes.prepare(manifest, outputs)
    infos = families.role(manifest, outputs, "heads")
    if len(infos) != len(options.strides):
        raise BundleError(
            f"{manifest.name}: {len(infos)} heads and {len(options.strides)} strides; give one stride for each of "
            f"{', '.join(info.name for info in infos)}"
        )
    preset = _preset(manifest, options)
    if "wh" in options.applied and not preset.squared:
        raise BundleError(
            f"{manifest.name}: the graph applies a sigmoid to w and h, so sizes are (2 x sigmoid)^2 x anchor; choose "
            "anchors of that kind (yolov5, yolov7, yolov4-csp) or set squared = true"
        )
    heads = [_head(manifest, info, stride, preset) for info, stride in zip(infos, options.strides, strict=True)]
    for info, head in zip(infos, heads, strict=True):
        _check_shape(manifest, info, head, options)
    return _Decoder(tuple(heads), options)


def _preset(manifest: Manifest, options: Options) -> Preset:
    """Anchors and formulas for the manifest's strides.

    Raises:
        BundleError: an unknown name, or numbers that do not fit the heads.
    """
    if isinstance(options.anchors, str) and (known := PRESETS.get(options.anchors.strip().lower())):
        if not set(options.strides) <= set(known.strides):
            raise BundleError(
                f"{manifest.name}: anchors {options.anchors!r} are for strides {list(known.strides)}, the heads have "
                f"{list(options.strides)}; choose others"
            )
        return known
    numbers = _numbers(manifest, options.anchors)
    each, rest = divmod(len(numbers), len(options.strides))
    scales = options.scale_x_y or ((2.0 if options.squared else 1.0),) * len(options.strides)
    if rest or each % 2 or not each or len(scales) != len(options.strides):
        raise BundleError(
            f"{manifest.name}: {len(numbers)} numbers in anchors and {len(scales)} in scale_x_y do not fit "
            f"{len(options.strides)} heads; wanted w, h of every anchor, head after head, and one scale per head"
        )
    anchors = {stride: numbers[i * each : (i + 1) * each] for i, stride in enumerate(options.strides)}
    return Preset(anchors, dict(zip(options.strides, scales, strict=True)), options.squared)


def _numbers(manifest: Manifest, anchors: str | tuple[float, ...]) -> tuple[float, ...]:
    """Explicit anchors, also as they are typed on the command line: 10,14,23,27,..."""
    try:
        texts = re.findall(r"[^\s,;|\[\]()]+", anchors) if isinstance(anchors, str) else anchors
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        numbers = ()
    if not numbers or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise BundleError(
            f"{manifest.name}: anchors {anchors!r} are neither a known name ({', '.join(PRESETS)}) nor sizes in pixels"
        )
    return numbers


@dataclass(frozen=True)
class _Head:
    """anchors: (anchors, 2) in pixels. grid: its one level."""

    output: str
    grid: Cells
    anchors: FloatArray
    scale_x_y: float
    squared: bool


def _head(manifest: Manifest, info: TensorInfo, stride: int, preset: Preset) -> _Head:
    sizes = np.asarray(preset.anchors[stride], np.float32).reshape(-1, 2)
    return _Head(info.name, grid_of(manifest, (stride,)), sizes, preset.scale_x_y[stride], preset.squared)


def _check_shape(manifest: Manifest, info: TensorInfo, head: _Head, options: Options) -> None:
    """Hold a head's shape against labels, anchors and grid.

    Raises:
        BundleError: they do not fit.
    """
    columns, rows = int(head.grid.xy[-1, 0]) + 1, int(head.grid.xy[-1, 1]) + 1
    each, anchors = 5 + len(manifest.labels), len(head.anchors)
    wanted = {
        "N(AC)HW": (1, anchors * each, rows, columns),
        "NHW(AC)": (1, rows, columns, anchors * each),
        "NAHWC": (1, anchors, rows, columns, each),
        "NHWAC": (1, rows, columns, anchors, each),
    }[options.axes]
    fits = len(info.shape) == len(wanted) and all(
        found is None or found == want for found, want in zip(info.shape, wanted, strict=True)
    )
    if not fits:
        raise BundleError(
            f"{manifest.name}: output {info.name} has shape {list(info.shape)}; {len(manifest.labels)} labels, "
            f"{anchors} anchors and a grid of {columns}x{rows} cells want {list(wanted)}; correct them"
        )


@dataclass(frozen=True)
class _Decoder:
    heads: tuple[_Head, ...]
    options: Options

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        found = [
            self._decode(head, self._by_anchor(outputs[head.output], head), score_threshold, multi_label=multi_label)
            for head in self.heads
        ]
        return Detections(
            np.concatenate([one.xyxy for one in found]),
            np.concatenate([one.score for one in found]),
            np.concatenate([one.class_id for one in found]),
        )

    def _by_anchor(self, tensor: Tensor, head: _Head) -> Tensor:
        """A view (anchors, 5 + classes, cells)."""
        data, anchors, cells = tensor.data, len(head.anchors), len(head.grid)
        if self.options.axes == "N(AC)HW":
            return tensor.with_data(data.reshape(anchors, -1, cells))
        if self.options.axes == "NAHWC":
            return tensor.with_data(data.reshape(anchors, cells, -1).transpose(0, 2, 1))
        return tensor.with_data(data.reshape(cells, anchors, -1).transpose(1, 2, 0))

    def _decode(self, head: _Head, table: Tensor, threshold: float, *, multi_label: bool) -> Detections:
        applied = self.options.applied
        least = threshold if "scores" in applied else logit(threshold)
        # A class is at most 1, so objectness alone must reach the score.
        anchor, cell = np.nonzero(table.data[:, 4] > stored_limit(table, least))
        rows = table.with_data(table.data[anchor, :, cell]).real()
        scores = rows[:, 4:] if "scores" in applied else sigmoid(rows[:, 4:])
        scores = scores[:, 1:] * scores[:, :1]
        passed, class_id = choose(scores, threshold, multi_label=multi_label)
        boxes = self._boxes(head, rows[passed, :4], anchor[passed], cell[passed])
        return finish(boxes, scores[passed, class_id], class_id, threshold)

    def _boxes(self, head: _Head, raw: FloatArray, anchor: IntArray, cell: IntArray) -> FloatArray:
        """x, y, w, h (k, 4) of these anchors and cells -> corners (k, 4) in pixels."""
        applied = self.options.applied
        xy = raw[:, :2] if "xy" in applied else sigmoid(raw[:, :2])
        xy = xy * head.scale_x_y - (head.scale_x_y - 1) / 2
        centre = (xy + head.grid.xy[cell]) * head.grid.stride[cell]
        if head.squared:
            wh = raw[:, 2:] if "wh" in applied else sigmoid(raw[:, 2:])
            size = (wh * 2) ** 2
        else:
            with np.errstate(over="ignore"):  # an infinite box is dropped later
                size = np.exp(raw[:, 2:])
        return corners(np.concatenate([centre, size * head.anchors[anchor]], axis=1))
