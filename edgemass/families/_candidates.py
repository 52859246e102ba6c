"""From scores to candidates: thresholds in the stored domain first, real numbers only for what passes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.graph import Graph
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray, FloatArray, IntArray, Tensor, TensorInfo

Mask = NDArray[np.bool_]

_FARTHEST_FRACTION = 2.5  # decoded boxes on made-up pictures; offsets reach further
_MOST_BOXES = 0.95  # of the boxes that a network makes of noise
_BACKGROUND = frozenset({"???", "background", "__background__", "unlabeled", "dummy"})


MAX_ROWS = 4_000_000
"""Cells or anchors of a picture: stride 4 at the largest picture. More is a mistake, and would fill the memory."""


def check_rows(count: int) -> None:
    """Refuse to make more cells or anchors than any model has.

    Raises:
        BundleError: there would be.
    """
    if not 1 <= count <= MAX_ROWS:
        raise BundleError(
            f"the options make {count} cells or anchors, wanted 1 to {MAX_ROWS}; correct strides or grids"
        )


def above(tensor: Tensor, real: float) -> Mask:
    """Where the tensor's real value is greater than `real`; NaN never is. Integers are compared as they are stored."""
    data = tensor.data
    stored = tensor.stored(real)
    if data.dtype.kind == "f":
        return np.asarray(data > data.dtype.type(stored))
    limits = np.iinfo(data.dtype)
    if stored >= limits.max:
        return np.zeros(data.shape, np.bool_)
    if stored < limits.min:
        return np.ones(data.shape, np.bool_)
    return np.asarray(data > data.dtype.type(math.floor(stored)))


def pick(hit: Mask, values: AnyArray, *, multi_label: bool) -> tuple[IntArray, IntArray]:
    """Row and column of every hit, or of the greatest hit of every row.

    hit, values: (rows, classes).
    """
    columns = hit.shape[1]
    flat = np.flatnonzero(hit)
    rows, classes = np.divmod(flat, columns) if columns > 1 else (flat, np.zeros_like(flat))
    if multi_label or len(rows) < 2 or columns == 1:
        return rows, classes
    # Rows are sorted already: order each row's hits by value and keep the last of the row.
    order = np.lexsort((values[rows, classes], rows))
    rows, classes = rows[order], classes[order]
    last = np.append(rows[1:] != rows[:-1], True)
    return rows[last], classes[last]


def logit(probability: float) -> float:
    """Inverse of the sigmoid; infinite at and beyond 0 and 1."""
    if probability <= 0:
        return -math.inf
    if probability >= 1:
        return math.inf
    return math.log(probability / (1 - probability))


def sigmoid(logits: FloatArray) -> FloatArray:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def softmax(logits: FloatArray) -> FloatArray:
    """Over the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def detections(
    xyxy: FloatArray, score: FloatArray, class_id: IntArray, *, score_threshold: float, class_count: int
) -> Detections:
    """Columns without what is no detection: scores at or below the threshold or NaN, boxes that are not finite, classes
    that have no label.
    """
    good = (score > score_threshold) & np.isfinite(xyxy).all(axis=1) & (class_id >= 0) & (class_id < class_count)
    class_id = class_id.astype(np.int64, copy=False)  # row numbers are 32 bits wide on 32-bit ARM
    if good.all():
        return Detections(xyxy, score, class_id)
    return Detections(xyxy[good], score[good], class_id[good])


def picture_size(manifest: Manifest) -> tuple[int, int]:
    """Width and height of the model's picture, which boxes in fractions need.

    Raises:
        BundleError: the manifest leaves them free.
    """
    width, height = manifest.input.width, manifest.input.height
    if width is None or height is None:
        raise BundleError(
            f"{manifest.name}: input.width and input.height are not set, family {manifest.output.family} answers in "
            "fractions of the picture and needs them; import the model with --set width=... --set height=..."
        )
    return width, height


def observed_shape(graph: Graph, info: TensorInfo) -> tuple[int | None, ...]:
    """An output's shape with free dimensions filled in from the observed run."""
    for run in graph.runs:
        found = run[info.name].data.shape
        if not info.shape or len(found) == len(info.shape):
            return tuple(
                known if known is not None else seen for known, seen in zip(info.shape or found, found, strict=True)
            )
    return info.shape


def corners_in_fractions(graph: Graph, boxes: TensorInfo) -> bool:
    """Whether an output holds decoded boxes as fractions of the picture; never true without an observed run.

    Offsets to anchors reach further, and their columns know no right of left and no below top.
    """
    for run in graph.runs:
        xyxy = run[boxes.name].real()
        ordered = (xyxy[..., 2] >= xyxy[..., 0]) & (xyxy[..., 3] >= xyxy[..., 1])
        if not np.all(np.abs(xyxy) < _FARTHEST_FRACTION) or np.mean(ordered) < _MOST_BOXES:
            return False
    return bool(graph.runs)


def label_shift(manifest: Manifest, class_count: int) -> int:
    """Position of the first class in the labels: 1 where they name the background first, else 0.

    Raises:
        BundleError: another number of labels than classes.
    """
    if len(manifest.labels) == class_count + 1 and names_background(manifest.labels):
        return 1
    if len(manifest.labels) == class_count:
        return 0
    raise BundleError(
        f"{manifest.name}: {len(manifest.labels)} labels, but the output has room for {class_count} classes; "
        f"give {class_count} labels, or {class_count + 1} with the background first"
    )


def names_background(labels: tuple[str, ...]) -> bool:
    """Whether a list of labels begins with the background, as TensorFlow's and Caffe's label files often do."""
    return labels[0].strip().lower() in _BACKGROUND
