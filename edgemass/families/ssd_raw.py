"""SSD detectors cut before their post-processing: box and class heads with anchors.

Roles: boxes [1, A, 4] (or [1, A, 1, 4]): offsets to A anchors; scores [1, A, classes], mostly with the background
first. Coding: centre = anchor centre + offset / 10 * anchor size, size = anchor size * exp(offset / 5), which is
faster_rcnn_box_coder of the TensorFlow object detection API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._activations import Activation, find
from edgemass.families._anchors import SSD_ASPECT_RATIOS, fpn_anchors, ssd_anchors, ssd_grids, ultraface_anchors
from edgemass.families._candidates import corners_in_fractions, detections, label_shift, observed_shape, picture_size
from edgemass.families._picture import SYMMETRIC, Recipe, color_picture, input_spec
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Nms, Resize
from edgemass.tensors import FloatArray, IntArray, Outputs, TensorInfo

_IOU = 0.5  # measured: SSD-MobileNet-v1 on 110 pictures of COCO val2017, mAP50 .354 against .347 at the exporter's 0.6
_WIDEST_OFFSET = 100.0  # offsets of made-up pictures; boxes in pixels reach further
_LARGEST_SIDE = 2048  # published ones end at 1280; a file may claim any size, and anchors cost memory


Generator = Literal["ssd", "fpn", "ultraface"]


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """anchors: given ones: centre y, centre x, height, width as fractions of the picture; else made by `generator`.

    generator: "ssd" = MultipleGridAnchorGenerator with the four parameters after grids, "fpn" =
        MultiscaleGridAnchorGenerator on levels 3 to 7, "ultraface" = generate_priors of UltraFace.
    grids: rows and columns of each feature map, fine to coarse; empty = from the picture's size.
    box_order: order of the four offsets. scales: what offsets were multiplied by, in the same order.
    activation: what turns scores into probabilities; "none" where the graph has done it.
    background: whether the first column is the background.
    """

    anchors: tuple[tuple[float, float, float, float], ...] = ()
    generator: Generator = "ssd"
    grids: tuple[tuple[int, int], ...] = ()
    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = SSD_ASPECT_RATIOS
    reduce_lowest: bool = True
    box_order: Literal["yxhw", "xywh"] = "yxhw"
    scales: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    activation: Activation = "sigmoid"
    background: Literal["first", "none"] = "first"


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None or picture.width is None or picture.height is None:
        return None
    state = pair_state(graph)
    carried = {pair.output for pair in state}
    answers = [info for info in graph.outputs if info.name not in carried]
    if len(graph.inputs) != 1 + len(state) or len(answers) != 2:
        return None
    heads = _heads(graph, answers)
    if heads is None:
        return None
    layout = _layout(picture.width, picture.height, heads.anchors)
    if not _encoded(graph, heads.boxes, certain=layout is not None and layout.generator != "ultraface"):
        return None
    known = layout or _LAYOUTS["ssd"]
    low, high = graph.observed_range(heads.scores.name)
    activation = "none" if low >= 0 and high <= 1 else known.activation
    spec, assumed = input_spec(picture, known.recipe, Resize())
    assumed = (*assumed, f"boxes are coded as by {known.source} and column 0 is the background")
    if activation != "none":
        assumed = (*assumed, f"class scores go through a {activation}")
    classes = heads.columns - 1
    options = {"generator": known.generator, "activation": activation, "box_order": known.box_order}
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"boxes": (heads.boxes.name,), "scores": (heads.scores.name,)},
        class_count=classes,
        options=options,
        nms=Nms(iou=known.iou),
        state=state,
        assumed=assumed,
        default_labels=_labels(known, classes),
        score=known.score,
        questions={} if layout else {"anchors": ("[[centre_y, centre_x, height, width], ...]",)},
    )


@dataclass(frozen=True)
class _Layout:
    """What is published together: anchors, the coding of boxes and scores, preprocessing, suppression."""

    generator: Generator
    source: str
    make: Callable[[int, int], FloatArray]
    box_order: Literal["yxhw", "xywh"] = "yxhw"
    activation: Activation = "sigmoid"
    recipe: Recipe = SYMMETRIC
    iou: float = _IOU
    score: float = 0.4


_TENSORFLOW = "TensorFlow's object detection API"
_LAYOUTS = {
    layout.generator: layout
    for layout in (
        _Layout("ssd", _TENSORFLOW, lambda width, height: ssd_anchors(ssd_grids(width, height))),
        _Layout("fpn", _TENSORFLOW, fpn_anchors),
        _Layout(
            "ultraface",
            "UltraFace",
            ultraface_anchors,
            box_order="xywh",
            activation="softmax",
            recipe=Recipe("the authors' image_mean and image_std", "RGB", (127.0,), (128.0,)),
            iou=0.3,  # the authors' iou_threshold
            score=0.7,  # and their threshold for faces
        ),
    )
}


def _layout(width: int, height: int, anchors: int) -> _Layout | None:
    """The published layout whose anchors come out at this number."""
    if max(width, height) > _LARGEST_SIDE:
        return None
    return next((layout for layout in _LAYOUTS.values() if len(layout.make(width, height)) == anchors), None)


def _labels(layout: _Layout, classes: int) -> str:
    if layout.generator == "ultraface":
        return "face" if classes == 1 else ""
    return {90: "coco90", 80: "coco80", 20: "voc20"}.get(classes, "")


@dataclass(frozen=True)
class _Heads:
    boxes: TensorInfo
    scores: TensorInfo
    anchors: int
    columns: int


def _heads(graph: Graph, answers: list[TensorInfo]) -> _Heads | None:
    sized = []
    for info in answers:
        shape = observed_shape(graph, info)
        if len(shape) == 4 and shape[2] == 1:
            shape = (shape[0], shape[1], shape[3])
        if len(shape) != 3 or shape[0] not in (1, None) or not shape[1] or not shape[2]:
            return None
        sized.append((info, shape[1], shape[2]))
    (first, rows, first_columns), (second, other_rows, second_columns) = sized
    if rows != other_rows:
        return None
    if first_columns == second_columns == 4:
        swapped = any(word in second.name.lower() for word in ("box", "loc", "reg", "delta"))
    else:
        swapped = second_columns == 4
    boxes, scores = (second, first) if swapped else (first, second)
    box_columns, columns = (second_columns, first_columns) if swapped else (first_columns, second_columns)
    return _Heads(boxes, scores, rows, columns) if box_columns == 4 and columns >= 2 else None


def _encoded(graph: Graph, boxes: TensorInfo, *, certain: bool) -> bool:
    """Whether boxes are offsets to anchors: below pixels, and no decoded fractions.

    certain: the number of anchors has told it already, as far as nothing speaks against it.
    """
    if not graph.runs:
        name = boxes.name.lower()
        return certain or any(word in name for word in ("encoding", "raw_box", "offset", "loc", "delta"))
    low, high = graph.observed_range(boxes.name)
    if low < -_WIDEST_OFFSET or high > _WIDEST_OFFSET or corners_in_fractions(graph, boxes):
        return False
    return certain or low < 0 < high


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Precompute the anchors.

    Raises:
        BundleError: heads, anchors and labels do not belong together.
    """
    options = families.options(manifest, Options)
    boxes_info = families.role(manifest, outputs, "boxes")[0]
    scores_info = families.role(manifest, outputs, "scores")[0]
    anchors = _anchors(manifest, options)
    background = 1 if options.background == "first" else 0
    columns = (scores_info.shape[-1] if scores_info.shape else None) or len(manifest.labels) + background
    for role, info, width in (("boxes", boxes_info, 4), ("scores", scores_info, columns)):
        if info.shape[1:2] not in ((len(anchors),), (None,)) or info.shape[-1:] not in ((width,), (None,)):
            raise BundleError(
                f"{manifest.name}: {role} have shape {info.shape}, wanted [1, {len(anchors)}, {width}] for "
                f"{len(anchors)} anchors; set output.options.grids or output.options.anchors"
            )
    shift = label_shift(manifest, columns - background)
    unpack = _unpacker(manifest, options, anchors)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        scores = outputs[scores_info.name].reshape(-1, columns)
        rows, classes, score = find(
            scores,
            options.activation,
            background=0 if background else None,
            score_threshold=score_threshold,
            multi_label=multi_label,
        )
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[boxes_info.name].reshape(-1, 4)
        return detections(
            unpack(boxes.with_data(boxes.data[rows]).real(), rows),
            score,
            classes + shift,
            score_threshold=score_threshold,
            class_count=columns - background + shift,
        )

    return decode


