"""Points, polygons and lines over a picture; all places are fractions of the frame, all arithmetic is elementwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgemass.config.scene import Anchor
from edgemass.config.shapes import Point

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_RIM = 1e-9
"""Who is cut off by the rim of the frame, or by rounding beyond it, is still in a zone that reaches to it."""

_HEIGHT: dict[Anchor, float] = {"top": 0.0, "centre": 0.5, "bottom": 1.0}


def anchor_points(xyxy: Floats, anchor: Anchor) -> Floats:
    """(n, 4) boxes -> (n, 2) points that stand for them."""
    height = _HEIGHT[anchor]
    x = (xyxy[:, 0] + xyxy[:, 2]) / 2
    y = xyxy[:, 1] * (1 - height) + xyxy[:, 3] * height
    return np.stack([x, y], axis=1)


class Polygon:
    """An area; what lies on its border may count as inside or outside."""

    def __init__(self, points: Sequence[Point]) -> None:
        corners = np.array(points, np.float64)
        self._x1, self._y1 = corners[:, :1], corners[:, 1:]
        following = np.roll(corners, -1, axis=0)
        self._x2, self._y2 = following[:, :1], following[:, 1:]
        self._rise = np.where(self._y2 == self._y1, 1.0, self._y2 - self._y1)  # level sides are never met

    def holds(self, points: Floats) -> Bools:
        """(n, 2) points -> (n,) whether each is inside, by the even-odd rule."""
        inside = np.clip(points, _RIM, 1 - _RIM)
        x, y = inside[:, 0][None], inside[:, 1][None]
        level = (self._y1 > y) != (self._y2 > y)
        with np.errstate(over="ignore", invalid="ignore"):  # of sides that are nearly level, and of no consequence
            meets = x < self._x1 + (y - self._y1) / self._rise * (self._x2 - self._x1)
        return np.asarray(np.count_nonzero(level & meets, axis=0) % 2 == 1)


class Polyline:
    """A line of one or more straight parts."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = [(float(x), float(y)) for x, y in points]
        corners = np.array(points, np.float64)
        self._start, self._along = corners[:-1], corners[1:] - corners[:-1]

    def distances(self, points: Floats, units: Floats) -> Floats:
        """How far each point is from the line.

        points, units: (n, 2); x and y are measured in units of their own for each point, such as the sides of its box.
        Returns (n,), in those units.
        """
        start = (points[:, None] - self._start[None]) / units[:, None]
        along = self._along[None] / units[:, None]
        length = np.maximum(along[..., 0] * along[..., 0] + along[..., 1] * along[..., 1], 1e-18)
        share = np.clip((start[..., 0] * along[..., 0] + start[..., 1] * along[..., 1]) / length, 0, 1)
        dx, dy = start[..., 0] - share * along[..., 0], start[..., 1] - share * along[..., 1]
        return np.asarray(np.sqrt((dx * dx + dy * dy).min(axis=1)))

    def crossed(self, before: Point, after: Point) -> int:
        """How the straight way between two points crosses the line.

        Returns 1 from the left of who walks the line to the right of them, -1 the other way, 0 where it does not, or
        comes back.
        """
        total = 0
        for start, end in zip(self._points, self._points[1:], strict=False):
            was, now = _side(start, end, before), _side(start, end, after)
            if (was > 0) == (now > 0):
                continue
            if (_side(before, after, start) > 0) != (_side(before, after, end) > 0):
                total += 1 if now > 0 else -1
        return max(-1, min(1, total))


def _side(start: Point, end: Point, point: Point) -> float:
    """Above 0 to the right of who walks from start to end, in a picture whose y grows downwards."""
    return (end[0] - start[0]) * (point[1] - start[1]) - (end[1] - start[1]) * (point[0] - start[0])
