"""What a camera usually sees: the view of the last minute, and a few remembered ones from dark to light."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np

from edgemass.scene._blocks import Detail, Grid, blocks_of, detail
from edgemass.scene._look import Look, grid_shape
from edgemass.scene._matching import compare

BANDS = (40.0, 90.0)  # brightness: night, dusk and rooms, day
PER_BAND = 2
ALIKE = 0.7  # fraction of blocks: more, and two views of one band are one
FEW_BLOCKS = 6  # with fewer to look at, nothing is told
SOFT = 0.4  # of the usual steps between neighbouring pixels, for as much of what is larger: a block out of focus
GONE, SURELY = 0.06, 4.0  # of what the light would leave of them, where that is so many times what can be seen
MOST = 1000.0  # no number of a view is greater
LESS = 0.9  # of the usual steps, whatever makes them
LEAST_STEPS = 6.0  # squared; below, a block has nothing small in it
STEPS_OF_NOISE = 4.0  # two of a pixel and two of its neighbour, times the variance of one
NOISE_AT_1_PERCENT = 3.64  # a difference of two pixels with noise of 1 exceeds this once in a hundred times


@dataclass(frozen=True)
class View:
    """What is to be expected of a picture. Numbers as in `Look`.

    steps: (block rows, block columns), the squared steps of brightness between neighbouring pixels, those of noise too.
    noise: standard deviation of a pixel.
    contrast: steps of brightness, without what noise adds.
    changed: in which fraction of its places a picture differs from the one before.
    """

    grid: Grid
    level: float
    saturated: float
    steps: Grid
    noise: float
    contrast: float
    changed: float

    @cached_property
    def detailed(self) -> Detail:
        return detail(self.grid)

    @property
    def band(self) -> int:
        return sum(self.level >= limit for limit in BANDS)

    def towards(self, other: View, share: float) -> View:
        """So far on the way to another view of the same shape; share: 0..1."""

        def mixed(mine: float, theirs: float) -> float:
            return mine + share * (theirs - mine)

        return View(
            grid=np.asarray(self.grid + np.float32(share) * (other.grid - self.grid), np.float32),
            level=mixed(self.level, other.level),
            saturated=mixed(self.saturated, other.saturated),
            steps=np.asarray(self.steps + np.float32(share) * (other.steps - self.steps), np.float32),
            noise=mixed(self.noise, other.noise),
            contrast=mixed(self.contrast, other.contrast),
            changed=mixed(self.changed, other.changed),
        )


def as_view(look: Look, grid: Grid, noise: float, changed: float) -> View:
    """grid: what the last looks have in common. noise: standard deviation of a pixel; changed: see `View`."""
    return View(
        grid=grid,
        level=look.level,
        saturated=look.saturated,
        steps=look.steps,
        noise=noise,
        contrast=math.sqrt(max(look.coarse**2 - (NOISE_AT_1_PERCENT * noise) ** 2, 0.0)),
        changed=changed,
    )


def softened(usual: View, now: View) -> float | None:
    """In which fraction of the picture small things are less clear than large ones, compared with what is usual.

    None where there is not enough of small things above the noise to tell. More noise than usual makes nothing soft.
    """
    hidden, usually_hidden = (STEPS_OF_NOISE * view.noise * view.noise for view in (now, usual))
    usually, left = usual.steps - usually_hidden, now.steps - hidden
    clear = usually >= usually_hidden
    dimmed = now.detailed.power / np.maximum(usual.detailed.power, 1e-3)
    wanted = usually * np.minimum(dimmed, 1.0)
    told = clear & (wanted >= max(LEAST_STEPS, hidden))
    by_light = usually * min(now.level / max(usual.level, 1.0), 1.0) ** 2
    surely_told = clear & (by_light >= SURELY * max(LEAST_STEPS, hidden))
    soft = (told & (left < SOFT * wanted) & (now.steps < LESS * usual.steps)) | (surely_told & (left < GONE * by_light))
    asked = int(np.count_nonzero(told | surely_told))
    return float(np.count_nonzero(soft)) / asked if asked >= FEW_BLOCKS else None


class StoredView(msgspec.Struct, frozen=True, kw_only=True):
    """A view as it is kept.

    cells: rows * columns bytes, stretched from `low` (0) to `high` (255). steps: float32, little endian.
    """

    rows: int
    columns: int
    low: float
    high: float
    cells: bytes
    level: float
    saturated: float
    steps: bytes
    noise: float
    contrast: float
    changed: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What has been learned of one camera: JSON of less than 64 KB.

    height, width: of its pictures. still_s: for how long it has delivered the same picture without being frozen.
    """

    height: int
    width: int
    still_s: float = 0.0
    views: tuple[StoredView, ...] = ()


class Views:
    """The remembered views: PER_BAND for each band of brightness, those that were seen last."""

    def __init__(self) -> None:
        self._views: list[View] = []  # the last seen first

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    def __bool__(self) -> bool:
        return bool(self._views)

    def keep(self, view: View) -> None:
        """Remember a view in place of the one it resembles, else of the one as bright that was not seen for longest."""
        others = [each for each in self._views if each.band == view.band]
        known = next((each for each in others if compare(each.detailed, view.detailed, 0.0).same >= ALIKE), None)
        if known is None and len(others) >= PER_BAND:
            known = others[-1]
        self._views = [view, *(each for each in self._views if each is not known)]

    def stored(self) -> tuple[StoredView, ...]:
        return tuple(_store(view) for view in self._views)


def restored(memory: Memory) -> Views:
    """The views of a memory; damaged ones are left out."""
    views = Views()
    if memory.height > 0 and memory.width > 0:
        shape = grid_shape(memory.height, memory.width)
        for stored in reversed(memory.views):
            if _is_whole(stored, shape):
                views.keep(_restore(stored))
    return views


def _is_whole(stored: StoredView, shape: tuple[int, int]) -> bool:
    rows, columns = shape
    numbers = (stored.low, stored.high, stored.level, stored.saturated, stored.noise, stored.contrast, stored.changed)
    return (
        (stored.rows, stored.columns) == shape
        and len(stored.cells) == rows * columns
        and len(stored.steps) == 4 * math.prod(blocks_of(shape))
        and all(0 <= number <= MOST for number in numbers)
        and bool(np.isfinite(np.frombuffer(stored.steps, "<f4")).all())
    )


def _store(view: View) -> StoredView:
    low, high = float(view.grid.min()), float(view.grid.max())
    cells = np.rint((view.grid - low) * (255.0 / max(high - low, 1e-3))).astype(np.uint8)
    rows, columns = view.grid.shape
    return StoredView(
        rows=rows,
        columns=columns,
        low=low,
        high=high,
        cells=cells.tobytes(),
        level=view.level,
        saturated=view.saturated,
        steps=view.steps.astype("<f4").tobytes(),
        noise=view.noise,
        contrast=view.contrast,
        changed=view.changed,
    )


def _restore(stored: StoredView) -> View:
    cells = np.frombuffer(stored.cells, np.uint8).reshape(stored.rows, stored.columns)
    return View(
        grid=np.asarray(stored.low + cells * np.float32((stored.high - stored.low) / 255.0), np.float32),
        level=stored.level,
        saturated=stored.saturated,
        steps=np.frombuffer(stored.steps, "<f4").reshape(blocks_of((stored.rows, stored.columns))),
        noise=stored.noise,
        contrast=stored.contrast,
        changed=stored.changed,
    )
