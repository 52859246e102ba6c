"""Pictures to label: those of a folder, or every so many frames of a clip, stored once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgemass import durable, sources
from edgemass.clock import SystemClock
from edgemass.errors import SourceError, UsageError
from edgemass.sources import CaptureOptions, images

QUALITY = 95
"""Of JPEG: frames of a clip went through a stronger compression before."""
DONE = "complete"


def of_folder(folder: Path) -> tuple[Path, ...]:
    """All pictures of a folder, in natural order.

    Raises:
        UsageError: no folder, or no picture in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; wanted one with pictures to label")
    try:
        return tuple(images.find(str(folder)))
    except SourceError as error:
        raise UsageError(str(error)) from error


def of_clip(clip: Path, every: int, into: Path) -> tuple[Path, ...]:
    """Every so many frames of a video, as files of a folder of their own in `into`; what is there is not read again.

    Raises:
        UsageError: not a video, no frame in it, or the disk is full.
    """
    folder = into / f"{clip.stem}-every{every}"
    if not (folder / DONE).is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            source = sources.open(f"file:{clip}", CaptureOptions(), SystemClock())
            count = 0
            for number, frame in enumerate(source.frames()):
                if number % every == 0:
                    durable.write_bytes(folder / f"{number:06d}.jpg", _jpeg(frame.image))
                    count += 1
            if not count:
                raise UsageError(f"--clip {clip} has no frame; wanted a video like what cameras will see")
            durable.write_bytes(folder / DONE, f"{count}\n".encode())
        except SourceError as error:
            raise UsageError(f"--clip: {error}") from error
        except OSError as error:
            raise UsageError(f"cannot write frames to {folder}: {error.strerror}; the same command goes on") from error
    return of_folder(folder)


def _jpeg(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert good
    return data.tobytes()
