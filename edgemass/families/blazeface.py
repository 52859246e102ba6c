"""BlazeFace and its kin of MediaPipe (palms, bodies): box and score heads over square anchors without a shape.

Roles, one tensor or one per feature map (fine to coarse): regressors [1, A, 4 + 2 keypoints]: centre x, centre y,
width, height in pixels of the model's picture, the centre relative to the anchor's; classificators [1, A, 1]: logits.
Source: MediaPipe, TensorsToDetectionsCalculator and SsdAnchorsCalculator with face_detection_*.pbtxt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._anchors import point_anchors
from edgemass.families._candidates import above, detections, logit, observed_shape, picture_size, sigmoid
from edgemass.families._picture import Recipe, color_picture, input_spec
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Nms, Resize
from edgemass.tensors import FloatArray, IntArray, Outputs, Tensor, TensorInfo

# (strides, anchors per layer) of the *.pbtxt files: short range and palm, back camera, full range, body and old palm.
_LAYOUTS: tuple[tuple[tuple[int, ...], int], ...] = (
    ((8, 16, 16, 16), 2),
    ((16, 32, 32, 32), 2),
    ((4,), 1),
    ((8, 16, 32, 32, 32), 2),
)
_KINDS = {16: "face", 18: "palm", 12: "person"}  # six face, seven palm, four body keypoints
_LARGEST_SIDE = 512  # published ones end at 256; a file may claim any size, and anchors cost memory
_IOU = 0.3  # min_suppression_threshold of the face graphs; MediaPipe averages the overlapping boxes, we keep the best


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """strides: of each layer; anchors_per_layer: 2 where the layer has an interpolated scale.

    activation: "none" where the graph applies the sigmoid itself.
    """

    strides: tuple[int, ...]
    anchors_per_layer: int = 2
    activation: Literal["sigmoid", "none"] = "sigmoid"


@dataclass(frozen=True)
class _Heads:
    regressors: tuple[str, ...]
    classificators: tuple[str, ...]
    anchors: int
    columns: int


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None or len(graph.inputs) != 1 or picture.width is None or picture.height is None:
        return None
    heads = _heads(graph)
    if heads is None or heads.columns not in _KINDS:
        return None
    if max(picture.width, picture.height) > _LARGEST_SIDE:
        return None
    layout = next(
        (it for it in _LAYOUTS if len(point_anchors(picture.width, picture.height, *it)) == heads.anchors), None
    )
    if layout is None:
        return None
    ranges = [graph.observed_range(name) for name in heads.classificators]
    applied = bool(graph.runs) and all(low >= 0 and high <= 1 for low, high in ranges)
    resize = Resize(rule="letterbox", pad_value=0)
    spec, assumed = input_spec(picture, Recipe("MediaPipe's graphs", "RGB", (127.5,), (127.5,)), resize)
    kind = _KINDS[heads.columns]
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"regressors": heads.regressors, "classificators": heads.classificators},
        class_count=1,
        options={
            "strides": list(layout[0]),
            "anchors_per_layer": layout[1],
            "activation": "none" if applied else "sigmoid",
        },
        nms=Nms(iou=_IOU),
        assumed=(*assumed, "frames keep their shape and are padded with black", f"the one class is {kind}"),
        default_labels=kind,
        score=0.5,  # min_score_thresh of the graphs
    )


def _heads(graph: Graph) -> _Heads | None:
    """Outputs sorted into boxes and scores, each fine to coarse: the finer map has more anchors."""
    regressors: list[tuple[int, str]] = []
    classificators: list[tuple[int, str]] = []
    columns: set[int] = set()
    for info in graph.outputs:
        shape = observed_shape(graph, info)
        if len(shape) != 3 or shape[0] not in (1, None) or not shape[1] or not shape[2]:
            return None
        if shape[2] == 1:
            classificators.append((shape[1], info.name))
        else:
            regressors.append((shape[1], info.name))
            columns.add(shape[2])
    regressors.sort(key=lambda row: -row[0])
    classificators.sort(key=lambda row: -row[0])
    if not regressors or len(columns) != 1 or [n for n, _ in regressors] != [n for n, _ in classificators]:
        return None
    return _Heads(
        tuple(name for _, name in regressors),
        tuple(name for _, name in classificators),
        sum(n for n, _ in regressors),
        columns.pop(),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Precompute the anchors' centres.

    Raises:
        BundleError: heads and anchors do not belong together, or there is not exactly one label.
    """
    options = families.options(manifest, Options)
    regressors = families.role(manifest, outputs, "regressors")
    classificators = families.role(manifest, outputs, "classificators")
    families.check_labels(manifest, 1)
    width, height = picture_size(manifest)
    if not options.strides or min(options.strides) < 1 or options.anchors_per_layer < 1:
        raise BundleError(f"{manifest.name}: output.options.strides {options.strides} must be at least 1 each")
    anchors = point_anchors(width, height, options.strides, options.anchors_per_layer)
    centres = anchors[:, [1, 0]] * np.array([width, height], np.float32)
    counts = [_rows(manifest, r, c) for r, c in zip(regressors, classificators, strict=True)]
    if sum(counts) != len(centres):
        raise BundleError(
            f"{manifest.name}: the heads have {sum(counts)} rows, but strides {options.strides} at {width}x{height} "
            f"make {len(centres)} anchors; set output.options.strides and anchors_per_layer"
        )
    starts = np.cumsum([0, *counts[:-1]])

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
        boxes, scores = [], []
        for regressor, classificator, start in zip(regressors, classificators, starts, strict=True):
            head = outputs[classificator.name].reshape(-1)
            score, rows = _scores(head, score_threshold, applied=options.activation == "none")
            if rows.size:
                box = outputs[regressor.name].reshape(len(head.data), -1)
                boxes.append(_corners(box.with_data(box.data[rows, :4]).real(), centres[start + rows]))
                scores.append(score)
        if not boxes:
            return Detections.empty()
        score = np.concatenate(scores)
        return detections(
            np.concatenate(boxes),
            score,
            np.zeros(len(score), np.int64),
            score_threshold=score_threshold,
            class_count=1,
        )

    return decode


def _rows(manifest: Manifest, regressor: TensorInfo, classificator: TensorInfo) -> int:
    rows = regressor.shape[1] if len(regressor.shape) == 3 else None
    if rows is None or classificator.shape[1:2] != (rows,) or (regressor.shape[2] or 0) < 4:
        raise BundleError(
            f"{manifest.name}: {regressor.name} {regressor.shape} and {classificator.name} {classificator.shape} do "
            "not belong together; wanted [1, A, 4 + keypoints] and [1, A, 1]"
        )
    return rows


def _scores(head: Tensor, threshold: float, *, applied: bool) -> tuple[FloatArray, IntArray]:
    rows = np.flatnonzero(above(head, threshold if applied else logit(threshold)))
    score = head.with_data(head.data[rows]).real()
    return (score if applied else sigmoid(score)), rows


def _corners(xywh: FloatArray, centres: FloatArray) -> FloatArray:
    centre = xywh[:, :2] + centres
    half = xywh[:, 2:] * np.float32(0.5)
    return np.concatenate([centre - half, centre + half], axis=1)
