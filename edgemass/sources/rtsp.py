"""Network cameras, with PyAV: `rtsp://user:password@host/path`, `rtsps://`.

Media goes over TCP, in the one connection that firewalls let through and that loses nothing; `#transport=udp` at the
end of the address asks for UDP. The fragment is ours and is not sent to the camera.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from urllib.parse import urldefrag, urlsplit

import av
import av.error
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from edgemass.clock import Clock
from edgemass.errors import SourceError, UsageError
from edgemass.frame import Frame
from edgemass.redact import redact_address
from edgemass.sources import CaptureOptions, _av
from edgemass.sources.coded import Tap, Tapping

TRANSPORTS = ("tcp", "udp")
SILENCE_S = 4.0  # for each step of opening and for each packet; the promise is to notice a silent camera within 5 s
NO_PICTURE_S = (
    15.0  # packets without a picture: longer than the gap between two key frames of common cameras (1 to 10 s)
)
READ_TIMEOUT_S = 20.0  # past all of the above: only a call that hangs (a name server, a driver) gets so far

# Measured against GstRtspServer, 15 frames a second, PyAV 18: with `nobuffer` the lag is 70 ms from the first frame on,
# without it 1.2 s at first; the small probe opens in 0.7 s instead of 1.9 s. `low_delay` changed nothing.
_LOW_LAG = {
    "fflags": "nobuffer",
    "probesize": "32768",  # bytes
    "analyzeduration": "500000",  # microseconds
    "allowed_media_types": "video",
}
_ADVICE = {
    av.error.ConnectionRefusedError: "is the camera on, and is the port right?",
    av.error.HTTPUnauthorizedError: "check user and password in the address",
    av.error.HTTPForbiddenError: "this user may not see the stream",
    av.error.HTTPNotFoundError: "the camera has no stream of this path",
    av.error.OSError: "is the host name right, and the network up?",  # FFmpeg's word for a name that is not found
}


def open(uri: str, options: CaptureOptions, clock: Clock) -> RtspCamera:  # noqa: A001 (the plug-ins' own word)
    """A camera by its address; nothing is sent yet. Width, height and rate are set in the camera, not asked for here.

    Raises:
        UsageError: no host, a port that is none, or an unknown option behind `#`.
    """
    del options
    address = fragment = ""
    try:
        address, fragment = urldefrag(uri)
        parts = urlsplit(address)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"cannot read {redact_address(uri)!r}; wanted rtsp://[user@]host[:port]/path, a port from 1 to 65535; "
            "a password stands behind the user and a colon"
        )
    transport = fragment.removeprefix("transport=") if fragment else TRANSPORTS[0]
    if transport not in TRANSPORTS:
        raise UsageError(
            f"cannot read the option at the end of {redact_address(uri)!r}; known are #transport=tcp and "
            "#transport=udp, and a # of a password is written %23"
        )
    return RtspCamera(address, transport, clock)


class RtspCamera:
    """One stream of one camera. Frames are stamped when they arrive."""

    live = True
    realtime = True
    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, address: str, transport: str, clock: Clock) -> None:
        self.name = redact_address(address)
        self._address = address
        self._transport = transport
        self._clock = clock
        self._closed = threading.Event()
        self._tap: Tap | None = None

    def tap(self, taker: Tap | None) -> None:
        self._tap = taker

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        started_ns = self._clock.monotonic_ns()
        try:
            container = _av.open_container(
                self._address,
                options={"rtsp_transport": self._transport, **_LOW_LAG},
                timeout=(SILENCE_S, SILENCE_S),
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failed("cannot be opened", error, started_ns) from error
        try:
            yield from self._watch(container)
        finally:
            container.close()

    def _watch(self, container: InputContainer) -> Iterator[Frame]:
        stream = _av.first_video(container)
        if stream is None:
            raise SourceError(f"{self.name} sends no video that can be decoded; choose another stream of the camera")
        stream.thread_type = "SLICE"  # threads by frame cost one frame of lag each: 203 instead of 69 ms with three
        tap = self._tap
        if tap is None:
            yield from self._pictures(container, stream, None)
            return
        tapping = Tapping(tap, stream, lambda _: self._clock.monotonic_ns())
        try:
            yield from self._pictures(container, stream, tapping)
        finally:
            tapping.end()

    def _pictures(self, container: InputContainer, stream: VideoStream, tapping: Tapping | None) -> Iterator[Frame]:
        decoding = _av.Decoding(stream)
        picture_ns = self._clock.monotonic_ns()
        for packet in self._packets(container, stream):
            pictures = list(decoding.pictures(packet))
            if tapping is not None:
                tapping.take(packet)
            for picture in pictures:
                upright = _av.orientation(picture)
                width, height = upright.size(picture.width, picture.height)
                picture_ns = self._clock.monotonic_ns()
                yield Frame(
                    partial(_av.to_bgr, picture, upright),
                    width=width,
                    height=height,
                    mono_ns=picture_ns,
                    time_ns=self._clock.time_ns(),
                    arrived_ns=picture_ns,
                    look=partial(_av.luma, picture, upright),
                )
                picture_ns = self._clock.monotonic_ns()  # the time that the taker took is not the camera's
            if self._since_s(picture_ns) > NO_PICTURE_S:
                raise SourceError(
                    f"{self.name} sends data, but no whole picture for {NO_PICTURE_S:.0f} s; "
                    "let the camera send key frames more often"
                )

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
        """Packets until the source is closed.

        Raises:
            SourceError: the camera is silent, ended the stream, or the connection broke.
        """
        packets = container.demux(stream)
        while not self._closed.is_set():
            asked_ns = self._clock.monotonic_ns()
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                raise self._failed("broke off", error, asked_ns) from error
            # At its deadline FFmpeg first gives what its parser still holds, and would then wait as long again.
            if self._since_s(asked_ns) >= SILENCE_S:
                raise self._silent()
            if packet is None or packet.size == 0:  # the empty packet that flushes a decoder
                raise SourceError(f"{self.name} ended the stream")
            yield packet

    def _failed(self, what: str, error: Exception, started_ns: int) -> SourceError:
        if self._since_s(started_ns) >= SILENCE_S:  # FFmpeg names an interrupted call in many ways
            return self._silent()
        why = _av.reason(error) if isinstance(error, av.error.FFmpegError) else type(error).__name__
        advice = next((text for kind, text in _ADVICE.items() if isinstance(error, kind)), "")
        return SourceError(f"{self.name} {what}: {why}" + (f"; {advice}" if advice else ""))

    def _silent(self) -> SourceError:
        return SourceError(f"{self.name} is silent: nothing came for {SILENCE_S:.0f} s")

    def _since_s(self, then_ns: int) -> float:
        return (self._clock.monotonic_ns() - then_ns) / 1e9
