"""Which detection could be which track: how much of both is shared, with room for what is not known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgemass.tensors import IntArray

Floats = NDArray[np.float64]
"""Boxes float64 (n, 2, 2), as the filter has them: [[centre x, centre y], [width, height]]."""


def to_boxes(xyxy: NDArray[np.floating]) -> Floats:
    """From corners (n, 4)."""
    corners = xyxy.astype(np.float64).reshape(-1, 2, 2)
    boxes = np.empty_like(corners)
    boxes[:, 1] = corners[:, 1] - corners[:, 0]
    boxes[:, 0] = corners[:, 0] + boxes[:, 1] / 2
    return boxes


def to_xyxy(boxes: Floats) -> Floats:
    """To corners (n, 4)."""
    half = boxes[:, 1] / 2
    return np.concatenate([boxes[:, 0] - half, boxes[:, 0] + half], axis=1)


def overlaps(one: Floats, other: Floats, room: Floats | None = None) -> Floats:
    """Intersection over union, row by row (p,).

    room: (p,): each box grows by so much of its sides at every side before; None = by nothing.
    """
    half = one[:, 1] / 2
    half_other = other[:, 1] / 2
    if room is not None:
        grown = (1 + 2 * room)[:, None]
        half *= grown
        half_other *= grown
    shared = np.minimum(one[:, 0] + half, other[:, 0] + half_other)
    shared -= np.maximum(one[:, 0] - half, other[:, 0] - half_other)
    np.maximum(shared, 0, out=shared)
    common = shared[:, 0] * shared[:, 1]
    quarters = half[:, 0] * half[:, 1] + half_other[:, 0] * half_other[:, 1]
    ratio: Floats = common / (4 * quarters - common)
    return ratio


def near(one: Floats, other: Floats, room: Floats) -> tuple[IntArray, IntArray]:
    """The pairs of `one` (n) and `other` (m) that can share anything at all, as rows of each, ascending.

    room: (n,), as `overlaps` takes it.
    """
    if not len(one) or not len(other):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    half = one[:, 1] * (0.5 + room)[:, None]
    half_other = other[:, 1] * (0.5 + room.max())
    low, high = one[:, 0] - half, one[:, 0] + half
    low_other, high_other = other[:, 0] - half_other, other[:, 0] + half_other
    touching = low[:, None, 0] < high_other[:, 0]
    touching &= high[:, None, 0] > low_other[:, 0]
    touching &= low[:, None, 1] < high_other[:, 1]
    touching &= high[:, None, 1] > low_other[:, 1]
    flat = np.flatnonzero(touching)
    return np.divmod(flat, len(other))
