"""Pictures into a video file that plays everywhere: H.264 where this build of FFmpeg has an encoder, else MPEG-4."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
from av.video.stream import VideoStream

from edgemass import durable
from edgemass.errors import UsageError
from edgemass.frame import Image

SUFFIXES = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffix -> FFmpeg's name of the format."""
_ENCODERS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "veryfast", "crf": "21"},
    "mpeg4": {"qscale": "4", "flags": "+qscale"},
}
_TICKS = 90_000  # a second
_MPEG4_TICKS = 1000  # its header has 16 bits for them
_GUESS = Fraction(30)  # frames a second, for the encoder's planning only: every frame has its own time


class Film:
    """A video that is being written, under a temporary name until it is whole. Used by one thread.

    encoder: its name. frames: so far. duration_s: from the first to the last. width, height: of its pictures.
    """

    def __init__(self, target: Path, *, width: int, height: int, encoder: str | None = None) -> None:
        """Begin a file. The first picture tells the size; odd ones are rounded up, as H.264 wants them.

        Raises:
            UsageError: a suffix that is none of SUFFIXES.
            OSError: it cannot be written.
        """
        self.target = target
        self.encoder = encoder or available_encoder()
        self.frames = 0
        self.duration_s = 0.0
        self.width, self.height = width + width % 2, height + height % 2
        self._part = target.with_name(f".{target.name}.{os.getpid()}.part")
        self._ticks = _MPEG4_TICKS if self.encoder == "mpeg4" else _TICKS
        self._first_ns = 0
        self._last_pts = -1
        self._part.touch()  # says in Python's own words what is wrong with the folder
        self._container = av.open(f"file:{self._part}", "w", format=file_format(target))
        stream = self._container.add_stream(self.encoder, rate=_GUESS, options=dict(_ENCODERS[self.encoder]))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = self.width, self.height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, self._ticks)
        self._stream = stream

    def add(self, image: Image, at_ns: int) -> None:
        """The next picture, shown from this time on; any clock will do. Another size is fitted into that of the first.

        Raises:
            OSError: the disk is full.
        """
        if not self.frames:
            self._first_ns = at_ns
        picture = av.VideoFrame.from_ndarray(fitted(image, self.width, self.height), format="bgr24")
        picture.pts = max(self._last_pts + 1, round((at_ns - self._first_ns) * self._ticks / 1e9))
        picture.time_base = Fraction(1, self._ticks)
        self._last_pts = picture.pts
        with _as_os_error():
            self._container.mux(self._stream.encode(picture.reformat(format="yuv420p")))
        self.frames += 1
        self.duration_s = self._last_pts / self._ticks

    def close(self) -> int:
        """Put the whole file into its place; returns its bytes.

        Raises:
            OSError: the disk is full; there is no file then.
        """
        try:
            with _as_os_error():
                self._container.mux(self._stream.encode())
                self._container.close()
            durable.move(self._part, self.target)
        except OSError:
            self.discard()
            raise
        return self.target.stat().st_size

    def discard(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            self._container.close()
        self._part.unlink(missing_ok=True)


def file_format(target: Path) -> str:
    """FFmpeg's name for what a file of this name is.

    Raises:
        UsageError: none that is known here.
    """
    name = SUFFIXES.get(target.suffix.lower())
    if name is None:
        raise UsageError(f"cannot tell the format of {target}; wanted a name that ends with {', '.join(SUFFIXES)}")
    return name


def available_encoder() -> str:
    """The first of the encoders that this build of FFmpeg has; the last one is always there."""
    return next((name for name in _ENCODERS if name in av.codecs_available), "mpeg4")


def fitted(image: Image, width: int, height: int) -> Image:
    """A picture of exactly this size: missing rims of a pixel repeat its border, else it is scaled, on black."""
    rows, columns = image.shape[:2]
    if (columns, rows) == (width, height):
        return image
    if 0 <= width - columns <= 1 and 0 <= height - rows <= 1:
        wider = cv2.copyMakeBorder(image, 0, height - rows, 0, width - columns, cv2.BORDER_REPLICATE)
        return np.asarray(wider, np.uint8)
    scale = min(width / columns, height / rows)
    size = max(1, min(width, round(columns * scale))), max(1, min(height, round(rows * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((height, width, 3), np.uint8)
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = small
    return canvas


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    """FFmpeg's errors as Python's own."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or type(error).__name__) from error
