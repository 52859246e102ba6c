"""Batches of composed pictures, the same for the same seed whatever the number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from edgemass_tools.data.augment import Augment, compose
from edgemass_tools.data.coco import DetectionData, Objects
from edgemass_tools.data.pictures import Pictures

Item = TypeVar("Item")
B = TypeVar("B")
MOST_OBJECTS = 64
"""Of one picture in training, the largest ones; mosaics of crowds have more."""


@dataclass(frozen=True)
class Batch:
    """images: (n, h, w, 3) uint8 BGR. boxes: (n, m, 4) corners in pixels, padded with zeros.

    class_id: (n, m) int64, -1 where padded. score: (n, m). ignore: (n, m) bool.
    """

    images: Tensor
    boxes: Tensor
    class_id: Tensor
    score: Tensor
    ignore: Tensor

    def beside(self, net: nn.Module) -> Batch:
        """The same on the device that the net is on."""
        device = next(net.parameters()).device
        return Batch(*(item.to(device) for item in vars(self).values()))


@dataclass(frozen=True)
class Composer(Dataset[tuple[Any, Objects]]):
    """The pictures of one epoch by number.

    size: (width, height). weights: source of a set -> how often its pictures are drawn, 1 where not named.
    """

    data: DetectionData
    pictures: Pictures
    size: tuple[int, int]
    augment: Augment
    seed: int
    epoch: int
    count: int
    weights: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, Objects]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        chances = self._chances()

        def draw() -> tuple[Any, Objects]:
            number = int(np.searchsorted(chances, rng.random() * chances[-1], side="right"))
            return self.pictures[number], self.data.samples[number].objects

        return compose(draw, self.size, self.augment, rng)

    def _chances(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        found: np.ndarray[Any, np.dtype[np.float64]] | None = self.__dict__.get("_cumulated")
        if found is None:
            found = np.cumsum([self.weights.get(sample.source, 1.0) for sample in self.data.samples])
            self.__dict__["_cumulated"] = found
        return found


def batches(composer: Composer, batch_size: int, workers: int) -> Iterator[Batch]:
    return loaded(composer, len(composer), _collate, batch_size, workers)


def loaded(
    items: Dataset[Item], count: int, collate: Callable[[list[Item]], B], batch_size: int, workers: int
) -> Iterator[B]:
    """All items of an epoch, so many; the last batch is left out where it is not full."""
    yield from DataLoader(
        items,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        drop_last=count >= batch_size,
        prefetch_factor=4 if workers else None,
        multiprocessing_context="fork" if workers else None,
    )


def _collate(items: list[tuple[Any, Objects]]) -> Batch:
    """Stack pictures and pad their objects."""
    kept = [_largest(objects) for _, objects in items]
    most = max(1, *(len(objects.class_id) for objects in kept))
    boxes = np.zeros((len(items), most, 4), np.float32)
    class_id = np.full((len(items), most), -1, np.int64)
    score = np.zeros((len(items), most), np.float32)
    ignore = np.zeros((len(items), most), bool)
    for row, objects in enumerate(kept):
        count = len(objects.class_id)
        boxes[row, :count], class_id[row, :count] = objects.xyxy, objects.class_id
        score[row, :count], ignore[row, :count] = objects.score, objects.ignore
    images = torch.from_numpy(np.stack([image for image, _ in items]))
    return Batch(images, *(torch.from_numpy(item) for item in (boxes, class_id, score, ignore)))


def _largest(objects: Objects) -> Objects:
    if len(objects.class_id) <= MOST_OBJECTS:
        return objects
    sides = objects.xyxy[:, 2:] - objects.xyxy[:, :2]
    return objects.take(np.argsort(-sides.prod(1), kind="stable")[:MOST_OBJECTS])