def _anchors(manifest: Manifest, options: Options) -> FloatArray:
    if options.anchors:
        return np.asarray(options.anchors, np.float32)
    width, height = picture_size(manifest)
    if options.generator != "ssd":
        return _LAYOUTS[options.generator].make(width, height)
    return ssd_anchors(
        options.grids or ssd_grids(width, height),
        min_scale=options.min_scale,
        max_scale=options.max_scale,
        aspect_ratios=options.aspect_ratios,
        reduce_lowest=options.reduce_lowest,
    )


def _unpacker(
    manifest: Manifest, options: Options, anchors: FloatArray
) -> Callable[[FloatArray, IntArray], FloatArray]:
    """A function from offsets (n, 4) and their anchors' rows to corners (n, 4) in pixels of the model's picture."""
    width, height = picture_size(manifest)
    columns = [1, 0, 3, 2] if options.box_order == "yxhw" else [0, 1, 2, 3]
    anchors = anchors[:, [1, 0, 3, 2]] * np.array([width, height, width, height], np.float32)
    factor = (1 / np.array(options.scales, np.float64))[columns].astype(np.float32)

    def unpack(offsets: FloatArray, rows: IntArray) -> FloatArray:
        moved = offsets[:, columns] * factor
        anchor = anchors[rows]
        centre = anchor[:, :2] + moved[:, :2] * anchor[:, 2:]
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is dropped as not finite
            half = np.exp(moved[:, 2:]) * (anchor[:, 2:] * np.float32(0.5))
            return np.concatenate([centre - half, centre + half], axis=1)

    return unpack
