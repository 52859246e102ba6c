"""What dense heads share: choosing candidates before anything is computed, and grids of cells.

Most of the thousands of rows are background. So scores are compared as they are stored (integers, logits), and only
the rows that pass are converted, activated and decoded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edgemass.detections import Detections
from edgemass.families._candidates import check_rows
from edgemass.imaging.nms import MOST_CANDIDATES, best_rows
from edgemass.tensors import AnyArray, FloatArray, IntArray, Tensor

_FEW_ROWS = 600  # and a third of all: copying them costs less than comparing whole class rows (docs/benchmarks.md)

_FEW_CLASSES = 1000  # each costs a call

Layout = Literal["NC", "CN"]
"""Rows by columns ([1, boxes, 4 + classes]) or columns by rows ([1, 4 + classes, boxes])."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """k (row, class) pairs that pass: row (k,), class_id (k,), score (k,) real."""

    row: IntArray
    class_id: IntArray
    score: FloatArray


def rows_by_columns(tensor: Tensor, layout: Layout) -> Tensor:
    """A view (rows, columns) of one picture's output, whatever its layout; leading axes of length 1 are dropped."""
    data = tensor.data
    if data.dtype == np.float16:  # NumPy compares halves one at a time
        data = data.astype(np.float32)
    data = data.reshape(data.shape[-2:])
    return tensor.with_data(data if layout == "NC" else data.T)


def stored_limit(tensor: Tensor, threshold: float) -> float:
    """`stored > limit` says the same as `real > threshold`; whole for integers, so that they need no conversion."""
    limit = tensor.stored(threshold)
    if np.issubdtype(tensor.data.dtype, np.integer) and math.isfinite(limit):
        return math.floor(limit)
    return limit


def rows_above(values: Tensor, threshold: float) -> IntArray:
    """Rows of a column (n,) whose real value is above the threshold."""
    return np.flatnonzero(values.data > stored_limit(values, threshold))


def pick(scores: Tensor, threshold: float, *, multi_label: bool) -> Candidates:
    """Candidates of a head without objectness.

    scores: (rows, classes), in any memory order. NaN never passes.
    threshold: in the domain of `scores`: a logit where they are logits.
    """
    data = scores.data
    limit = stored_limit(scores, threshold)
    if data.strides[0] < data.strides[1]:  # one class after the other: whole class rows are worked on, which vectorises
        return _pick_by_class(scores.with_data(data.T), limit, multi_label=multi_label)
    hits = np.flatnonzero(data > limit) // data.shape[1]
    row = hits[np.flatnonzero(np.diff(hits, prepend=-1))]
    some = data.take(row, axis=0)
    nth, class_id = _label(some, limit, multi_label=multi_label)
    return Candidates(row[nth], class_id, scores.with_data(some[nth, class_id]).real())


def _pick_by_class(scores: Tensor, limit: float, *, multi_label: bool) -> Candidates:
    """As `pick`.

    scores: (classes, rows). limit: in the stored domain.
    """
    by_class = scores.data
    best = np.maximum.reduce(by_class, axis=0)
    if best.dtype.kind == "f" and np.isnan(best).any():  # it hides what is beside it
        best = np.fmax.reduce(by_class, axis=0)
    row = np.flatnonzero(best > limit)
    if multi_label:
        some = by_class if len(row) == by_class.shape[1] else by_class.take(row, axis=1)
        class_id, nth = np.divmod(np.flatnonzero(some > limit), max(1, len(row)))
        score = scores.with_data(some[class_id, nth]).real()
        chosen = best_rows(score, MOST_CANDIDATES)  # a quarter of a million boxes that NMS leaves out need no decoding
        chosen = chosen[np.lexsort((class_id[chosen], nth[chosen]))]
        return Candidates(row[nth[chosen]], class_id[chosen], score[chosen])
    found = best[row]
    if len(row) < _FEW_ROWS + by_class.shape[1] // 3 or len(by_class) > _FEW_CLASSES:
        class_id = _classes(by_class[:, row], found, limit)
    else:
        of_row = np.zeros(len(best), np.int64)
        for number in range(len(by_class) - 1, -1, -1):  # of several that are the best one, the first
            of_row[by_class[number] == best] = number
        class_id = of_row[row]
    return Candidates(row, class_id, scores.with_data(found).real())


def _classes(some: AnyArray, best: AnyArray, limit: float) -> IntArray:
    """The first class of each row that has the row's best score.

    some: (classes, k). best: (k,), all of them above the limit.
    """
    hits = np.flatnonzero(some > limit)
    if len(hits) == len(best):  # as nearly always: nothing looks like two classes
        class_id, nth = np.divmod(hits, len(best) or 1)
        found = np.empty_like(nth)
        found[nth] = class_id
        return found
    return np.asarray((some == best).argmax(axis=0))


