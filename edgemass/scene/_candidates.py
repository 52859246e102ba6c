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
    half, half_other = one[:, 1] / 2, other[:, 1] / 2
    if room is not None:
        grown = (1 + 2 * room)[:, None]
        half *= grown
        half_other *= grown
    apart = np.abs(one[:, 0] - other[:, 0])
    shared = np.minimum(half, half_other)
    shared += shared
    np.minimum(shared, half + half_other - apart, out=shared)
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
    edges = _edges(one, (0.5 + room)[:, None])[:, :, :, None]
    others = _edges(other, 0.5 + room.max())[:, :, None]
    touching = edges[0, 0] < others[1, 0]
    touching &= edges[1, 0] > others[0, 0]
    touching &= edges[0, 1] < others[1, 1]
    touching &= edges[1, 1] > others[0, 1]
    return np.divmod(np.flatnonzero(touching), len(other))


def _edges(boxes: Floats, reach: Floats | float) -> NDArray[np.float32]:
    """(2, 2, n): low and high, along x and y; single precision is enough to see who is near, and half the work."""
    half = boxes[:, 1] * reach
    edges = np.empty((2, 2, len(boxes)), np.float32)
    edges[0] = (boxes[:, 0] - half).T
    edges[1] = (boxes[:, 0] + half).T
    return edges
