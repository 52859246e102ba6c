"""Live pictures of cameras, made only while somebody looks, for a bounded number of viewers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from edgemass.clock import Clock
from edgemass.frame import Frame
from edgemass.messages import FrameMessage
from edgemass.pipeline.line import Watcher

logger = logging.getLogger(__name__)

_LOOK_S = 1.0  # how often a view without frames looks whether it is over


class Watched(Protocol):
    """A camera's line, as far as a view needs it."""

    camera: str

    def watch(self, watcher: Watcher) -> None: ...

    def unwatch(self, watcher: Watcher) -> None: ...


class Picture(NamedTuple):
    """number: from 1, of this view since somebody began to look."""

    number: int
    jpeg: bytes


Draw = Callable[[FrameMessage, Frame], bytes]
"""A frame and its document as a JPEG. Raises SourceError where the frame cannot be converted."""
Wake = Callable[[], None]


class View:
    """Of one camera. draw: called in a thread of the view's. fps: pictures a second at most."""

    def __init__(self, line: Watched, draw: Draw, *, fps: float, clock: Clock) -> None:
        self._line = line
        self._draw = draw
        self._period_s = 1 / fps
        self._clock = clock
        self._lock = threading.Lock()
        self._wakes: list[Wake] = []
        self._showing: _Showing | None = None

    @property
    def newest(self) -> Picture | None:
        showing = self._showing
        return showing.picture if showing is not None else None

    def join(self, wake: Wake) -> None:
        """Begin to look. wake: called, from any thread, whenever there is a newer picture."""
        with self._lock:
            self._wakes.append(wake)
            if self._showing is None:
                self._showing = _Showing(self._line, self._draw, self._wake, self._period_s, self._clock)

    def leave(self, wake: Wake) -> None:
        """Look no more; after the last one nothing is drawn, kept or even looked at."""
        with self._lock:
            self._wakes.remove(wake)
            if not self._wakes and self._showing is not None:
                self._showing.end()
                self._showing = None

    def _wake(self) -> None:
        with self._lock:
            wakes = tuple(self._wakes)
        for wake in wakes:
            wake()


class _Showing:
    """From the first viewer to the last: the newest frame in, the newest picture out."""

    def __init__(self, line: Watched, draw: Draw, wake: Wake, period_s: float, clock: Clock) -> None:
        self.picture: Picture | None = None
        self._line = line
        self._draw = draw
        self._wake = wake
        self._period_s = period_s
        self._clock = clock
        self._newest: tuple[FrameMessage, Frame] | None = None
        self._arrived = threading.Event()
        self._ended = threading.Event()
        self._failing = False
        threading.Thread(target=self._run, name=f"view-{line.camera}", daemon=True).start()
        line.watch(self._take)

    def end(self) -> None:
        self._line.unwatch(self._take)
        self._ended.set()
        self._arrived.set()

    def _take(self, message: FrameMessage, frame: Frame) -> None:
        """In the camera's detect loop: no more than a reference."""
        self._newest = (message, frame)
        self._arrived.set()

    def _run(self) -> None:
        number = 0
        while not self._ended.is_set():
            self._clock.wait(self._arrived, _LOOK_S)
            began_ns = self._clock.monotonic_ns()
            self._arrived.clear()
            newest, self._newest = self._newest, None
            if newest is None or (jpeg := self._drawn(*newest)) is None:
                continue
            number += 1
            self.picture = Picture(number, jpeg)
            self._wake()
            took_s = (self._clock.monotonic_ns() - began_ns) / 1e9
            if took_s < self._period_s:
                self._clock.wait(self._ended, self._period_s - took_s)

    def _drawn(self, message: FrameMessage, frame: Frame) -> bytes | None:
        try:
            jpeg = self._draw(message, frame)
        except Exception:  # one picture's trouble must not end the view
            if not self._failing:
                logger.exception("a live picture cannot be drawn", extra={"camera": self._line.camera})
            self._failing = True
            return None
        self._failing = False
        return jpeg


class Seat:
    """One viewer's place; to be left."""

    def __init__(self, view: View, wake: Wake, give_back: Callable[[Seat], None]) -> None:
        self.over = False
        self.wake = wake
        self._view = view
        self._give_back = give_back

    def after(self, number: int) -> Picture | None:
        """The newest picture, None where it is not newer than that one."""
        picture = self._view.newest
        return picture if picture is not None and picture.number > number else None

    def leave(self) -> None:
        self._view.leave(self.wake)
        self._give_back(self)


class Gallery:
    """The views of all cameras. For any thread.

    cameras: all that there are, in order. hidden: camera -> why there is no view of it.
    viewers: at most so many at a time.
    """

    def __init__(self, *, viewers: int) -> None:
        self.cameras: list[str] = []
        self.hidden: Mapping[str, str] = {}
        self._views: Mapping[str, View] = {}
        self._most = viewers
        self._seats: list[Seat] = []
        self._lock = threading.Lock()
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many look now."""
        return len(self._seats)

    def __contains__(self, camera: str) -> bool:
        return camera in self._views

    def show(self, cameras: list[str], views: Mapping[str, View], hidden: Mapping[str, str]) -> None:
        """These from now on; whoever looks is shown out, and may come again."""
        self.cameras, self.hidden, self._views = cameras, hidden, views
        self._end_all()

    def seat(self, camera: str, wake: Wake) -> Seat | None:
        """A place before a camera's view, None where all are taken.

        Raises:
            KeyError: there is no view of it.
        """
        view = self._views[camera]
        with self._lock:
            if self._closed or len(self._seats) >= self._most:
                return None
            seat = Seat(view, wake, self._free)
            self._seats.append(seat)
        view.join(wake)
        return seat

    def close(self) -> None:
        """Show everybody out, and nobody in."""
        self._closed = True
        self._end_all()

    def _free(self, seat: Seat) -> None:
        with self._lock:
            self._seats.remove(seat)

    def _end_all(self) -> None:
        with self._lock:
            seats = tuple(self._seats)
        for seat in seats:
            seat.over = True
            seat.wake()
