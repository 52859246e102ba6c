"""Checks of what a person drew over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, float]

MAX_POINTS = 100


def check_polygon(points: Sequence[Point]) -> None:
    """Raises ValueError: fewer than three corners, one outside the frame, sides that cross, or no area."""
    _check_points(points, least=3)
    corners = points[:-1] if points[0] == points[-1] else points
    if len(set(corners)) < 3:
        raise ValueError(f"points must be three different corners at least, found {_shown(points)}")
    _check_differ([*corners, corners[0]])
    sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    for first, side in enumerate(sides):
        for second in range(first + 1, len(sides)):
            neighbours = second == first + 1 or (first == 0 and second == len(sides) - 1)
            if _touch(*side, *sides[second]) if not neighbours else _fold(side, sides[second]):
                raise ValueError(
                    f"points must not cross each other: the side {_shown(side)} meets {_shown(sides[second])}; "
                    "give the corners in the order in which one walks around"
                )
    if abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in sides)) < 2e-6:
        raise ValueError(f"points must enclose something, found {_shown(points)}")


def check_polyline(points: Sequence[Point]) -> None:
    """Raises ValueError: fewer than two points, one outside the frame, two alike in a row, or a way back."""
    _check_points(points, least=2)
    _check_differ(points)
    parts = list(pairwise(points))
    for first, second in pairwise(parts):
        if _fold(first, second):
            raise ValueError(f"points must not go back over the line, found {_shown((*first, second[1]))}")


def _check_points(points: Sequence[Point], least: int) -> None:
    if not least <= len(points) <= MAX_POINTS:
        raise ValueError(f"points must be {least} to {MAX_POINTS}, found {len(points)}")
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise ValueError(f"points must be fractions of the frame, 0 to 1, found {_shown(((x, y),))}")


def _check_differ(points: Sequence[Point]) -> None:
    for start, end in pairwise(points):
        if start == end:
            raise ValueError(f"points must differ from one to the next, found {_shown((start, end))}")


def _touch(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d have a point in common."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _within(*end) for turn, end in zip(turns, ends, strict=True))


def _fold(first: tuple[Point, Point], second: tuple[Point, Point]) -> bool:
    """Whether two sides that share a corner lie over each other."""
    shared = first[1] if first[1] in second else first[0]
    one = first[0] if shared == first[1] else first[1]
    other = second[1] if shared == second[0] else second[0]
    along = (one[0] - shared[0]) * (other[0] - shared[0]) + (one[1] - shared[1]) * (other[1] - shared[1])
    return _turn(shared, one, other) == 0 and along > 0


def _turn(a: Point, b: Point, c: Point) -> float:
    """Twice the area of the triangle; its sign says which way the corners go round."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _within(a: Point, b: Point, c: Point) -> bool:
    """Whether c, on the line through a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _shown(points: Sequence[Point]) -> str:
    return "-".join(f"({x:g}, {y:g})" for x, y in points)
