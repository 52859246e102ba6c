"""Where frames come from. A source is one file with `open(uri, options, clock) -> Source` and a row in SOURCES.

`open` only parses and checks what can be checked without waiting; the device is opened by the first `next` of
`frames()`, in the capture thread.
"""

from __future__ import annotations

import importlib
import os.path
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import msgspec

from edgemass.clock import Clock
from edgemass.errors import UsageError
from edgemass.frame import Frame
from edgemass.redact import redact_address

if TYPE_CHECKING:
    from edgemass.sources.coded import Tap

SOURCES = {  # URI scheme -> the module that opens it, imported when first asked for
    "v4l2": "edgemass.sources.v4l2",
    "rtsp": "edgemass.sources.rtsp",
    "rtsps": "edgemass.sources.rtsp",
    "http": "edgemass.sources.mjpeg",
    "https": "edgemass.sources.mjpeg",
    "gst": "edgemass.sources.gstreamer",
    "csi": "edgemass.sources.csi",
    "file": "edgemass.sources.video_file",
    "images": "edgemass.sources.images",
    "synthetic": "edgemass.sources.synthetic",
    "demo": "edgemass.sources.demo",
    "text": "edgemass.sources.text",
}
GIVE_TEXTS = frozenset({"text"})
"""Rows whose frames are texts (see edgemass.texts): for models that read them, and for no others."""


class CaptureOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a source; None leaves it to the device.

    realtime: a file is played at its own speed, as a camera would, with drops; else every frame is given.
    state: folder where a source keeps what it found out, over restarts; None = nowhere.
    """

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None
    realtime: bool = False
    state: Path | None = None


class Source(Protocol):
    """One opened address.

    live: True for what goes on by itself (a camera): it is retried for ever, and only its newest frame counts.
    realtime: frames come at their own speed and one that is not taken in time is dropped: every live source, and a file
        played with `CaptureOptions.realtime`.
    name: what to call it in logs, without passwords.
    read_timeout_s: no frame for so long means that it is broken.
    """

    live: bool
    realtime: bool
    name: str
    read_timeout_s: float

    def frames(self) -> Iterator[Frame]:
        """Open and yield frames until the end of a file; never a stale, repeated or made-up one.

        Closing the iterator, or dropping it, frees the device. May be called again while an earlier iterator is
        stuck in a read that does not come back.

        Raises:
            SourceNotFoundError: opening again will not help.
            SourceError: it broke; opening again may help.
        """

    def close(self) -> None:
        """End every `frames()` before its next frame, and at once where it only waits for time to pass; for any thread.

        `frames()` of a closed source yields nothing.
        """


@runtime_checkable
class Recordable(Protocol):
    """A source that can hand out its video as it was sent, beside the frames."""

    def tap(self, taker: Tap | None) -> None:
        """Hand every packet to `taker` from the next call of `frames()` on; None = to nobody."""


@runtime_checkable
class Countable(Protocol):
    """A source that knows about how much is in it."""

    def count(self) -> tuple[int, float]:
        """About how many frames, and how many a second; (0, 0.0) where nobody knows."""


class SourceModule(Protocol):
    """What a module of SOURCES offers."""

    def open(self, uri: str, options: CaptureOptions, clock: Clock) -> Source: ...


_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})


def scheme(address: str) -> str:
    """Tell the row of SOURCES of an address; `0`, `/dev/video0`, `clip.mp4`, `folder/` and `*.jpg` name no scheme.

    Raises:
        UsageError: an unknown scheme.
    """
    if address.isdigit() or address.startswith("/dev/"):
        return "v4l2"
    match = _SCHEME.match(address)
    if match and not os.path.exists(address):  # noqa: PTH110 (Path.exists raises where a folder may not be searched)
        if match[1].lower() in SOURCES:
            return match[1].lower()
        known = ", ".join(f"{row}:" for row in SOURCES)
        raise UsageError(
            f"unknown camera scheme {match[1]!r} in {redact_address(address)!r}; known are {known}, files and folders"
        )
    is_folder = os.path.isdir(address)  # noqa: PTH112 (as above)
    if is_folder or any(mark in address for mark in "*?[") or Path(address).suffix.lower() in IMAGE_SUFFIXES:
        return "images"
    return "file"


def open(address: str, options: CaptureOptions, clock: Clock) -> Source:  # noqa: A001 (the plug-ins' own word)
    """Open an address as the user typed it.

    Raises:
        UsageError: an unknown scheme, or an address that its scheme cannot read.
        SourceNotFoundError: a file or folder that is not there.
    """
    if not address:
        raise UsageError("a camera without an address; wanted 0, rtsp://..., clip.mp4, a folder of pictures or demo:")
    module = cast("SourceModule", importlib.import_module(SOURCES[scheme(address)]))
    return module.open(address, options, clock)
