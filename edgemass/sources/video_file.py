"""Video files, with PyAV: whatever FFmpeg can open. Addresses: `clip.mp4`, `file:clip.mp4`, `file:///videos/clip.mp4`."""

from __future__ import annotations

import logging
import stat
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edgemass.clock import Clock
from edgemass.errors import SourceNotFoundError
from edgemass.frame import Frame
from edgemass.sources import CaptureOptions, _av
from edgemass.sources._timeline import NS, Timeline
from edgemass.sources.coded import Tap, Tapping

logger = logging.getLogger(__name__)

READ_TIMEOUT_S = 60.0  # a file on a sleeping disk or a slow network share; not a rate that a file must keep
WHOLE = 0.9  # of the pictures that the header counts; edit lists and careless writers account for a few
UNKNOWN_FPS = 25  # of raw streams that tell no rate: FFmpeg's own default for them


def open(uri: str, options: CaptureOptions, clock: Clock) -> VideoFile:  # noqa: A001 (the plug-ins' own word)
    """A file that is there and can be read; whether it is a video is seen when it is played.

    Raises:
        SourceNotFoundError: it is not there, cannot be read, is a folder, or is empty.
    """
    return VideoFile(_path(uri), clock, realtime=options.realtime)


def _path(uri: str) -> Path:
    if uri.lower().startswith("file://"):
        return Path(unquote(uri[len("file://") :]))
    if uri.lower().startswith("file:") and not Path(uri).exists():
        return Path(uri[len("file:") :])
    return Path(uri)


class VideoFile:
    """One video; frames carry start of the run + presentation time. width, height, fps and fourcc are the file's own.

    realtime: played at its own speed.
    """

    live = False

    def __init__(self, path: Path, clock: Clock, *, realtime: bool) -> None:
        _check_readable(path)
        self.name = str(path)
        self.realtime = realtime
        self.read_timeout_s = (
            float("inf") if realtime else READ_TIMEOUT_S
        )  # a played file may pause as long as it likes
        self._path = path
        self._clock = clock
        self._closed = threading.Event()
        self._tap: Tap | None = None

    def tap(self, taker: Tap | None) -> None:
        self._tap = taker

    def close(self) -> None:
        self._closed.set()

    def count(self) -> tuple[int, float]:
        """As its header says; see sources.Countable."""
        try:
            with _av.open_container(f"file:{self._path}") as container:
                stream = _av.first_video(container)
                if stream is None:
                    return 0, 0.0
                fps = float(stream.average_rate or stream.guessed_rate or 0)
                seconds = (container.duration or 0) / av.time_base
                return stream.frames or round(seconds * fps), fps
        except (av.error.FFmpegError, OSError):
            return 0, 0.0

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        try:
            # the prefix keeps FFmpeg from taking a colon in the name for a protocol
            container = _av.open_container(f"file:{self._path}")
        except (av.error.FFmpegError, OSError) as error:
            raise self._not_a_video(error) from error
        try:
            yield from self._play(container)
        finally:
            container.close()

    def _play(self, container: InputContainer) -> Iterator[Frame]:
        stream = _av.first_video(container)
        if stream is None:
            raise SourceNotFoundError(f"{self.name} holds no video ({container.format.name}); give a video file")
        stream.thread_type = "AUTO"  # frames of several threads come later, which is no loss in a file
        timeline = Timeline(self._clock, self._closed, step_ns=_step_ns(stream), realtime=self.realtime)
        decoding = _av.Decoding(stream)
        shown = 0
        tapping = None if self._tap is None else Tapping(self._tap, stream, partial(_shown_ns, timeline))
        for picture in self._pictures(container, stream, decoding, tapping):
            upright = _av.orientation(picture)
            width, height = upright.size(picture.width, picture.height)
            frame = timeline.frame(
                partial(_av.to_bgr, picture, upright),
                width=width,
                height=height,
                presentation_ns=_presentation_ns(picture),
                look=partial(_av.luma, picture, upright),
            )
            if frame is None:
                return
            shown += 1
            yield frame
        if not self._closed.is_set():
            self._judge(stream, shown, decoding.broken)

    def _judge(self, stream: VideoStream, shown: int, broken: int) -> None:
        """Say at the end what was missing.

        Raises:
            SourceNotFoundError: everything.
        """
        if shown == 0:
            raise SourceNotFoundError(
                f"{self.name}: none of its {stream.codec_context.name} pictures could be decoded; the file is damaged"
            )
        if broken or shown < WHOLE * stream.frames:
            logger.warning(
                "%s is damaged: what could not be decoded was left out",
                self.name,
                extra={"frames": shown, "broken": broken, "frames_by_header": stream.frames},
            )

    def _pictures(
        self, container: InputContainer, stream: VideoStream, decoding: _av.Decoding, tapping: Tapping | None
    ) -> Iterator[VideoFrame]:
        """What can be decoded; a file that cannot be read on ends there."""
        try:
            for packet in self._packets(container, stream, decoding):
                pictures = list(decoding.pictures(packet))
                if tapping is not None:
                    tapping.take(packet)
                yield from pictures
        finally:
            if tapping is not None:
                tapping.end()

    def _packets(
        self, container: InputContainer, stream: VideoStream, decoding: _av.Decoding
    ) -> Iterator[Packet[VideoStream]]:
        packets = container.demux(stream)
        while not self._closed.is_set():
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                logger.debug("%s cannot be read on: %s", self.name, error)
                decoding.broken += 1
                packet = None
            if packet is None:
                return
            yield packet

    def _not_a_video(self, error: Exception) -> SourceNotFoundError:
        why = _av.reason(error) if isinstance(error, av.error.FFmpegError) else str(error)
        return SourceNotFoundError(f"{self.name} cannot be opened as a video: {why}; give a file that FFmpeg can play")


def _check_readable(path: Path) -> None:
    """Raise SourceNotFoundError for what is seen without decoding anything."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SourceNotFoundError(f"cannot read {path}: {why}; wanted a video file") from error
    if stat.S_ISDIR(status.st_mode):
        raise SourceNotFoundError(
            f"{path} is a folder; wanted a video file (a folder of pictures goes without `file:`)"
        )
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceNotFoundError(f"{path} is empty; wanted a video file")


def _step_ns(stream: VideoStream) -> int:
    rate = stream.average_rate or stream.guessed_rate or UNKNOWN_FPS
    return round(NS / rate)


def _presentation_ns(picture: VideoFrame) -> int | None:
    if picture.pts is None or not picture.time_base:
        return None
    return int(picture.pts * picture.time_base * NS)


def _shown_ns(timeline: Timeline, packet: Packet[VideoStream]) -> int | None:
    """When the picture of a packet is shown, on the monotonic clock; of AVI files it is when it is decoded."""
    stamp = packet.dts if packet.pts is None else packet.pts
    return timeline.at(0 if stamp is None or not packet.time_base else int(stamp * packet.time_base * NS))
