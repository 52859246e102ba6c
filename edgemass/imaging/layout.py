"""Where tags go so that they lie over each other as little as can be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, int]
"""Left and top, in pixels."""
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


class Layout:
    """The tags of one picture. Who is placed first has the first choice."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._taken: NDArray[np.int64] = np.empty((16, 4), np.int64)
        self._count = 0

    def place(self, width: int, height: int, corners: Sequence[Corner]) -> Corner:
        """The first of the corners where nothing lies yet, moved into the picture; else where it covers least.

        width, height: of the tag. corners: best first, at least one.
        """
        chosen, least = (0, 0), None
        for wanted in corners:
            left = max(0, min(wanted[0], self._width - width))
            top = max(0, min(wanted[1], self._height - height))
            covered = self._covered(left, top, left + width, top + height)
            if least is None or covered < least:
                chosen, least = (left, top), covered
            if not covered:
                break
        self.take((*chosen, chosen[0] + width, chosen[1] + height))
        return chosen

    def take(self, box: Box) -> None:
        """Nothing else shall lie here, where that can be."""
        if self._count == len(self._taken):
            self._taken = np.concatenate([self._taken, self._taken])
        self._taken[self._count] = box
        self._count += 1

    def _covered(self, left: int, top: int, right: int, bottom: int) -> int:
        """Pixels that lie under others already."""
        taken = self._taken[: self._count]
        wide = np.minimum(taken[:, 2], right) - np.maximum(taken[:, 0], left)
        high = np.minimum(taken[:, 3], bottom) - np.maximum(taken[:, 1], top)
        return int((np.maximum(wide, 0) * np.maximum(high, 0)).sum())


def beside(box: Box, width: int, height: int) -> list[Corner]:
    """Where the tag of a box may go, best first: above, within at the top, below, above at the right, within below."""
    left, top, right, bottom = box
    return [
        (left, top - height) if top >= height else (left, top),
        (left, top),
        (left, bottom),
        (right - width, top - height),
        (left, bottom - height),
    ]