def pick_with_objectness(table: Tensor, threshold: float, *, multi_label: bool) -> Candidates:
    """Candidates of a head whose score is objectness x class; both are probabilities.

    table: (rows, 5 + classes): a box, its objectness, its classes.
    """
    objectness, classes = table.with_data(table.data[:, 4]), table.with_data(table.data[:, 5:])
    row = rows_above(objectness, threshold)  # a class probability is at most 1
    score = classes.with_data(classes.data[row]).real() * objectness.with_data(objectness.data[row]).real()[:, None]
    nth, class_id = _label(score, threshold, multi_label=multi_label)
    return Candidates(row[nth], class_id, score[nth, class_id])


def choose(score: FloatArray, threshold: float, *, multi_label: bool) -> tuple[IntArray, IntArray]:
    """Rows and classes of scores (k, classes) that pass."""
    nth, class_id = _label(score, threshold, multi_label=multi_label)
    passed = score[nth, class_id] > threshold
    return nth[passed], class_id[passed]


def _label(values: AnyArray, limit: float, *, multi_label: bool) -> tuple[IntArray, IntArray]:
    """Every pair above the limit, or the best class of every row (k, classes)."""
    if multi_label:
        nth, class_id = np.nonzero(values > limit)
        return nth, class_id
    if np.issubdtype(values.dtype, np.floating):
        values = np.fmax(values, -np.inf)  # argmax takes NaN for the largest
    nth = np.arange(len(values))
    return nth, values.argmax(axis=1) if values.size else nth


def finish(xyxy: FloatArray, score: FloatArray, class_id: IntArray, threshold: float) -> Detections:
    """Detections, without boxes that are no boxes (NaN, infinite) and scores that rounding left at the threshold."""
    if not (np.isfinite(xyxy).all() and (score > threshold).all()):
        keep = np.isfinite(xyxy).all(axis=1) & (score > threshold)
        xyxy, score, class_id = xyxy[keep], score[keep], class_id[keep]
    return Detections(
        xyxy.astype(np.float32, copy=False), score.astype(np.float32, copy=False), class_id.astype(np.int64, copy=False)
    )


def first_columns(table: Tensor, row: IntArray, count: int) -> FloatArray:
    """(k, count) real numbers: the first columns of some rows of a table (rows, columns) in any memory order."""
    data = table.data
    by_column = data.strides[0] < data.strides[1]
    some = data.T[:count].take(row, axis=1).T if by_column else data[row, :count]
    return table.with_data(some).real()


def corners(cx_cy_w_h: FloatArray) -> FloatArray:
    """(k, 4) centre and size -> left, top, right, bottom."""
    centre, size = cx_cy_w_h.T[:2], cx_cy_w_h.T[2:]  # columns are long, rows are short
    half = size * np.float32(0.5)
    xyxy = np.empty((4, len(cx_cy_w_h)), np.result_type(centre, half))
    np.subtract(centre, half, out=xyxy[:2])
    np.add(centre, half, out=xyxy[2:])
    return xyxy.T


def level_sizes(width: int, height: int, strides: Sequence[int]) -> list[tuple[int, int]]:
    """(columns, rows) of the feature map of every stride; strided convolutions round up."""
    return [(-(-width // stride), -(-height // stride)) for stride in strides]


def cell_count(width: int, height: int, strides: Sequence[int]) -> int:
    return sum(columns * rows for columns, rows in level_sizes(width, height, strides))


@dataclass(frozen=True, slots=True)
class Cells:
    """All cells of all levels, level after level, row after row.

    xy: float32 (n, 2), column and row. stride: float32 (n, 1), pixels per cell.
    """

    xy: FloatArray
    stride: FloatArray

    def __len__(self) -> int:
        return len(self.xy)


def cells(width: int, height: int, strides: Sequence[int]) -> Cells:
    """The grid of a picture of width x height pixels."""
    check_rows(cell_count(width, height, strides))
    points: list[FloatArray] = []
    sizes: list[FloatArray] = []
    for stride, (columns, rows) in zip(strides, level_sizes(width, height, strides), strict=True):
        y, x = np.divmod(np.arange(columns * rows), columns)
        points.append(np.stack([x, y], axis=1).astype(np.float32))
        sizes.append(np.full((columns * rows, 1), stride, np.float32))
    return Cells(np.concatenate(points), np.concatenate(sizes))
