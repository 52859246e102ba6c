"""What integrity measures in a picture: coarse structure, sharpness, and how it differs from the one before."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Luma

Cells = NDArray[np.float32]

GRID = 96  # cells along the longer side
_SKIP = 4  # pixels: of every so many one goes into the cells; the rest would cost more than it tells
ROWS = 16  # rows of pixels that are looked at whole
FLOOR = 1.5  # steps of brightness from cell to cell: weaker edges count less
WHITE = 245
_NEAR, _FAR = 1, 8  # pixels: a sharp edge is as high over one as over the other


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One look at a picture.

    cells: float32 (rows, columns), mean brightness; edges: float32 (2, rows, columns), direction of the steepest rise,
    shorter than 1 where it is weak.
    strength: its height in steps of brightness. mean: of the brightness. white: share of pixels that are white. spread: of the
    brightness from cell to cell: standard deviation.
    fine, coarse: mean squared steps of brightness over 1 and over 8 pixels.
    change: mean change since the look before, in the calmer half of the rows; None for the first. same: not one pixel
    differs.
    """

    cells: Cells
    edges: Cells
    strength: Cells
    mean: float
    white: float
    spread: float
    fine: float
    coarse: float
    change: float | None
    same: bool

    @property
    def structure(self) -> float:
        """Mean length of the edges: 0 for a plain surface."""
        return float(cv2.magnitude(self.edges[0], self.edges[1]).mean())

    @property
    def sharpness(self) -> float | None:
        """How much of the height of edges lies within one pixel, noise taken off; None where noise is all there is."""
        noise = 0.0 if self.change is None else (self.change * 0.886) ** 2 * 2  # mean |difference| -> sigma, two pixels
        coarse = self.coarse - noise
        if coarse < 2 * noise + 4:
            return None
        return max(self.fine - noise, 0.0) / coarse


class Eye:
    """Looks at the pictures of one camera, one after the other."""

    def __init__(self) -> None:
        self._rows: NDArray[np.int16] | None = None
        self._smooth: Cells | None = None

    def forget(self) -> None:
        """The next picture is not compared with the last."""
        self._rows = self._smooth = None

    def look(self, luma: Luma) -> Look:
        """Measure one picture. luma: uint8 (height, width) with any strides; none of it is kept."""
        cells = self._cells(luma)
        edges, strength = _edges(cells)
        rows = _whole_rows(luma)
        change, same = self._compare(rows)
        near, far = rows[:, _NEAR:] - rows[:, :-_NEAR], rows[:, _FAR:] - rows[:, :-_FAR]
        return Look(
            cells=cells,
            edges=edges,
            strength=strength,
            mean=float(cells.mean()),
            white=np.count_nonzero(rows >= WHITE) / rows.size,
            spread=float(cells.std()),
            fine=_mean_square(near),
            coarse=_mean_square(far),
            change=change,
            same=same,
        )

    def _cells(self, luma: Luma) -> Cells:
        """Coarse brightness; the mean of this look and those just before, so that noise and what passes count less."""
        height, width = luma.shape
        scale = GRID / max(height, width)
        size = max(2, round(width * scale)), max(2, round(height * scale))
        skip = max(1, min(_SKIP, max(height, width) // (2 * GRID)))
        thin = np.ascontiguousarray(luma[skip // 2 :: skip, skip // 2 :: skip])
        cells: Cells = cv2.resize(thin, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._smooth is not None and self._smooth.shape == cells.shape:
            cells = (cells + self._smooth) * np.float32(0.5)
        self._smooth = cells
        return cells

    def _compare(self, rows: NDArray[np.int16]) -> tuple[float | None, bool]:
        before, self._rows = self._rows, rows
        if before is None or before.shape != rows.shape:
            return None, False
        change = np.abs(rows - before).mean(axis=1)
        return float(np.sort(change)[: len(change) // 2].mean()), not change.any()


def _mean_square(steps: NDArray[np.int16]) -> float:
    flat = np.ascontiguousarray(steps)
    return float(cv2.norm(flat, cv2.NORM_L2SQR)) / flat.size


def _whole_rows(luma: Luma) -> NDArray[np.int16]:
    height = luma.shape[0]
    count = min(ROWS, height)
    places = (np.arange(count) * height + height // 2) // count
    return np.asarray(luma[places], np.int16)


def _edges(cells: Cells) -> tuple[Cells, Cells]:
    """Direction of the rise, (2, rows, columns), and its height in steps of brightness."""
    across = cv2.Sobel(cells, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    down = cv2.Sobel(cells, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    strength = np.asarray(cv2.magnitude(across, down), np.float32)
    length = strength + FLOOR
    return np.stack([across / length, down / length]).astype(np.float32), strength
