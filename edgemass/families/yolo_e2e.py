"""Heads that leave at most one row per object: YOLOv10, YOLO26, RT-DETR, and exports with NMS in the graph.

rows: [1, boxes, 6]: x1, y1, x2, y2, score, class; boxes that are not used have score 0. [boxes, 7]: batch index, x1,
y1, x2, y2, class, score, as YOLOv7's `--end2end` export writes them.
queries: [1, boxes, 4 + classes]: cx, cy, w, h, then one probability per class, as Ultralytics exports RT-DETR.
Boxes are in pixels, or fractions of the picture. Source: `v10Detect` and `RTDETRDecoder` in
ultralytics/nn/modules/head.py, `NMSModel` in ultralytics/engine/exporter.py, `ONNX_ORT` in WongKinYiu/yolov7
models/experimental.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._dense import corners, finish, pick, rows_above, rows_by_columns
from edgemass.families._levels import cut_pairs
from edgemass.families.yolo_v8 import LETTERBOX, RECIPE, box_scale, check_columns
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import Manifest, OutputSpec, Resize
from edgemass.tensors import AnyArray, FloatArray, Outputs, Tensor, TensorInfo

MOST_ROWS = 1000  # Ultralytics' max_det is 300; a dense head has thousands of rows


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """kind: "rows" = corners, score and class; "queries" = centre, size and a probability per class.

    normalized: boxes are fractions of the picture, not pixels.
    box_column, score_column, class_column: of "rows".
    """

    kind: Literal["rows", "queries"] = "rows"
    normalized: bool = False
    box_column: int = 0
    score_column: int = 4
    class_column: int = 5


def recognise(graph: Graph) -> families.Recognition | None:
    """One short table that does not fit the cells of the picture.

    Raises:
        BundleError: the same table with masks, key points or rotated boxes.
    """
    image = look.picture(graph)
    if image is None or len(graph.outputs) != 1:
        return None
    shape = look.known_shape(graph.outputs[0], graph)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1) or shape[-2] > MOST_ROWS:
        return None
    found = look.head(graph.outputs[0], graph, image)
    if found is not None and found.per_cell:
        return None
    options = _options(graph, shape)
    if options is None:
        return None
    look.check_task(graph)
    class_count = shape[-1] - 4 if options.kind == "queries" else None
    rows = _observed(graph, shape[-1])
    used = rows if options.kind == "queries" else rows[rows[:, options.score_column] > 0]
    boxes = used[:, options.box_column : options.box_column + 4]
    normalized, assumed = look.in_fractions(boxes, graph, graph.outputs[0].name)
    # RT-DETR's predictor stretches; its deformable attention samples at free points, which no YOLO does.
    stretched = options.kind == "queries" or look.has_kind(graph, "GridSample")
    resize = Resize(rule="stretch") if stretched else LETTERBOX
    spec, recipe = look.as_input(graph, image, RECIPE, resize)
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"output": (graph.outputs[0].name,)},
        class_count=class_count,
        options={**msgspec.to_builtins(options), "normalized": normalized},
        assumed=(*recipe, *assumed),
        default_labels=look.default_labels(class_count or _class_count(used[:, options.class_column])),
    )


def _class_count(numbers: AnyArray) -> int:
    """80 where the numbers of the classes in the trial runs' many poor rows come close to it, else 0: not known."""
    highest = int(np.nanmax(numbers)) if numbers.size else 0
    return 80 if 60 <= highest < 80 else 0


def _observed(graph: Graph, columns: int) -> FloatArray:
    """Rows (k, columns) of all trial runs; none of a run whose answer is not what the graph declares."""
    answers = [run[graph.outputs[0].name].real() for run in graph.runs]
    parts = [answer.reshape(-1, columns) for answer in answers if answer.shape[-1:] == (columns,)]
    return np.concatenate(parts) if parts else np.empty((0, columns), np.float32)


def _options(graph: Graph, shape: tuple[int, ...]) -> Options | None:
    """Which of the forms a table (rows, columns) is, by its columns and by what the trial runs left in them."""
    columns = shape[-1]
    rows = _observed(graph, columns)
    if columns == 6 and len(shape) == 3 and _scores_and_classes(rows[:, 4], rows[:, 5]):
        return Options()
    if columns == 7 and len(shape) == 2 and _scores_and_classes(rows[:, 6], rows[:, 5]):
        return Options(box_column=1, score_column=6, class_column=5)
    if len(shape) == 3 and columns >= 5 and len(rows) and look.are_probabilities(rows):
        return Options(kind="queries")
    return None


def _scores_and_classes(scores: AnyArray, classes: AnyArray) -> bool:
    """Whether two observed columns can be scores and class numbers; without rows nothing speaks against it."""
    if not scores.size:
        return True
    whole = np.allclose(classes, np.rint(classes), atol=0.01) and bool(np.nanmin(classes) >= -1)
    return whole and look.are_probabilities(scores)


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    (output,) = families.role(manifest, outputs, "output")
    scale = box_scale(manifest, normalized=options.normalized)
    if options.kind == "queries":
        check_columns(manifest, output, "NC", before_classes=4)
        return _Queries(output.name, scale)
    columns = output.shape[-1] if output.shape else None
    used = max(options.box_column + 3, options.score_column, options.class_column)
    if columns is not None and columns <= used:
        raise BundleError(
            f"{manifest.name}: output {output.name} has {columns} columns, its options name column {used}"
        )
    return _Rows(output.name, options, scale, len(manifest.labels))


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    """The head that is trained for one box per object, before it chooses its 300 best."""
    return cut_pairs(manifest, maps, end_to_end=True)


@dataclass(frozen=True)
class _Rows:
    output: str
    options: Options
    scale: FloatArray | None
    class_count: int

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        """multi_label changes nothing: a row has one class. Classes without a label are left out."""
        del multi_label
        options = self.options
        table = rows_by_columns(outputs[self.output], "NC")
        row = rows_above(table.with_data(table.data[:, options.score_column]), score_threshold)
        rows = table.with_data(table.data[row]).real()
        boxes = rows[:, options.box_column : options.box_column + 4]
        if self.scale is not None:
            boxes = boxes * self.scale
        numbers = np.nan_to_num(rows[:, options.class_column], nan=-1, posinf=-1, neginf=-1)
        class_id = np.rint(numbers).astype(np.int64)
        known = (class_id >= 0) & (class_id < self.class_count)
        return finish(boxes[known], rows[known, options.score_column], class_id[known], score_threshold)


@dataclass(frozen=True)
class _Queries:
    output: str
    scale: FloatArray | None

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        table: Tensor = rows_by_columns(outputs[self.output], "NC")
        found = pick(table.with_data(table.data[:, 4:]), score_threshold, multi_label=multi_label)
        boxes = table.with_data(table.data[found.row, :4]).real()
        if self.scale is not None:
            boxes = boxes * self.scale
        return finish(corners(boxes), found.score, found.class_id, score_threshold)
