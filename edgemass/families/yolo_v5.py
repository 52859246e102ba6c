"""YOLOv5, and YOLOv6 and v7 in the same form: one decoded head with objectness.

output: [1, boxes, 5 + classes]; cx, cy, w, h in pixels (ONNX) or as fractions of the picture (TensorFlow formats),
objectness, one probability per class; score = objectness x class. YOLOv5 and v7 have three rows per cell, YOLOv6 has
one and its objectness is always 1. Source: `Detect.forward` in ultralytics/yolov5 models/yolo.py and `TFDetect` in
models/tf.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.families import _recognise as look
from edgemass.families._candidates import picture_size
from edgemass.families._dense import Layout, corners, finish, pick_with_objectness, rows_by_columns
from edgemass.families._levels import by_level
from edgemass.families._yolo_anchors import PRESETS
from edgemass.families.yolo_v8 import as_rows, box_scale, check_columns
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import Manifest, OutputSpec
from edgemass.tensors import FloatArray, Outputs, TensorInfo

PUBLISHED = ("yolov5", "yolov5-p6", "yolov7")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """layout: "NC" = [1, boxes, 5 + classes], "CN" = transposed.

    normalized: boxes are fractions of the picture, not pixels.
    """

    layout: Layout = "NC"
    normalized: bool = False


def recognise(graph: Graph) -> families.Recognition | None:
    """One head with three rows per cell, or with one and an objectness that is always 1.

    Raises:
        BundleError: the same head with masks or key points.
    """
    image = look.picture(graph)
    found = look.only_head(graph, image) if image else None
    if image is None or found is None or found.columns < 6:
        return None
    rows = look.observed_rows(graph, found)
    if rows.size and not look.are_probabilities(rows[:, 4:], graph.output(found.name)):
        return None
    always_one = bool(rows.size) and bool(np.allclose(rows[:, 4], 1, atol=0.01))
    if found.per_cell == 1 and not graph.hints.family and not (always_one and look.has_objectness(graph, found)):
        return None
    return as_rows(graph, image, found, rows, before_classes=5)


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    (output,) = families.role(manifest, outputs, "output")
    check_columns(manifest, output, options.layout, before_classes=5)
    return _Decoder(output.name, options.layout, box_scale(manifest, normalized=options.normalized))


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    """Raw maps with three anchors per cell, whose sizes stand in the arithmetic behind them, else are the published."""
    found = by_level(maps, *picture_size(manifest))
    channels = 3 * (5 + len(manifest.labels))
    if found is None or any([item.channels for item in level] != [channels] for level in found.values()):
        return ()
    heads = [level[0] for level in found.values()]
    own = [anchors_behind(item) for item in heads]
    explicit = [tuple(size for sizes in own if sizes for size in sizes)] if all(own) else []
    published = [name for name in PUBLISHED if set(found) <= set(PRESETS[name].strides)]
    return [
        OutputSpec(
            family="yolo_grid",
            tensors={"heads": tuple(item.name for item in heads)},
            options={"anchors": anchors, "strides": list(found), "squared": True},
            nms=manifest.output.nms,
        )
        for anchors in (*explicit, *published)
    ]


def anchors_behind(head: FeatureMap) -> tuple[float, ...]:
    """Width and height in pixels of a map's three anchors: the constant (1, 3, h or 1, w or 1, 2) that is the same in
    every cell and not a shift; () where there is none.
    """
    for value in head.constants:
        if (
            value.ndim == 5
            and value.shape[1] == 3
            and value.shape[-1] == 2
            and np.ptp(value, axis=(0, 2, 3)).max() == 0
        ):
            sizes = value[0, :, 0, 0]
            if sizes.min() > 1 and np.ptp(sizes) > 0:
                return tuple(float(size) for size in sizes.reshape(-1))
    return ()


@dataclass(frozen=True)
class _Decoder:
    output: str
    layout: Layout
    scale: FloatArray | None

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        table = rows_by_columns(outputs[self.output], self.layout)
        found = pick_with_objectness(table, score_threshold, multi_label=multi_label)
        boxes = table.with_data(table.data[found.row, :4]).real()
        if self.scale is not None:
            boxes = boxes * self.scale
        return finish(corners(boxes), found.score, found.class_id, score_threshold)
