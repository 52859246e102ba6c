"""A realistic load for decoding and NMS where a network has random weights and finds nothing.

`Scene` is made from the objects' side: 30 objects, about 300 candidates around them, background everywhere else. It is
written out as whatever head a file has, so that all of them decode to the same detections:

    stock   [1, 4 + classes, cells]: centre and size in pixels (or fractions), then probabilities
    raw     per level: class logits [1, classes, h, w], and DFL distributions of the four distances [1, 4 * bins, h, w]

`SyntheticLoad` wraps a backend: the real run happens and is paid for, then its outputs are replaced by the scene.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgemass.backends import Backend
from edgemass.tensors import AnyArray, FloatArray, IntArray, Outputs, Quantization, Tensor

STRIDES = (8, 16, 32)
BINS = 16
OBJECTS = 30
CANDIDATES = 300
CLASSES = 80
BACKGROUND = 1e-4
_NEVER = -30.0  # logit of a bin that has no share in a distance


@dataclass(frozen=True, eq=False)
class Scene:
    """What a head says, cell by cell, levels one after the other, row after row.

    xy, stride: float64 (n, 2), (n, 1): centre of each cell in pixels, and pixels per cell.
    distances: float64 (n, 4): from the centre to left, top, right, bottom, in strides; 0 to BINS - 1.
    probability: float64 (n, classes).
    """

    width: int
    height: int
    xy: NDArray[np.float64]
    stride: NDArray[np.float64]
    distances: NDArray[np.float64]
    probability: NDArray[np.float64]

    @property
    def xyxy(self) -> NDArray[np.float64]:
        """Corners of every cell's box in pixels."""
        reach = self.distances * self.stride
        return np.concatenate([self.xy - reach[:, :2], self.xy + reach[:, 2:]], axis=1)

    def stock(self, *, normalized: bool = False) -> FloatArray:
        """(4 + classes, cells)."""
        left_top, right_bottom = np.split(self.xyxy, 2, axis=1)
        boxes = np.concatenate([(left_top + right_bottom) / 2, right_bottom - left_top], axis=1)
        if normalized:
            boxes /= np.array([self.width, self.height] * 2)
        return np.ascontiguousarray(np.concatenate([boxes, self.probability], axis=1).T, np.float32)

    def raw(self) -> list[tuple[FloatArray, FloatArray]]:
        """(class logits, DFL logits) of each level: (classes, h, w) and (4 * BINS, h, w)."""
        logits = np.log(self.probability / (1 - self.probability))
        bins = _bins(self.distances)
        levels = []
        for stride in STRIDES:
            rows, columns = -(-self.height // stride), -(-self.width // stride)
            mine = self.stride[:, 0] == stride
            levels.append(
                (
                    np.ascontiguousarray(logits[mine].T.reshape(-1, rows, columns), np.float32),
                    np.ascontiguousarray(bins[mine].T.reshape(-1, rows, columns), np.float32),
                )
            )
        return levels


def scene(
    width: int,
    height: int,
    *,
    objects: int = OBJECTS,
    candidates: int = CANDIDATES,
    classes: int = CLASSES,
    background: float = BACKGROUND,
    seed: int = 0,
) -> Scene:
    """Objects of many sizes at random places, each seen by the `candidates / objects` nearest cells of its level.

    background: probability about which all else scatters, by a factor of about 2 either way.
    """
    rng = np.random.default_rng(seed)
    xy, stride = _cells(width, height)
    n = len(xy)
    distances = rng.uniform(0.5, 6, (n, 4))
    probability = np.clip(background * np.exp(rng.normal(0, 0.7, (n, classes))), 1e-7, 0.2)
    free = np.ones(n, np.bool_)
    for number in range(objects):
        share = (number + 1) * candidates // objects - number * candidates // objects
        level = int(rng.choice(STRIDES, p=(0.4, 0.4, 0.2)))
        size = np.minimum(rng.uniform(5, 11, 2) * level, (0.9 * width, 0.9 * height))
        left_top = rng.uniform(0, np.array([width, height]) - size)
        box = np.concatenate([left_top, left_top + size])
        cells = _nearest(xy, free & _inside(xy, box), stride[:, 0] == level, box, share)
        free[cells] = False
        jittered = box + rng.normal(0, 0.02, (len(cells), 4)) * np.tile(size, 2)
        reach = np.concatenate([xy[cells] - jittered[:, :2], jittered[:, 2:] - xy[cells]], axis=1) / stride[cells]
        distances[cells] = np.clip(reach, 0, BINS - 1.01)
        score = rng.uniform(0.6, 0.95) - 0.3 * np.linspace(0, 1, len(cells))
        probability[cells, int(rng.integers(classes))] = score
    return Scene(width, height, xy, stride, distances, probability)


def _cells(width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.divmod(np.arange(rows * columns), columns)
        centres.append((np.stack([x, y], axis=1) + 0.5) * stride)
        strides.append(np.full((rows * columns, 1), float(stride)))
    return np.concatenate(centres), np.concatenate(strides)


def _inside(xy: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.asarray(((xy > box[:2]) & (xy < box[2:])).all(axis=1))


def _nearest(
    xy: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    level: NDArray[np.bool_],
    box: NDArray[np.float64],
    count: int,
) -> IntArray:
    """Cells inside a box by distance from its centre, those of its own level first."""
    far = np.hypot(*(xy - (box[:2] + box[2:]) / 2).T) + np.where(level, 0.0, 1e6)
    far[~allowed] = np.inf
    order: IntArray = np.argsort(far)[:count]
    return np.asarray(order[np.isfinite(far[order])])


def _bins(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4) distances -> (n, 4 * BINS) logits whose softmax has the distance as its mean."""
    lower = np.floor(distances).astype(np.int64)
    share = distances - lower
    logits = np.full((*distances.shape, BINS), _NEVER)
    with np.errstate(divide="ignore"):
        np.put_along_axis(logits, lower[..., None], np.maximum(np.log(1 - share), _NEVER)[..., None], axis=2)
        upper = np.minimum(lower + 1, BINS - 1)
        np.put_along_axis(logits, upper[..., None], np.maximum(np.log(share), _NEVER)[..., None], axis=2)
    return logits.reshape(len(distances), -1)


class SyntheticLoad:
    """A backend whose runs are real and whose answers are a scene.

    The scene is written into the arrays that the run has just filled, so that whoever reads them finds them where the
    runtime leaves them, in the processor's caches or not. copying_s: what that has taken so far; a measurement takes
    it off.
    """

    def __init__(self, backend: Backend, width: int, height: int, *, normalized: bool = False) -> None:
        """width, height: of the model's picture. normalized: the stock head has boxes as fractions of it."""
        self._backend = backend
        self._size = (width, height)
        self._normalized = normalized
        self.copying_s = 0.0
        self._answers: Outputs | None = None
        self.requested, self.version = backend.requested, backend.version
        self.inputs, self.outputs = backend.inputs, backend.outputs

    @property
    def name(self) -> str:
        return self._backend.name

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """See Backend."""
        real = self._backend.run(inputs)
        started = time.perf_counter()
        if self._answers is None:
            self._answers = answers(real, *self._size, normalized=self._normalized)
        for name, answer in self._answers.items():
            np.copyto(real[name].data, answer.data)
        self.copying_s += time.perf_counter() - started
        return real

    def close(self) -> None:
        self._backend.close()


def answers(real: Outputs, width: int, height: int, *, normalized: bool = False) -> Outputs:
    """The scene in the shapes, dtypes and scales of real outputs.

    Raises:
        ValueError: an output of no head that is known here.
    """
    made = scene(width, height)
    return {
        name: Tensor(_stored(_part(made, name, tensor, normalized=normalized), tensor), tensor.quantization)
        for name, tensor in real.items()
    }


def _part(made: Scene, name: str, tensor: Tensor, *, normalized: bool) -> FloatArray:
    shape = tensor.data.shape
    columns = 4 + made.probability.shape[1]
    cells = len(made.xy)
    for wanted, transposed in (((1, columns, cells), False), ((1, cells, columns), True)):
        if shape == wanted:
            stock = made.stock(normalized=normalized)
            return (np.ascontiguousarray(stock.T) if transposed else stock)[None]
    for logits, bins in made.raw():
        for part in (logits, bins):
            if shape == (1, *part.shape):
                return part[None]
            if shape == (1, part.shape[0], math.prod(part.shape[1:])):
                return part.reshape(1, part.shape[0], -1)
    raise ValueError(f"output {name} has shape {shape}, wanted a head of YOLOv8 with {columns - 4} classes")


def _stored(real: FloatArray, like: Tensor) -> AnyArray:
    """Real numbers as the output stores them."""
    dtype = like.data.dtype
    if dtype.kind == "f":
        return real.astype(dtype)
    scale = like.quantization or Quantization(1.0, 0)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(real / scale.scale) + scale.zero_point, limits.min, limits.max), dtype)
