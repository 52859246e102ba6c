"""Detection sets as one, with their pictures in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edgemass_tools.data import coco
from edgemass_tools.data.coco import DetectionData
from edgemass_tools.data.pictures import Pictures

KEPT_SIDE = 512
"""Longest side of pictures in memory: more than nets of this size see."""


def load(
    pairs: Sequence[tuple[Path, Path]], labels: tuple[str, ...], progress: Callable[[int, int], None]
) -> tuple[DetectionData, Pictures]:
    """All sets as one.

    pairs: annotations and the folder of their pictures; classes are those of the first, where no labels are given.

    Raises:
        UsageError: see data.coco and data.pictures.
    """
    first, *others = pairs
    data = coco.read(*first, labels)
    for file, folder in others:
        more = coco.read(file, folder, data.labels)
        data = replace(data, samples=data.samples + more.samples, description=f"{data.description}; {more.description}")
    pictures = Pictures([sample.path for sample in data.samples], longest=KEPT_SIDE)
    return _as_kept(data, pictures, progress), pictures


def _as_kept(data: DetectionData, pictures: Pictures, progress: Callable[[int, int], None]) -> DetectionData:
    """The objects in pixels of the pictures as they are kept, which may be smaller."""
    samples = []
    for number, sample in enumerate(data.samples):
        progress(number, len(data.samples))
        image = pictures[number]
        ratio = (image.shape[0] * image.shape[1] / sample.pixels) ** 0.5 if sample.pixels else 1.0
        samples.append(replace(sample, objects=sample.objects.moved(sample.objects.xyxy * ratio)))
    return replace(data, samples=tuple(samples))
