"""What the sources that decode with PyAV share: choosing the stream, decoding, conversion, and words for its errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edgemass.errors import SourceError
from edgemass.frame import Image, Luma
from edgemass.imaging.orient import Orientation

_TEXT_ART = frozenset({"tty", "bin", "xbin", "adf", "idf"})  # FFmpeg's demuxers that draw any text as a picture


_LUMA_FIRST = frozenset(
    {"gray", "nv12", "nv21", "nv16", "nv24", "nv42"}
    | {f"yuv{full}{layout}p" for full in ("", "j") for layout in ("410", "411", "420", "422", "440", "444")}
    | {"yuva420p", "yuva422p", "yuva444p"}
)
"""FFmpeg's names of the pixel formats whose first plane is brightness, a byte a pixel."""

_LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Titles in another encoding must not keep a video from being played; since PyAV 19 they never do."""


def open_container(address: str, **options: Any) -> InputContainer:
    """Open for reading; see av.open for options and errors."""
    container: InputContainer = av.open(address, "r", **_LENIENT, **options)
    return container


def first_video(container: InputContainer) -> VideoStream | None:
    """The first stream of moving pictures; None where there is only sound, its cover, or text."""
    if container.format.name in _TEXT_ART:
        return None
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    return None


def reason(error: av.error.FFmpegError) -> str:
    """One line without the address, which may hold a password."""
    return (error.strerror or type(error).__name__).rstrip(".")


class Decoding:
    """Decodes packets, leaving out what is broken.

    broken: packets that could not be decoded and pictures that came out damaged; never handed on, since a guess of the
        decoder is not what the camera saw.
    """

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self.broken = 0

    def pictures(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        """The pictures that this packet completes, mostly one."""
        try:
            decoded = self._stream.decode(packet)
        except av.error.EOFError:  # the flush of a decoder that was flushed already
            return
        except av.error.FFmpegError:
            self.broken += 1
            return
        for picture in decoded:
            if picture.is_corrupt:
                self.broken += 1
            else:
                yield picture


def orientation(picture: VideoFrame) -> Orientation:
    """How to turn a picture upright: the display matrix of a phone's video, rounded to quarter turns.

    FFmpeg counts degrees counterclockwise (av_display_rotation_get).
    """
    return Orientation(rotate=round(-picture.rotation / 90) % 4 * 90)


def luma(picture: VideoFrame, upright: Orientation) -> Luma | None:
    """Brightness as it lies in the decoder's buffer, without the padding of its lines; None in other pixel formats."""
    if picture.format.name not in _LUMA_FIRST:
        return None
    plane = picture.planes[0]
    if plane.line_size < picture.width:  # negative: bottom-up
        return None
    shape = (picture.height, picture.width)
    return upright.view(np.ndarray(shape, np.uint8, memoryview(plane), strides=(plane.line_size, 1)))


def to_bgr(picture: VideoFrame, upright: Orientation) -> Image:
    """BGR pixels, contiguous.

    Raises:
        SourceError: a pixel format that cannot be converted.
    """
    try:
        image = np.asarray(picture.to_ndarray(format="bgr24"), np.uint8)
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"cannot convert a picture of pixel format {picture.format.name} to BGR: {error}") from error
    return upright.apply(image)
