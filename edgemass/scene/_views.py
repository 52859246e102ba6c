"""What a camera normally sees: a few views, as by day and by night, with their edges, brightness and sharpness."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import msgspec
import numpy as np

from edgemass.scene._sight import Cells, Look

MOST = 4
TAU_S = 120.0  # a view follows what it sees within so long
SLOW_S = 1800.0  # its sharpness and its strength only within so long: a lens that fogs up is no new normal
BLOCKS = 8  # along the longer side: parts of the picture that are judged each for itself
STABLE = 0.4  # length of a mean direction: edges that stay count, leaves in the wind do not
TILES = (4, 3)  # across and down: parts of the picture that are looked for beside their places
STEP = 1.2  # cells: a shift of a good hundredth of the picture
ALIKE, BETTER = 0.45, 0.2  # of a tile's edges: at least so many are found again, and so many more than in their places
LOST = 0.35  # of what is usual: a part of the picture is no longer what it was


_Tile = tuple[slice, slice]


class Memory(msgspec.Struct, frozen=True):
    """Views as they are kept over a restart: shape of the cells, and for each view its numbers and maps, packed."""

    rows: int
    columns: int
    views: tuple[tuple[dict[str, float], bytes], ...] = ()


@dataclass(slots=True, eq=False)
class View:
    """edges, cells: means of what was seen. seconds: of being seen. The others: typical values, 0 = unknown."""

    edges: Cells
    cells: Cells
    seconds: float = 0.0
    sharpness: float = 0.0
    strength: float = 0.0
    change: float = 0.0
    moving: float = 0.0  # share of looks in which something differed from the look before

    def learn(self, look: Look, passed_s: float) -> None:
        """Follow a picture that is fine."""
        self.seconds += passed_s
        rate = max(passed_s / TAU_S, min(1.0, passed_s / self.seconds)) if self.seconds else 1.0
        self.edges += np.float32(rate) * (look.edges - self.edges)
        self.cells += np.float32(rate) * (look.cells - self.cells)
        slow = max(passed_s / SLOW_S, min(1.0, passed_s / self.seconds)) if self.seconds else 1.0
        self.strength += slow * (self.contrast(look) - self.strength)
        if look.sharpness is not None:
            self.sharpness += (slow if self.sharpness else 1.0) * (look.sharpness - self.sharpness)
        if look.change is not None:
            self.change += (rate if self.change else 1.0) * (look.change - self.change)
            self.moving += rate * ((not look.same) - self.moving)

    @property
    def weights(self) -> tuple[Cells, Cells]:
        """How much each cell counts, and the length of its mean direction."""
        length = np.asarray(cv2.magnitude(self.edges[0], self.edges[1]), np.float32)
        return np.where(length > STABLE, length, np.float32(0)), length

    def contrast(self, look: Look) -> float:
        """How strong the stable edges are in a picture, for its brightness."""
        weights, _ = self.weights
        total = float(weights.sum())
        if not total:
            return 0.0
        return float((weights * look.strength).sum()) / total / (look.mean + 8.0)

    def compare(self, look: Look) -> Likeness:
        weights, length = self.weights
        along = (self.edges * look.edges).sum(axis=0) / np.maximum(length, 1e-3)
        size = _blocks(length.shape)
        usual = cv2.resize(weights * length, size, interpolation=cv2.INTER_AREA)
        now = cv2.resize(weights * along, size, interpolation=cv2.INTER_AREA)
        total = float(usual.sum())
        structure = float(length.mean())
        if total < 1e-6:
            return Likeness(lost=0.0, alike=1.0, stable=0.0, layout=1.0, structure=structure, instead=1.0)
        lost = now < LOST * usual
        there = cv2.resize(cv2.magnitude(look.edges[0], look.edges[1]), size, interpolation=cv2.INTER_AREA)
        was = cv2.resize(length, size, interpolation=cv2.INTER_AREA)
        return Likeness(
            lost=float(usual[lost].sum()) / total,
            alike=float(now.sum()) / total,
            stable=float(np.count_nonzero(weights)) / weights.size,
            layout=_correlation(self.cells, look.cells),
            structure=structure,
            instead=float(there[lost].sum()) / max(float(was[lost].sum()), 1e-6) if lost.any() else 1.0,
        )

    def moved(self, look: Look) -> tuple[float, float]:
        """Share of the stable edges that are found again beside their places, and by how many cells they moved.

        Tile by tile, since a picture that is turned or zoomed moves differently here and there.
        """
        weights, length = self.weights
        seen = np.asarray(cv2.magnitude(look.edges[0], look.edges[1]), np.float32)
        total = found = far = 0.0
        for tile in _tiles(length.shape):
            usual = float((weights[tile] * length[tile]).sum())
            total += usual
            if usual <= 0:
                continue
            x, y = _shift(length[tile], seen[tile])
            distance = math.hypot(x, y)
            if distance < STEP:
                continue
            here = self._along(look.edges, tile) / usual
            back = np.roll(look.edges, (-round(y), -round(x)), axis=(1, 2))
            there = self._along(back, tile) / usual
            if there >= max(ALIKE, here + BETTER):
                found += usual
                far += usual * distance
        return (found / total, far / found) if found else (0.0, 0.0)

    def _along(self, edges: Cells, tile: _Tile) -> float:
        """How much of the stable edges of a tile is there."""
        weights, length = self.weights
        along = (self.edges[:, tile[0], tile[1]] * edges[:, tile[0], tile[1]]).sum(axis=0)
        return float((weights[tile] * along / np.maximum(length[tile], 1e-3)).sum())


@dataclass(frozen=True, slots=True)
class Likeness:
    """lost: share of the stable edges, by parts of the picture, that are gone. alike: 1 = all edges as usual.

    stable: share of the picture that has stable edges. layout: correlation of the coarse brightness.
    structure: mean length of the edges that are usual. instead: of what is lost, how much other structure is there now.
    """

    lost: float
    alike: float
    stable: float
    layout: float
    structure: float
    instead: float


def new_view(look: Look) -> View:
    return View(look.edges.copy(), look.cells.copy())


def remember(views: Sequence[View]) -> Memory | None:
    """Views as they are kept; None where there is none."""
    if not views:
        return None
    rows, columns = views[0].cells.shape
    packed = []
    for view in views:
        numbers = {name: round(float(getattr(view, name)), 4) for name in _NUMBERS}
        maps = np.concatenate([np.rint(view.edges * 127).astype(np.int8).ravel().view(np.uint8), _bytes(view.cells)])
        packed.append((numbers, zlib.compress(maps.tobytes())))
    return Memory(rows, columns, tuple(packed))


_NUMBERS = ("seconds", "sharpness", "strength", "change", "moving")


def recall(memory: Memory) -> list[View]:
    """Views out of memory; what is damaged is left out."""
    size = memory.rows * memory.columns
    views = []
    for numbers, packed in memory.views[:MOST]:
        try:
            maps = np.frombuffer(zlib.decompressobj().decompress(packed, 3 * size), np.uint8)
            edges = maps[: 2 * size].view(np.int8).reshape(2, memory.rows, memory.columns).astype(np.float32)
            edges *= np.float32(1 / 127)
            cells = maps[2 * size :].reshape(memory.rows, memory.columns).astype(np.float32)
        except (zlib.error, ValueError):
            continue
        views.append(View(edges, cells, **{name: float(numbers.get(name, 0.0)) for name in _NUMBERS}))
    return views


def _bytes(cells: Cells) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return np.clip(np.rint(cells), 0, 255).astype(np.uint8).ravel()


def _tiles(shape: tuple[int, ...]) -> list[_Tile]:
    rows = np.linspace(0, shape[0], TILES[1] + 1).round().astype(int).tolist()
    columns = np.linspace(0, shape[1], TILES[0] + 1).round().astype(int).tolist()
    return [
        (slice(top, bottom), slice(left, right)) for top, bottom in pairwise(rows) for left, right in pairwise(columns)
    ]


def _shift(before: Cells, after: Cells) -> tuple[float, float]:
    """By how many cells, right and down, a picture has moved."""
    window = cv2.createHanningWindow((before.shape[1], before.shape[0]), cv2.CV_32F)
    (x, y), _ = cv2.phaseCorrelate(before - before.mean(), after - after.mean(), window)
    return x, y


def _blocks(shape: tuple[int, ...]) -> tuple[int, int]:
    """(columns, rows) of the parts."""
    scale = BLOCKS / max(shape)
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def _correlation(one: Cells, other: Cells) -> float:
    a, b = one - one.mean(), other - other.mean()
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-6 else 0.0
