"""A source's video as it was sent: coded packets that can be written into a file again without decoding them."""

from __future__ import annotations

import io
import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
from av.packet import Packet
from av.video.stream import VideoStream

logger = logging.getLogger(__name__)

MP4, MATROSKA = ".mp4", ".mkv"
FORMATS = {MP4: "mp4", MATROSKA: "matroska"}
"""Suffix -> FFmpeg's name, best first."""

_START_CODE = re.compile(rb"\x00\x00\x01")
_PARAMETER_SETS = {"h264": (0, 0x1F, (7, 8)), "hevc": (1, 0x3F, (32, 33, 34))}
"""Codec -> how its first byte tells what a NAL unit is (shift, mask), and which are parameter sets (H.264, table 7-1;
H.265, table 7-1).
"""
_HELD = 256  # packets whose time is not known yet; more than any decoder holds back


@dataclass(frozen=True, eq=False)
class CodedStream:
    """What a file must know of the packets in it. Another one is made when the stream is opened anew or changes.

    template: a stream of a container of its own that nothing is ever written to, so that it lives as long as this does.
    suffix: of a file that can hold it. parameters: H.264's and H.265's own description, where it came in a packet and
    not with the stream. width, height: of its pictures.
    """

    template: VideoStream
    suffix: str
    width: int
    height: int
    time_base: Fraction
    parameters: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class CodedPacket:
    """One picture as it was sent.

    pts, dts: when it is shown and decoded, None where that is not known; duration; in units of the stream's time_base.
    key: decoding can begin here. mono_ns: its frame's own time, as nearly as it is known.
    """

    stream: CodedStream
    data: bytes
    pts: int | None
    dts: int | None
    duration: int
    key: bool
    mono_ns: int


Tap = Callable[[CodedPacket | None], None]
"""Takes every packet in the order of decoding, and None when the stream ends; called by the capture's thread, and must
neither wait nor raise.
"""


class Tapping:
    """Hands the packets of one opened stream to a tap, from its first key frame on.

    when: a packet's time on the monotonic clock; None while it is not known yet: then it is held until it is.
    """

    def __init__(self, tap: Tap, stream: VideoStream, when: Callable[[Packet[VideoStream]], int | None]) -> None:
        self._tap = tap
        self._source = stream
        self._when = when
        self._template, self._suffix = _template(stream)
        self._coded: CodedStream | None = None
        self._held: deque[Packet[VideoStream]] = deque(maxlen=_HELD)
        self._last_ns = 0

    def take(self, packet: Packet[VideoStream]) -> None:
        """Hand one on, once it was decoded: what it changes of the stream is known then."""
        if self._template is None or packet.size == 0:
            return
        self._held.append(packet)
        while self._held:
            mono_ns = self._when(self._held[0])
            if mono_ns is None:
                return
            self._last_ns = max(self._last_ns, mono_ns)
            self._hand(self._held.popleft(), self._last_ns)

    def end(self) -> None:
        self._tap(None)

    def _hand(self, packet: Packet[VideoStream], mono_ns: int) -> None:
        data = bytes(packet)
        if packet.is_keyframe:
            self._coded = self._described(data)
        if self._coded is not None:
            times = packet.pts, packet.dts, packet.duration or 0
            self._tap(CodedPacket(self._coded, data, *times, bool(packet.is_keyframe), mono_ns))

    def _described(self, data: bytes) -> CodedStream:
        """The stream as this key frame describes it."""
        assert self._template is not None
        context, known = self._source.codec_context, self._coded
        found = parameter_sets(context.name, data)
        if known is not None:
            found = found or known.parameters
            if (found, context.width, context.height) == (known.parameters, known.width, known.height):
                return known
        time_base = self._source.time_base or Fraction(1, 90_000)
        return CodedStream(self._template, self._suffix, context.width, context.height, time_base, found)


def _template(stream: VideoStream) -> tuple[VideoStream | None, str]:
    """A copy of the stream's description that outlives it, and the suffix of a file that can hold it.

    None where no file of FORMATS can.
    """
    for suffix, name in FORMATS.items():
        container = av.open(io.BytesIO(), "w", format=name)
        try:
            return container.add_stream_from_template(stream, opaque=True), suffix
        except (ValueError, av.error.FFmpegError):
            continue
    logger.info("clips cannot be kept of %s", stream.codec_context.name)
    return None, ""


def parameter_sets(codec: str, data: bytes) -> bytes:
    """What describes an H.264 or H.265 stream in a packet with start codes, with its own; empty where nothing does."""
    if codec not in _PARAMETER_SETS or not data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return b""
    shift, mask, wanted = _PARAMETER_SETS[codec]
    starts = [match.end() for match in _START_CODE.finditer(data)]
    units = [data[start:end] for start, end in zip(starts, [*(start - 3 for start in starts[1:]), None], strict=True)]
    found = [unit.rstrip(b"\x00") for unit in units if unit and (unit[0] >> shift) & mask in wanted]
    once = dict.fromkeys(found)  # some senders repeat them before one key frame and not before the next
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in once)
