"""SSD detectors of qfgaohao/pytorch-ssd and its kin, boxes decoded: UltraFace slim and RFB, jetson-inference's SSDs.

Roles: scores [1, N, 1 + classes], softmax applied, background first; boxes [1, N, 4]: x1, y1, x2, y2 as fractions of
the picture.
Authors' code: Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, run_video_face_detect_onnx.py; qfgaohao/pytorch-ssd.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._candidates import (
    above,
    corners_in_fractions,
    detections,
    label_shift,
    observed_shape,
    pick,
    picture_size,
)
from edgemass.families._picture import Recipe, color_picture, input_spec
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Nms, Resize
from edgemass.tensors import Outputs, TensorInfo

_RECIPE = Recipe("the authors' image_mean and image_std", "RGB", (127.0,), (128.0,))
_FACE_IOU = 0.3  # authors' iou_threshold
_OBJECT_IOU = 0.45  # qfgaohao/pytorch-ssd, config.iou_threshold


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing to choose: boxes come decoded."""


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None or len(graph.inputs) != 1 or len(graph.outputs) != 2:
        return None
    if picture.width is None or picture.height is None:
        return None
    roles = _roles(graph)
    if roles is None or not _decoded(graph, *roles):
        return None
    scores, boxes = roles
    columns = observed_shape(graph, scores)[-1]
    if columns is None:
        return None
    classes = columns - 1
    spec, assumed = input_spec(picture, _RECIPE, Resize())
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"scores": (scores.name,), "boxes": (boxes.name,)},
        class_count=classes,
        nms=Nms(iou=_FACE_IOU if classes == 1 else _OBJECT_IOU),
        assumed=assumed,
        default_labels={1: "face", 20: "voc20"}.get(classes, ""),
        score=0.7 if classes == 1 else 0.4,  # authors' threshold for faces
    )


def _roles(graph: Graph) -> tuple[TensorInfo, TensorInfo] | None:
    """Scores and boxes, told apart by what they hold when there are three classes."""
    shapes = {info.name: observed_shape(graph, info) for info in graph.outputs}
    if any(len(shape) != 3 or shape[0] not in (1, None) or (shape[2] or 0) < 2 for shape in shapes.values()):
        return None
    first, second = graph.outputs
    if shapes[first.name][1] != shapes[second.name][1]:
        return None
    for scores, boxes in ((first, second), (second, first)):
        if shapes[boxes.name][2] != 4:
            continue
        if shapes[scores.name][2] != 4 or "box" in boxes.name.lower() or _sums_to_one(graph, scores):
            return scores, boxes
    return None


def _decoded(graph: Graph, scores: TensorInfo, boxes: TensorInfo) -> bool:
    """Applied softmax and boxes in fractions; without an observed run the operators and names must say so."""
    if graph.runs:
        return corners_in_fractions(graph, boxes) and _sums_to_one(graph, scores)
    producer = graph.producer(scores.name)
    softmax = producer is not None and producer.kind in ("Softmax", "SOFTMAX")
    return softmax and scores.name == "scores" and boxes.name == "boxes"


def _sums_to_one(graph: Graph, scores: TensorInfo) -> bool:
    """Every row is a distribution; each of its 8-bit values may be off by half a step."""
    for run in graph.runs:
        real = run[scores.name].real()
        step = scores.quantization.scale if scores.quantization else 0.0
        slack = 0.01 + 0.5 * step * real.shape[-1]
        if real.min() < -1e-3 or not np.all(np.abs(real.sum(axis=-1) - 1) <= slack):
            return False
    return bool(graph.runs)


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Check that heads and labels belong together.

    Raises:
        BundleError: scores and boxes do not belong together, or labels do not fit.
    """
    families.options(manifest, Options)
    scores_info = families.role(manifest, outputs, "scores")[0]
    boxes_info = families.role(manifest, outputs, "boxes")[0]
    if len(scores_info.shape) != 3 or boxes_info.shape[-1:] != (4,) or scores_info.shape[1:2] != boxes_info.shape[1:2]:
        raise BundleError(
            f"{manifest.name}: scores {scores_info.shape} and boxes {boxes_info.shape} do not belong together; "
            "wanted [1, N, 1 + classes] and [1, N, 4]"
        )
    columns = scores_info.shape[2] or len(manifest.labels) + 1
    shift = label_shift(manifest, columns - 1)
    width, height = picture_size(manifest)
    size = np.array([width, height, width, height], np.float32)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        scores = outputs[scores_info.name].reshape(-1, columns)
        objects = scores.with_data(scores.data[:, 1:])
        rows, classes = pick(above(objects, score_threshold), objects.data, multi_label=multi_label)
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[boxes_info.name].reshape(-1, 4)
        return detections(
            boxes.with_data(boxes.data[rows]).real() * size,
            objects.with_data(objects.data[rows, classes]).real(),
            classes + shift,
            score_threshold=score_threshold,
            class_count=columns - 1 + shift,
        )

    return decode
