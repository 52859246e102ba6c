"""One clip: coded packets put into a file as they are, with times that begin at 0."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import av
import av.error
from av.container import OutputContainer

from edgemass.sources.coded import FORMATS, CodedPacket, CodedStream

MODE = 0o640
_LEAP_S = 10.0  # between the times of two packets: a camera that set its clock, and no pause


class ClipFile:
    """A file that is being written. Used by one thread.

    size_bytes: of the packets so far.
    """

    def __init__(self, path: Path, stream: CodedStream) -> None:
        """Begin a file.

        Raises:
            OSError: it cannot be written.
        """
        self.size_bytes = 0
        self._stream = stream
        self._retiming = Retiming(round(_LEAP_S / stream.time_base))
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, MODE))  # FFmpeg would let everybody read it
        try:
            self._container: OutputContainer = av.open(f"file:{path}", "w", format=FORMATS[stream.suffix])
            self._out = self._container.add_stream_from_template(stream.template, opaque=True)
            if stream.parameters:
                self._out.codec_context.extradata = stream.parameters
            self._out.codec_context.width, self._out.codec_context.height = stream.width, stream.height
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error

    def write(self, coded: CodedPacket) -> None:
        """Add the next packet; the first must be a key frame. What refers to pictures before that is left out.

        Raises:
            OSError: it cannot be written.
        """
        times = self._retiming.of(coded.pts, coded.dts, coded.duration)
        if times is None:
            return
        packet = av.Packet(coded.data)
        packet.pts, packet.dts = times
        packet.duration = coded.duration
        packet.time_base = self._stream.time_base
        packet.is_keyframe = coded.key
        packet.stream = self._out
        self.size_bytes += len(coded.data)
        try:
            self._container.mux_one(packet)
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error

    def close(self) -> None:
        """Make it a file that can be played.

        Raises:
            OSError: its end cannot be written.
        """
        try:
            self._container.close()
        except (av.error.FFmpegError, ValueError) as error:
            raise _failure(error) from error

    def discard(self) -> None:
        """Let go of a file that nobody wants any more."""
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            self._container.close()


class Retiming:
    """Times of one clip's packets: shown from 0 on, and never back, in units of the stream's time base.

    leap: a step further than this, or backwards, is the camera's clock being set: it goes on one duration later.
    """

    def __init__(self, leap: int) -> None:
        self._leap = leap
        self._shift: int | None = None
        self._first_pts: int | None = None
        self._last_dts = -1
        self._step = 1

    def of(self, pts: int | None, dts: int | None, duration: int) -> tuple[int, int] | None:
        """(pts, dts) in the file; None for a picture that refers to what lies before the clip."""
        if self._shift is None:
            start = pts if pts is not None else dts
            self._shift, self._first_pts = -(start or 0), pts
            self._last_dts = (dts or 0) + self._shift - 1 if pts is not None and dts is not None else -1
        elif self._first_pts is not None and pts is not None:
            if self._first_pts - self._leap < pts < self._first_pts:
                return None
            self._first_pts = None  # they come right behind the key frame, or not at all
        known = dts if dts is not None else pts
        coming = self._last_dts + self._step if known is None else known + self._shift
        if not self._last_dts < coming <= self._last_dts + self._leap:
            again = self._last_dts + max(duration, self._step, 1)
            self._shift += again - coming
            coming = again
        self._step = coming - self._last_dts
        self._last_dts = coming
        shown = coming if pts is None else max(coming, pts + self._shift)
        return shown, coming


def _failure(error: Exception) -> OSError:
    """FFmpeg's errors as what they are to a writer of files."""
    number = error.errno if isinstance(error, OSError) else None
    text = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
    return OSError(number, text) if number is not None and number > 0 else OSError(5, text)
