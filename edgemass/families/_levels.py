"""Heads of classes and of distances to the four sides, level by level: their maps, and how they are decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgemass.detections import Detections
from edgemass.families._candidates import logit, picture_size, sigmoid
from edgemass.families._dense import Cells, Layout, finish, level_sizes, pick, stored_limit
from edgemass.graph import FeatureMap
from edgemass.manifest import Manifest, OutputSpec
from edgemass.tensors import FloatArray, IntArray, Outputs, Tensor

DFL_BINS = 16
_STRIDES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Pairs:
    """Maps of classes and of distances, from the finest level to the coarsest."""

    strides: tuple[int, ...]
    classes: tuple[FeatureMap, ...]
    distances: tuple[FeatureMap, ...]

    @property
    def tensors(self) -> dict[str, tuple[str, ...]]:
        names = {"classes": tuple(item.name for item in self.classes)}
        return names | {"distances": tuple(item.name for item in self.distances)} if self.distances else names


def pair_up(maps: Sequence[FeatureMap], width: int, height: int, class_count: int | None = None) -> Pairs | None:
    """Sort the maps of a head into levels, two for each; None where they do not fit the picture.

    class_count: channels of the classes; None = those of the one map whose channels are not 4 x DFL_BINS.
    """
    levels = by_level(maps, width, height)
    if levels is None or any(len(level) != 2 for level in levels.values()):
        return None
    classes, distances = [], []
    for first, second in levels.values():
        if class_count is None and (first.channels == 4 * DFL_BINS) == (second.channels == 4 * DFL_BINS):
            return None  # nothing tells which is which
        boxes_first = first.channels == 4 * DFL_BINS if class_count is None else second.channels == class_count
        one, other = (second, first) if boxes_first else (first, second)
        classes.append(one)
        distances.append(other)
    counts = {item.channels for item in classes}
    widths = {item.channels for item in distances}
    if len(counts) != 1 or len(widths) != 1 or widths.pop() % 4 or class_count not in (None, *counts):
        return None
    return Pairs(tuple(levels), tuple(classes), tuple(distances))


def by_level(maps: Sequence[FeatureMap], width: int, height: int) -> dict[int, list[FeatureMap]] | None:
    """Maps by stride, the finest first; None where one is no level of the picture."""
    levels: dict[int, list[FeatureMap]] = {}
    for item in sorted(maps, key=lambda item: -item.width * item.height):
        stride = next((s for s in _STRIDES if level_sizes(width, height, [s]) == [(item.width, item.height)]), None)
        if stride is None:
            return None
        levels.setdefault(stride, []).append(item)
    return levels


def cut_pairs(manifest: Manifest, maps: Sequence[FeatureMap], *, end_to_end: bool) -> Sequence[OutputSpec]:
    """How to read a head of class and distance maps that was cut off; both ways where their channels are equal."""
    width, height = picture_size(manifest)
    pairs = pair_up(maps, width, height, len(manifest.labels))
    if pairs is None:
        return ()
    ways = [pairs]
    if pairs.classes[0].channels == pairs.distances[0].channels:
        ways.append(Pairs(pairs.strides, pairs.distances, pairs.classes))
    options = {"strides": list(pairs.strides), "bins": pairs.distances[0].channels // 4}
    if end_to_end:
        options["end_to_end"] = True
    return [OutputSpec(family="levels", tensors=way.tensors, options=options, nms=manifest.output.nms) for way in ways]


class Points:
    """Where distances count from, laid out so that a few cells are taken quickly.

    centre: of a cell, in cells from its left top corner.
    """

    def __init__(self, grid: Cells, centre: float = 0.5) -> None:
        self._stride = np.ascontiguousarray(grid.stride[:, 0])
        self._xy = np.ascontiguousarray(((grid.xy + np.float32(centre)) * grid.stride).T)

    def boxes(self, distributions: FloatArray, cell: IntArray, bins: int) -> FloatArray:
        """Distances (4 x bins, k), one column for each of these cells -> corners (k, 4) in pixels."""
        distance = _expected(distributions.reshape(4, bins, len(cell))) if bins > 1 else distributions
        distance = distance * self._stride.take(cell)
        point = self._xy.take(cell, axis=1)
        corners = np.empty((len(cell), 4), np.float32)
        np.subtract(point, distance[:2], out=corners.T[:2])
        np.add(point, distance[2:], out=corners.T[2:])
        return corners


_LARGEST_EXPONENT = 80.0  # the sum of 256 such powers of e is still a float32


def _expected(logits: FloatArray) -> FloatArray:
    """Mean of 0, 1, 2, ... weighted by the softmax over the bins: (4, bins, k) -> (4, k).

    In this memory order and without the usual subtraction of the largest it takes a fifth of the time.
    """
    if logits.size and not logits.max() < _LARGEST_EXPONENT:
        logits = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(logits)
    numbers = np.arange(logits.shape[1], dtype=np.float32)
    return np.asarray(np.einsum("sbk,b->sk", weights, numbers) / weights.sum(axis=1), np.float32)


@dataclass(frozen=True)
class LevelsDecoder:
    """A head of classes and distances, level after level, or of one table with the cells of all levels.

    classes, distances: tensor names; without distances those of classes hold both, classes first.
    layout: "CN" = maps [1, channels, h, w], "NC" = rows [1, cells, channels]. activated: classes are probabilities.
    most_rows: of a head that leaves one box per object: every class of a cell counts, and so many of the best are all;
        None for any other head.
    """

    classes: tuple[str, ...]
    distances: tuple[str, ...]
    points: Points
    bins: int
    layout: Layout
    activated: bool
    class_count: int
    most_rows: int | None = None

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        """Few and large steps: right after a run the processor's caches hold none of this, and each step costs."""
        threshold = score_threshold if self.activated else logit(score_threshold)
        every_label = multi_label or self.most_rows is not None
        found: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
        start = 0
        for classes, distances in self._tables(outputs):
            cell, class_id, score = _chosen(classes, threshold, every_label=every_label)
            if len(cell):
                far = distances.with_data(distances.data.take(cell, axis=1)).real()
                found.append((cell + start, class_id, score, far))
            start += classes.data.shape[1]
        if not found:
            return Detections.empty()
        cell, class_id, score, distribution = (
            parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True)
        )
        if not self.activated:
            score = sigmoid(score)
        if self.most_rows is not None and len(score) > self.most_rows:
            best = np.argsort(-score, kind="stable")[: self.most_rows]
            score, class_id, distribution, cell = score[best], class_id[best], distribution[:, best], cell[best]
        return finish(self.points.boxes(distribution, cell, self.bins), score, class_id, score_threshold)

    def _tables(self, outputs: Outputs) -> list[tuple[Tensor, Tensor]]:
        """Views (classes, cells) and (4 x bins, cells) of each level."""
        tables = [self._by_channel(outputs[name]) for name in self.classes]
        if self.distances:
            return list(zip(tables, (self._by_channel(outputs[name]) for name in self.distances), strict=True))
        split = self.class_count
        return [(table.with_data(table.data[:split]), table.with_data(table.data[split:])) for table in tables]

    def _by_channel(self, tensor: Tensor) -> Tensor:
        data = tensor.data
        if data.dtype == np.float16:  # NumPy compares halves one at a time
            data = data.astype(np.float32)
        if self.layout == "CN":
            return tensor.with_data(data.reshape(data.shape[1], -1))
        return tensor.with_data(data.reshape(data.shape[-2:]).T)


def _chosen(classes: Tensor, threshold: float, *, every_label: bool) -> tuple[IntArray, IntArray, FloatArray]:
    """Cell, class and score of the best class of every cell that passes, or of every class that does.

    classes: (classes, cells). threshold: in their domain. NaN never passes.
    """
    if every_label or classes.data.strides[0] < classes.data.strides[1]:
        passed = pick(classes.with_data(classes.data.T), threshold, multi_label=every_label)
        return passed.row, passed.class_id, passed.score
    best = np.maximum.reduce(classes.data, axis=0)
    cell = (best > stored_limit(classes, threshold)).nonzero()[0]
    if not len(cell):
        return cell, cell, np.empty(0, np.float32)
    class_id = classes.data.take(cell, axis=1).argmax(axis=0)
    return cell, class_id, classes.with_data(best.take(cell)).real()
