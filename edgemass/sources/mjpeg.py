"""Network cameras that send JPEG after JPEG over HTTP: `http://user:password@host/mjpeg`, `https://`.

The body is multipart/x-mixed-replace, as IP cameras, ESP32-CAM, mjpg-streamer, Motion and OctoPrint send it. The
certificate of https must be trusted; cameras mostly sign their own, and `#verify=no` behind the address takes any.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from edgemass.clock import Clock
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image
from edgemass.redact import redact_address
from edgemass.sources import CaptureOptions, _http_stream
from edgemass.sources._http_stream import Address, Answer
from edgemass.sources._multipart import MalformedError, Parts
from edgemass.sources._picture_size import picture_size
from edgemass.sources.images import MAX_PIXELS

logger = logging.getLogger(__name__)

NO_PICTURE_S = 15.0  # data without a whole picture; as long as an RTSP camera is given for a key frame
READ_TIMEOUT_S = 20.0  # past every deadline of the connection: only a call that hangs (a name server) gets so far


def open(uri: str, options: CaptureOptions, clock: Clock) -> MjpegCamera:  # noqa: A001 (the plug-ins' own word)
    """A camera by its address; nothing is sent yet. Size and rate are set in the camera, or in its address.

    Raises:
        UsageError: no host, a port that is none, or an unknown option behind `#`.
    """
    del options
    return MjpegCamera(redact_address(uri.partition("#")[0]), _http_stream.parse(uri), clock)


class MjpegCamera:
    """One stream of one camera. Frames are stamped when they arrive whole.

    broken: pictures so far that were left out because they were cut short, too large, or no JPEG at all.
    """

    live = True
    realtime = True
    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, name: str, address: Address, clock: Clock) -> None:
        self.name = name
        self.broken = 0
        self._address = address
        self._clock = clock
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        try:
            with _http_stream.get(self._address, self.name, self._clock, self._closed) as answer:
                self._check(answer)
                yield from self._watch(answer)
        except TimeoutError as error:
            raise _http_stream.silent(self.name) from error
        except (OSError, http.client.HTTPException) as error:
            if not self._closed.is_set():
                raise SourceError(f"{self.name} failed: {_http_stream.reason(error)}") from error

    def _check(self, answer: Answer) -> None:
        if not answer.content_type.startswith("multipart/"):
            raise SourceError(
                f"{self.name} is no MJPEG stream: found {answer.content_type or 'no content type'}, wanted "
                "multipart/x-mixed-replace; give the address of the camera's stream, not of its page or of one picture"
            )

    def _watch(self, answer: Answer) -> Iterator[Frame]:
        """Frames until the source is closed.

        Raises:
            SourceError: the camera is silent, ended the stream, or sends something else.
        """
        parts = Parts()
        told = False
        self._expect_picture(answer)
        while not self._closed.is_set():
            data = b"" if parts.ended else answer.read()
            if not data:
                if self._closed.is_set():
                    return
                raise SourceError(f"{self.name} ended the stream")
            broken = parts.broken
            try:
                pictures = parts.feed(data)
            except MalformedError as error:
                raise SourceError(f"{self.name} is no MJPEG stream: {error}") from error
            frames = [frame for picture in pictures if (frame := self._frame(picture)) is not None]
            broken = parts.broken - broken + len(pictures) - len(frames)
            self.broken += broken
            told = self._tell(told=told, broken=broken, whole=len(frames))
            for frame in frames:
                yield frame
                self._expect_picture(answer)

    def _expect_picture(self, answer: Answer) -> None:
        answer.wire.give_until(NO_PICTURE_S, f"sends data, but no whole picture for {NO_PICTURE_S:.0f} s")

    def _frame(self, jpeg: bytes) -> Frame | None:
        """None for what is no picture that can be looked at."""
        size = picture_size(jpeg)
        if size is None or not 0 < size[0] * size[1] <= MAX_PIXELS:
            return None
        now_ns = self._clock.monotonic_ns()
        return Frame(
            partial(to_bgr, jpeg, size, self.name),
            width=size[0],
            height=size[1],
            mono_ns=now_ns,
            time_ns=self._clock.time_ns(),
            arrived_ns=now_ns,
        )

    def _tell(self, *, told: bool, broken: int, whole: int) -> bool:
        """Log broken pictures when they begin and when they end; whether their beginning was told last."""
        if broken and not told:
            logger.warning("%s sends broken pictures; they are left out", self.name, extra={"broken": self.broken})
            return True
        if told and whole and not broken:
            logger.info("%s sends whole pictures again", self.name, extra={"broken": self.broken})
            return False
        return told


def to_bgr(jpeg: bytes, size: tuple[int, int], name: str) -> Image:
    """BGR pixels as stored: an orientation in the EXIF data of a stream is not applied.

    size: (width, height) by the JPEG's header.

    Raises:
        SourceError: it cannot be decoded, or has another size than its header says.
    """
    try:
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise SourceError(f"{name} sent a JPEG that cannot be decoded: {' '.join(str(error).split())}") from error
    if image is None or image.shape != (size[1], size[0], 3):
        raise SourceError(f"{name} sent a JPEG that cannot be decoded; it is damaged")
    return np.asarray(image, np.uint8)
