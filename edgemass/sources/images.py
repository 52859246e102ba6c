"""Pictures as a source: a folder, a glob or one file. Addresses: `folder/`, `shots/*.jpg`, `door.png`, `images:folder`.

One picture a second, or `fps` of the options. Pictures keep their own size, whatever width and height the options ask.
"""

from __future__ import annotations

import glob
import logging
import os.path
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np

from edgemass.clock import Clock
from edgemass.errors import SourceError, SourceNotFoundError
from edgemass.frame import Frame, Image
from edgemass.sources import IMAGE_SUFFIXES, CaptureOptions
from edgemass.sources._picture_size import is_cut_short, picture_size
from edgemass.sources._timeline import NS, Timeline, ready

logger = logging.getLogger(__name__)

DEFAULT_FPS = 1.0
MAX_PIXELS = 100_000_000  # 300 MB decoded: more than cameras give, less than what stops a board with 1 GB
MAX_BYTES = 320_000_000  # what MAX_PIXELS take uncompressed
READ_TIMEOUT_S = 60.0  # as for video files: a sleeping disk, a slow share


def open(uri: str, options: CaptureOptions, clock: Clock) -> Pictures:  # noqa: A001 (the plug-ins' own word)
    """The pictures that are there now.

    Raises:
        SourceNotFoundError: there are none, or the folder cannot be read.
    """
    return Pictures(_address(uri), clock, fps=options.fps or DEFAULT_FPS, realtime=options.realtime)


def _address(uri: str) -> str:
    if uri.lower().startswith("images://"):
        return unquote(uri[len("images://") :])
    if uri.lower().startswith("images:") and not os.path.exists(uri):  # noqa: PTH110 (takes any text)
        return uri[len("images:") :]
    return uri


class Pictures:
    """Pictures in natural order (2.jpg before 10.jpg), BGR, turned upright as their EXIF data says.

    skipped: files that could not be read so far, each told by one warning.
    """

    live = False

    def __init__(self, address: str, clock: Clock, *, fps: float, realtime: bool) -> None:
        self.name = address
        self.realtime = realtime
        self.read_timeout_s = float("inf") if realtime else READ_TIMEOUT_S
        self.skipped = 0
        self._paths = find(address)
        self._clock = clock
        self._step_ns = round(NS / fps)
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def count(self) -> tuple[int, float]:
        return len(self._paths), NS / self._step_ns

    def frames(self) -> Iterator[Frame]:
        timeline = Timeline(self._clock, self._closed, step_ns=self._step_ns, realtime=self.realtime)
        shown = 0
        for path in self._paths:
            if self._closed.is_set():
                return
            try:
                image = read(path)
            except SourceError as error:
                self.skipped += 1
                logger.warning("picture left out: %s", error)
                continue
            frame = timeline.frame(ready(image), width=image.shape[1], height=image.shape[0])
            if frame is None:
                return
            shown += 1
            yield frame
        if shown == 0:
            raise SourceNotFoundError(f"{self.name}: none of {len(self._paths)} pictures could be read")


def find(address: str) -> list[Path]:
    """Picture files of a folder (not of its subfolders), a glob or a name, in natural order.

    Raises:
        SourceNotFoundError: there are none, or the folder cannot be read.
    """
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    if os.path.isfile(address):  # noqa: PTH113 (takes any text)
        return [Path(address)]
    try:
        if os.path.isdir(address):  # noqa: PTH112 (takes any text)
            found = [entry for entry in Path(address).iterdir() if _is_picture(entry)]
            where = f"folder {address}"
        elif not glob.has_magic(address):
            raise SourceNotFoundError(f"{address} is not there; wanted a folder, a glob or a file of {suffixes}")
        else:
            found = [Path(name) for name in glob.glob(address, recursive=True) if _is_picture(Path(name))]  # noqa: PTH207
            where = address
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceNotFoundError(f"cannot read {address}: {why}; wanted pictures") from error
    if not found:
        raise SourceNotFoundError(f"no pictures in {where}; looked for {suffixes}")
    return sorted(found, key=_natural)


def read(path: Path, *, upright: bool = True) -> Image:
    """One picture as BGR; gray, alpha and 16 bits are converted.

    upright: turned as its EXIF data say, else as it is stored.

    Raises:
        SourceError: it cannot be read, is no picture, is cut short, or has more than MAX_PIXELS pixels (then it is not
            decoded at all).
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is no file; wanted a picture")
        size_bytes = status.st_size
        if size_bytes > MAX_BYTES:
            raise SourceError(
                f"{path} has {size_bytes / 1e6:.0f} MB, at most {MAX_BYTES / 1e6:.0f} are read; make it smaller"
            )
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error
    size = picture_size(data)
    if size is None:
        raise SourceError(f"{path} is not a picture of a known format; wanted JPEG, PNG, BMP, WebP, TIFF or PNM")
    if size[0] * size[1] > MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise SourceError(
            f"{path} has {size[0]} x {size[1]} pixels, at most {limit} megapixels are read; make it smaller"
        )
    if is_cut_short(data):
        raise SourceError(f"{path} ends before the end of its picture; copy it again")
    try:
        flags = cv2.IMREAD_COLOR if upright else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise SourceError(f"{path} cannot be decoded: {' '.join(str(error).split())}") from error
    if image is None:
        raise SourceError(f"{path} cannot be decoded; it is damaged")
    return np.asarray(image, np.uint8)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _natural(path: Path) -> list[tuple[int, str]]:
    """Runs of digits compare as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", str(path))]
