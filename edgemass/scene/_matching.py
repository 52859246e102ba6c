"""Whether two small pictures show the same view: block by block, so that what moves about in it does not matter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.scene._blocks import BLOCK, DETAIL, Detail, Grid, mean_of_blocks

TEXTURE = 3.0  # steps of brightness by which the cells of a block must vary for it to be told from others
ABOVE_NOISE = 2.5  # times the noise of a cell, likewise
ALIKE = 0.5  # correlation of two blocks that show the same
REACH = 6  # cells about a block in which it is looked for
DISPLACED = 1.5  # cells by which a block must have moved: leaves must move, and a mast sway
FOUND = 0.6  # correlation of a block that has been found elsewhere
BETTER = 0.12  # by how much more it must be alike there than where it was
WHOLE, WHOLE_BETTER = 0.4, 0.2  # the same two of half of the picture each way, which is not found by chance
FAINT = 4.0  # how much less texture is enough not to call a picture flat


@dataclass(frozen=True, slots=True)
class Match:
    """How a picture compares with a remembered one.

    blocks: blocks of the remembered picture with something to compare; with none the rest is 0.
    same: fraction of them that look alike where they were.
    displaced: fraction that were found, but elsewhere, or 1 where the middle of the picture was found elsewhere whole;
    right, down: by how much, at the median, in fractions of the frame.
    """

    blocks: int
    same: float
    displaced: float = 0.0
    right: float = 0.0
    down: float = 0.0


def textured(seen: Detail, noise: float) -> NDArray[np.bool_]:
    """(block rows, block columns): which blocks can be told from others. noise: standard deviation of a cell."""
    return np.asarray(seen.power >= max(TEXTURE, ABOVE_NOISE * noise) ** 2, np.bool_)


def structure(seen: Detail, noise: float) -> float:
    """Fraction of blocks in which there is anything to be seen above the noise; 0..1."""
    if not seen.power.size:
        return 0.0
    return float(np.mean(seen.power >= max(TEXTURE / FAINT, ABOVE_NOISE * noise) ** 2))


def compare(before: Detail, now: Detail, noise: float, *, search: float = 0.8) -> Match:
    """Compare two pictures of one shape.

    noise: standard deviation of a cell of either. search: below this fraction of the same the rest is looked for.
    """
    chosen = textured(before, noise)
    count = int(np.count_nonzero(chosen))
    if not count:
        return Match(0, 0.0)
    alike = _correlation(before, now)
    same = float(np.mean(np.abs(alike[chosen]) >= ALIKE))
    if same >= search:
        return Match(count, same)
    whole = _whole_displacement(before.cells, now.cells)
    if whole is not None:
        found, displaced = [whole], 1.0
    else:
        each = [
            _displacement(before.cells, now.cells, row, column, float(alike[row, column]))
            for row, column in np.argwhere(chosen)
        ]
        found = [one for one in each if one is not None]
        displaced = len(found) / count
    if not found:
        return Match(count, same)
    right, down = np.median(np.array(found), axis=0)
    rows, columns = now.cells.shape
    return Match(count, same, displaced, float(right) / columns, float(down) / rows)


def _whole_displacement(before: Grid, now: Grid) -> tuple[float, float] | None:
    """By how many cells (right, down) the middle of a picture has moved; None = it has not, or is not found."""
    top, left = (side // 4 for side in before.shape)
    middle = before[top : before.shape[0] - top, left : before.shape[1] - left]
    scores = cv2.matchTemplate(now, np.ascontiguousarray(middle), cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    if best < WHOLE or best - float(scores[top, left]) < WHOLE_BETTER:
        return None
    right, down = float(x - left), float(y - top)
    return (right, down) if right * right + down * down >= DISPLACED * DISPLACED else None


def broadly_alike(before: Grid, now: Grid) -> float:
    """Correlation of what is left of two grids out of focus; -1..1."""
    one, other = (cv2.blur(grid, (DETAIL, DETAIL)) - cv2.blur(grid, (4 * DETAIL + 1,) * 2) for grid in (before, now))
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / math.sqrt(max(float((one * one).sum()) * float((other * other).sum()), 1e-6)))


def _correlation(one: Detail, other: Detail) -> Grid:
    """(block rows, block columns): of each block with that in its place; 0 where there is nothing in one of them."""
    shared = mean_of_blocks(one.cells * other.cells) - one.mean * other.mean
    return np.asarray(shared / np.sqrt(np.maximum(one.power * other.power, 1e-6)), np.float32)


def _displacement(before: Grid, now: Grid, row: int, column: int, stays: float) -> tuple[float, float] | None:
    """By how many cells (right, down) a block of `before` has moved in `now`; None = it has not, or is not found.

    stays: its correlation where it was.
    """
    top, left = int(row) * BLOCK, int(column) * BLOCK
    first_row, first_column = max(top - REACH, 0), max(left - REACH, 0)
    window = now[first_row : top + BLOCK + REACH, first_column : left + BLOCK + REACH]
    block = before[top : top + BLOCK, left : left + BLOCK]
    scores = cv2.matchTemplate(np.ascontiguousarray(window), np.ascontiguousarray(block), cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(scores)
    right, down = float(first_column + x - left), float(first_row + y - top)
    if best < FOUND or best - stays < BETTER or right * right + down * down < DISPLACED * DISPLACED:
        return None
    return right, down
