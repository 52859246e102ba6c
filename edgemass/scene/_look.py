"""What one look at a picture measures: a few numbers and a small picture, from a bounded sample of its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Luma
from edgemass.scene._blocks import BLOCK, Grid, averaged, blocks_of

SAMPLE = 320  # pixels along the longer side that are looked at: every 4th at 720p, every 6th at 1080p
THIN = 2  # steps and distributions are those of every so many-th row of the sample: still hundreds in a block
CELLS = 7000  # 112 x 63 at 16:9; a cell is a hundredth of the picture's width
PATCH = 8  # pixels of the sample along a side of the places that are asked whether anything changed there
SATURATED = 232  # brightness; the end of a limited-range picture is 235
QUARTER = 0.25  # of the pixels, those that differ least, tell the noise: something may move in all the others
_QUARTILE = 0.4506  # of the absolute difference of two normal values with a standard deviation of 1
CHANGED = 1  # steps by which a pixel must differ: less is the rounding of an encoder that repeats itself


@dataclass(frozen=True, slots=True)
class Look:
    """One picture, measured.

    sample: uint8, every so many-th pixel each way; grid: the same, averaged over cells.
    level: mean brightness. light_end: brightness that one pixel in a hundred exceeds. saturated: fraction of pixels.
    steps: (block rows, block columns), the mean squared step of brightness between neighbouring pixels, across plus
        down.
    coarse: the step of brightness that one in a hundred pairs of pixels a good hundredth of the width apart exceeds.
    """

    sample: Luma
    grid: Grid
    level: float
    light_end: float
    saturated: float
    steps: Grid
    coarse: float


def take_look(luma: Luma) -> Look:
    """luma: uint8 (height, width) with any strides, at least one pixel; some pixels are copied, none is kept."""
    step = _step(*luma.shape)
    top, left = (min(step, side) // 2 for side in luma.shape)
    sample = np.ascontiguousarray(luma[top::step, left::step])
    far = max(2, max(sample.shape) // 80)
    light = _histogram(sample[::THIN])
    return Look(
        sample=sample,
        grid=averaged(sample, grid_shape(*luma.shape)),
        level=float(cv2.mean(sample)[0]),
        light_end=_exceeded(light),
        saturated=float(light[SATURATED:].sum() / light.sum()),
        steps=_squared_steps(luma[top:, left:], sample, step, grid_shape(*luma.shape)),
        coarse=max(
            _far_step(sample[::THIN, far:], sample[::THIN, :-far]), _far_step(sample[far::THIN], sample[:-far:THIN])
        ),
    )


def _squared_steps(luma: Luma, sample: Luma, step: int, shape: tuple[int, int]) -> Grid:
    """See `Look`. luma: from the first pixel of the sample on, which has every `step`-th. shape: of the grid."""
    near = max(1, step // 2)
    beside, below = luma[:: step * THIN, near::step], luma[near :: step * THIN, ::step]
    blocks = blocks_of(shape)
    rows = min(len(sample) * blocks[0] * BLOCK // shape[0] // THIN, len(below))  # of those that lie in a block
    columns = min(sample.shape[1] * blocks[1] * BLOCK // shape[1], beside.shape[1])
    if not all(blocks) or rows < blocks[0] or columns < blocks[1]:
        return np.zeros(blocks, np.float32)
    rows, columns = rows - rows % blocks[0], columns - columns % blocks[1]  # whole pixels a block: a third of the time
    here = sample[: rows * THIN : THIN, :columns]
    squares = np.zeros((rows, columns), np.float32)
    for there in (beside, below):
        cv2.accumulateSquare(cv2.absdiff(here, np.ascontiguousarray(there[:rows, :columns])), squares)
    return averaged(squares, blocks)


def _far_step(one: Luma, other: Luma) -> float:
    return _exceeded(_histogram(cv2.absdiff(one, other))) if one.size else 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two looks at one scene.

    places: fraction of the picture's places in which any pixel of the sample differs by more than rounding; 0..1.
    noise: standard deviation of a pixel; cell_noise: of a cell. Whatever moves in less than half of the picture does
        not count.
    """

    places: float
    noise: float
    cell_noise: float


def change(before: Look, now: Look) -> Change:
    """Of two looks at pictures of one size."""
    differs = np.asarray(cv2.absdiff(now.sample, before.sample), np.uint8)
    quarter = int(now.grid.size * QUARTER)
    cells = np.partition(cv2.absdiff(now.grid, before.grid), quarter, axis=None)
    return Change(
        places=_changed_places(differs),
        noise=_exceeded(_histogram(differs[::THIN]), QUARTER) / _QUARTILE,
        cell_noise=float(cells[quarter]) / _QUARTILE,
    )


def _changed_places(differs: Luma) -> float:
    height, width = (side // PATCH * PATCH for side in differs.shape)
    if not height or not width:
        return float((differs > CHANGED).any())
    _, changed = cv2.threshold(differs[:height, :width], CHANGED, 255, cv2.THRESH_BINARY)
    places = cv2.resize(changed, (width // PATCH, height // PATCH), interpolation=cv2.INTER_AREA)
    return float(np.count_nonzero(places)) / places.size  # one pixel in a place makes a mean of 255 / 64


def grid_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the grid of a picture: cells are about square, and never more than the sample has pixels."""
    step = _step(height, width)
    rows, columns = (len(range(min(step, side) // 2, side, step)) for side in (height, width))
    wanted = math.sqrt(CELLS * rows / columns), math.sqrt(CELLS * columns / rows)
    return min(max(round(wanted[0]), 1), rows), min(max(round(wanted[1]), 1), columns)


def _step(height: int, width: int) -> int:
    return max(1, math.ceil(max(height, width) / SAMPLE))


def _histogram(pixels: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.asarray(cv2.calcHist([np.asarray(pixels, np.uint8)], [0], None, [256], [0, 256]), np.int64).reshape(256)


def _exceeded(histogram: NDArray[np.int64], share: float = 0.99) -> float:
    """The value below which a share of all lies, between whole steps by how many lie there; 0 of nothing."""
    total = int(histogram.sum())
    up_to = histogram.cumsum()
    wanted = share * total
    at = int(np.argmax(up_to >= wanted))
    below = int(up_to[at - 1]) if at else 0
    return max(at - 1 + (wanted - below) / (int(up_to[at]) - below), 0.0)
