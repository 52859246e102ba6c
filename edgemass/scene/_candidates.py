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
    np.subtract(corners[:, 1], corners[:, 0], out=boxes[:, 1])
    np.multiply(boxes[:, 1], 0.5, out=boxes[:, 0])
    boxes[:, 0] += corners[:, 0]
    return boxes


def to_xyxy(boxes: Floats) -> Floats:
    """To corners (n, 4)."""
    half = boxes[:, 1] / 2
    return np.concatenate([boxes[:, 0] - half, boxes[:, 0] + half], axis=1)


def overlaps(one: Floats, other: Floats, room: Floats | None = None) -> Floats:
    """Intersection over union, row by row (p,).

    room: (p,): each box grows by so much of its sides at every side before; None = by nothing.
    """
    side, side_other = one[:, 1], other[:, 1]
    if room is not None:
        grown = (1 + 2 * room)[:, None]
        side, side_other = side * grown, side_other * grown
    reach = side + side_other
    reach *= 0.5
    reach -= np.abs(one[:, 0] - other[:, 0])
    shared = np.minimum(side, side_other)
    np.minimum(shared, reach, out=shared)
    np.maximum(shared, 0, out=shared)
    common = shared[:, 0] * shared[:, 1]
    ratio: Floats = common / (side[:, 0] * side[:, 1] + side_other[:, 0] * side_other[:, 1] - common)
    return ratio


def near(one: Floats, other: Floats, room: Floats) -> tuple[IntArray, IntArray]:
    """The pairs of `one` (n) and `other` (m) that can share anything at all, as rows of each, ascending.

    room: (n,), as `overlaps` takes it.
    """
    if not len(one) or not len(other):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    low, high = _edges(one, (0.5 + room)[:, None])[:, :, :, None]
    low_other, high_other = _edges(other, 0.5 + room.max())[:, :, None]
    along = low < high_other
    along &= high > low_other
    return np.divmod(np.flatnonzero(along[0] & along[1]), len(other))


def _edges(boxes: Floats, reach: Floats | float) -> NDArray[np.float32]:
    """(2, 2, n): low and high, along x and y; single precision is enough to see who is near, and half the work."""
    half = boxes[:, 1] * reach
    edges = np.empty((2, 2, len(boxes)), np.float32)
    edges[0] = (boxes[:, 0] - half).T
    edges[1] = (boxes[:, 0] + half).T
    return edges
