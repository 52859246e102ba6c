"""A picture as a grid of cells, and what its blocks of cells have: a mean, and a power that is their variance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float32]
"""float32 (rows, columns): a picture as mean brightnesses of about 7000 cells, 0..255, whatever its size."""

BLOCK = 9  # cells along a side: 84 blocks at 16:9
DETAIL = 9  # cells: what is wider than this (light, shadow, a veil) is taken off before blocks are compared


@dataclass(frozen=True, slots=True, eq=False)
class Detail:
    """What is left of a grid without its broad light and shadow.

    cells: as the grid, about 0. mean, power: (block rows, block columns), of each block and its variance.
    """

    cells: Grid
    mean: Grid
    power: Grid


def detail(grid: Grid) -> Detail:
    """Take the broad light and shadow off."""
    cells = np.asarray(grid - cv2.blur(grid, (DETAIL, DETAIL), borderType=cv2.BORDER_REFLECT), np.float32)
    mean = mean_of_blocks(cells)
    return Detail(cells, mean, np.maximum(mean_of_blocks(cells * cells) - mean * mean, np.float32(0)))


def blocks_of(shape: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the blocks of a grid of this shape; what is left over at the right and the bottom is not in
    any.
    """
    return shape[0] // BLOCK, shape[1] // BLOCK


def mean_of_blocks(grid: Grid) -> Grid:
    """(block rows, block columns): the mean of each block of a grid."""
    rows, columns = blocks_of(grid.shape)
    return averaged(grid[: rows * BLOCK, : columns * BLOCK], (rows, columns))


def averaged(pixels: NDArray[np.uint8] | Grid, shape: tuple[int, int]) -> Grid:
    """(rows, columns) means of equal parts of a picture that has at least as many pixels each way, or nothing."""
    rows, columns = shape
    if not rows or not columns:
        return np.zeros(shape, np.float32)
    return np.asarray(
        cv2.resize(pixels.astype(np.float32, copy=False), (columns, rows), interpolation=cv2.INTER_AREA), np.float32
    )
