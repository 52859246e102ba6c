"""YOLOv8, v9, 11, 12 and whatever else Ultralytics exports without end-to-end head: boxes and classes, no objectness.

output: [1, 4 + classes, boxes], or transposed; cx, cy, w, h in pixels (ONNX) or as fractions of the picture (TensorFlow
formats), then one probability per class. Integer exports have one scale for boxes and scores.
Source: Ultralytics' exporter and its examples (`examples/YOLOv8-ONNXRuntime`, `examples/YOLOv8-TFLite-Python`).
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
from edgemass.families._candidates import picture_size
from edgemass.families._dense import Layout, corners, finish, first_columns, pick, rows_by_columns
from edgemass.families._levels import cut_pairs
from edgemass.families._picture import Picture, Recipe
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import Manifest, Nms, OutputSpec, Resize
from edgemass.tensors import FloatArray, Outputs, TensorInfo

RECIPE = Recipe("Ultralytics", "RGB", (0.0,), (255.0,), only=True)
LETTERBOX = Resize(rule="letterbox", pad_value=114)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """layout: "CN" = [1, 4 + classes, boxes], "NC" = [1, boxes, 4 + classes].

    normalized: boxes are fractions of the picture, not pixels.
    """

    layout: Layout = "CN"
    normalized: bool = False


def recognise(graph: Graph) -> families.Recognition | None:
    """One head with one row per cell and no objectness.

    Raises:
        BundleError: the same head with masks, key points or rotated boxes.
    """
    image = look.picture(graph)
    found = look.only_head(graph, image) if image else None
    if image is None or found is None or look.has_objectness(graph, found):
        return None
    if found.per_cell != 1 and not graph.hints.family:
        return None
    rows = look.observed_rows(graph, found)
    if rows.size and not look.are_probabilities(rows[:, 4:], graph.output(found.name)):
        return None
    return as_rows(graph, image, found, rows, before_classes=4)


def as_rows(
    graph: Graph, image: Picture, found: look.Head, rows: FloatArray, *, before_classes: int
) -> families.Recognition:
    """A head whose rows are a box, perhaps something more, and then the classes.

    rows: (k, columns) observed. before_classes: columns that are no classes.
    """
    normalized, assumed = look.in_fractions(rows[:, :4], graph, found.name)
    class_count = found.columns - before_classes
    spec, recipe = look.as_input(graph, image, RECIPE, LETTERBOX)
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"output": (found.name,)},
        class_count=class_count,
        options={"layout": found.layout, "normalized": normalized},
        nms=Nms(),
        assumed=(*recipe, *assumed),
        default_labels=look.default_labels(class_count),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    (output,) = families.role(manifest, outputs, "output")
    check_columns(manifest, output, options.layout, before_classes=4)
    return _Decoder(output.name, options.layout, box_scale(manifest, normalized=options.normalized))


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    return cut_pairs(manifest, maps, end_to_end=False)


@dataclass(frozen=True)
class _Decoder:
    output: str
    layout: Layout
    scale: FloatArray | None

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        table = rows_by_columns(outputs[self.output], self.layout)
        found = pick(table.with_data(table.data[:, 4:]), score_threshold, multi_label=multi_label)
        boxes = first_columns(table, found.row, 4)
        if self.scale is not None:
            boxes = boxes * self.scale
        return finish(corners(boxes), found.score, found.class_id, score_threshold)


def box_scale(manifest: Manifest, *, normalized: bool) -> FloatArray | None:
    """What turns x, y, x, y (or cx, cy, w, h) as fractions into pixels; None where they are pixels."""
    return np.array(picture_size(manifest) * 2, np.float32) if normalized else None


def check_columns(manifest: Manifest, output: TensorInfo, layout: Layout, *, before_classes: int) -> None:
    """Hold the labels against the output's columns.

    before_classes: columns that are no classes.

    Raises:
        BundleError: not one picture's rows and columns, or another number of classes than labels.
    """
    shape = output.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] not in (None, 1)):
        raise BundleError(
            f"{manifest.name}: output {output.name} has shape {list(shape)}, wanted one picture's rows and columns; "
            "export with batch size 1"
        )
    columns = shape[-1 if layout == "NC" else -2]
    if columns is not None:
        families.check_labels(manifest, columns - before_classes)
