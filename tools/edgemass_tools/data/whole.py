"""Whole pictures as a classifier sees them in training: scaled, turned, mirrored, recoloured, one class each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from edgemass.frame import Image
from edgemass_tools.data import augment, loading
from edgemass_tools.data.pictures import Pictures


class Augment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """scale: least and most size of a picture in its frame. stretch: most that its shape is changed.

    turn: degrees, either way. flip, recolor, grey, blur: how often.
    """

    scale: tuple[float, float] = (0.8, 1.5)
    stretch: float = 0.2
    turn: float = 10.0
    flip: float = 0.5
    recolor: float = 0.8
    grey: float = 0.05
    blur: float = 0.1


@dataclass(frozen=True)
class Batch:
    """images: (n, h, w, channels) uint8, BGR or grey. class_id: (n,) int64."""

    images: Tensor
    class_id: Tensor


@dataclass(frozen=True)
class Composer(Dataset[tuple[Image, int]]):
    """The pictures of one epoch by number: all of them by chance, again from the beginning where `count` is larger.

    size: (width, height).
    """

    pictures: Pictures
    class_id: tuple[int, ...]
    size: tuple[int, int]
    color: Literal["BGR", "GRAY"]
    augment: Augment
    seed: int
    epoch: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image, int]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        number = self._order()[index]
        image = changed(self.pictures[number], self.size, self.augment, rng)
        if self.color == "GRAY":
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[:, :, None], np.uint8)
        return image, self.class_id[number]

    def _order(self) -> list[int]:
        found: list[int] | None = self.__dict__.get("_drawn")
        if found is None:
            rng = np.random.default_rng((self.seed, self.epoch))
            rounds = -(-self.count // len(self.class_id))
            found = np.concatenate([rng.permutation(len(self.class_id)) for _ in range(rounds)]).tolist()
            self.__dict__["_drawn"] = found
        return found


def changed(image: Image, size: tuple[int, int], options: Augment, rng: np.random.Generator) -> Image:
    """One training picture (height, width, 3) uint8 BGR: the whole, as the device stretches it, with some change.

    What lies around a picture that does not fill its frame is its own border, drawn out.
    """
    width, height = size
    scale = float(rng.uniform(*options.scale))
    wide, high = np.exp(rng.uniform(-0.5, 0.5) * options.stretch * np.array([1, -1])) * scale
    if image.shape[1] > 2 * width * wide:  # halves of pixels would be skipped
        image = np.asarray(
            cv2.resize(image, (round(width * wide), round(height * high)), interpolation=cv2.INTER_AREA), np.uint8
        )
    across, down = width * wide / image.shape[1], height * high / image.shape[0]
    angle = np.deg2rad(rng.uniform(-options.turn, options.turn))
    mirror = -1.0 if rng.random() < options.flip else 1.0
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos * across * mirror, -sin * down], [sin * across * mirror, cos * down]])
    # Anywhere in the frame where it is smaller, any cut of it where it is larger.
    slack = np.abs(np.array([width * (wide - 1), height * (high - 1)])) / 2
    middle = (np.array([width, height]) - 1) / 2 + rng.uniform(-slack, slack)  # a pixel's centre has whole numbers
    offset = middle - linear @ ((np.array([image.shape[1], image.shape[0]]) - 1) / 2)
    matrix = np.column_stack([linear, offset])
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    tinted = augment.tinted(
        np.asarray(moved, np.uint8), recolor=options.recolor, grey=options.grey, blur=options.blur, rng=rng
    )
    return np.ascontiguousarray(tinted)


def batches(composer: Composer, batch_size: int, workers: int) -> Iterator[Batch]:
    return loading.loaded(composer, len(composer), _collate, batch_size, workers)


def _collate(items: list[tuple[Any, int]]) -> Batch:
    images = torch.from_numpy(np.stack([image for image, _ in items]))
    return Batch(images, torch.tensor([class_id for _, class_id in items]))
