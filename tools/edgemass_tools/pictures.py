"""Pictures to calibrate with: a seeded choice from a folder or a clip."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

import cv2

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.errors import SourceError, UsageError
from edgemass.sources import CaptureOptions, images

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Files that can be read, in the order in which they were drawn. unreadable: how many others were drawn."""

    paths: tuple[Path, ...]
    unreadable: int = 0


def from_folder(folder: Path, wanted: int, seed: int) -> Pictures:
    """Draw from the pictures of a folder; what cannot be read is counted, and another one takes its place.

    Raises:
        UsageError: no folder, or no picture in it that can be read.
    """
    if not folder.is_dir():
        raise UsageError(
            f"--images {folder} is no folder; wanted a folder of pictures like those that cameras will see"
        )
    try:
        there = images.find(str(folder))
    except SourceError as error:
        raise UsageError(f"--images: {error}") from error
    random.Random(seed).shuffle(there)  # noqa: S311 (a choice that can be repeated, no secret)
    good: list[Path] = []
    unreadable = 0
    for path in there:
        if len(good) == wanted:
            break
        try:
            images.read(path)
        except SourceError as error:
            logger.debug("left out: %s", error)
            unreadable += 1
            continue
        good.append(path)
    if not good:
        raise UsageError(f"--images {folder}: none of its {len(there)} pictures can be read; wanted JPEG or PNG files")
    if unreadable:
        logger.warning("%d of %d pictures drawn cannot be read and are left out", unreadable, unreadable + len(good))
    return Pictures(tuple(good), unreadable)


def from_clip(clip: Path, wanted: int, seed: int, into: Path) -> Pictures:
    """Draw frames of a video, each with the same chance, and store them without loss in the folder `into`.

    Raises:
        UsageError: not a video, or no frame in it.
    """
    rng = random.Random(seed)  # noqa: S311 (as above)
    kept: dict[int, Path] = {}
    try:
        source = sources.open(f"file:{clip}", CaptureOptions(), SystemClock())
        for number, frame in enumerate(source.frames()):
            place = number if number < wanted else rng.randrange(number + 1)
            if place < wanted:
                kept[place] = into / f"{place}.png"
                cv2.imwrite(str(kept[place]), frame.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    except SourceError as error:
        raise UsageError(f"--clip: {error}") from error
    if not kept:
        raise UsageError(f"--clip {clip} has no frame; wanted a video like what cameras will see")
    places = sorted(kept)
    rng.shuffle(places)  # the first frames would all be in front
    return Pictures(tuple(kept[place] for place in places))
