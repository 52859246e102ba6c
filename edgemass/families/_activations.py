"""Which classes of which rows pass a score threshold, for every way that a graph may leave its class scores.

All take scores (rows, columns), the column of the background (0, -1 or None) and a threshold, and give row, class and
probability of every class that passes (of the best one of its row unless `multi_label`). Classes count without the
background.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from edgemass.families._candidates import Mask, above, logit, pick, sigmoid, softmax
from edgemass.tensors import AnyArray, FloatArray, IntArray, Tensor

Activation = Literal["sigmoid", "softmax", "none"]
"""What turns scores into probabilities; "none" where the graph has done it."""

Found = tuple[IntArray, IntArray, FloatArray]
_INT8_SPAN = 512  # two int8 or uint8 values are never further apart


def find(
    scores: Tensor, activation: Activation, *, background: int | None, score_threshold: float, multi_label: bool
) -> Found:
    return _FINDERS[activation](scores, background, score_threshold, multi_label)


def _objects(values: AnyArray, background: int | None) -> AnyArray:
    if background is None:
        return values
    return values[:, 1:] if background == 0 else values[:, :-1]


def _sigmoid(scores: Tensor, background: int | None, threshold: float, multi_label: bool) -> Found:  # noqa: FBT001
    objects = scores.with_data(_objects(scores.data, background))
    rows, classes = pick(above(objects, logit(threshold)), objects.data, multi_label=multi_label)
    return rows, classes, sigmoid(objects.with_data(objects.data[rows, classes]).real())


def _applied(scores: Tensor, background: int | None, threshold: float, multi_label: bool) -> Found:  # noqa: FBT001
    objects = scores.with_data(_objects(scores.data, background))
    rows, classes = pick(above(objects, threshold), objects.data, multi_label=multi_label)
    return rows, classes, objects.with_data(objects.data[rows, classes]).real()


def _softmax(scores: Tensor, background: int | None, threshold: float, multi_label: bool) -> Found:  # noqa: FBT001
    """A class can only pass if it beats the background by logit(threshold), so few rows need their softmax."""
    rows = np.arange(len(scores.data))
    if background is not None:
        rows = np.flatnonzero(_beats(scores, background, logit(threshold)).any(axis=1))
    if rows.size == 0:
        return rows, rows, np.empty(0, np.float32)
    probability = _objects(softmax(scores.with_data(scores.data[rows]).real()), background)
    picked, classes = pick(probability > threshold, probability, multi_label=multi_label)
    return rows[picked], classes, probability[picked, classes]


def _beats(scores: Tensor, background: int, margin: float) -> Mask:
    objects = _objects(scores.data, background)
    column = scores.data[:, background][:, None]
    if scores.quantization is None:
        return np.asarray(objects > column + np.float32(margin))
    steps = float(np.clip(margin / scores.quantization.scale, -_INT8_SPAN, _INT8_SPAN))
    return np.asarray(objects.astype(np.int16) - column.astype(np.int16) > np.int16(np.floor(steps)))


_FINDERS: dict[Activation, Callable[[Tensor, int | None, float, bool], Found]] = {
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "none": _applied,
}
