"""The times of frames that are not taken by a camera now: files, pictures, drawn ones."""

from __future__ import annotations

import threading
from collections.abc import Callable

from edgemass.clock import Clock
from edgemass.frame import Frame, Image, Luma

NS = 1_000_000_000


def ready(image: Image) -> Callable[[], Image]:
    """What a Frame loads where the pixels are there already."""
    return lambda: image


class Timeline:
    """Puts presentation times on the run's clocks: the first frame is now, the others follow at their own distance.

    Times strictly increase; where a file's own do not (cut together, broken), a frame comes `step_ns` after the one
    before.

    realtime: a frame is handed out when its time has come, not before.
    closed: ends the waiting.
    """

    def __init__(self, clock: Clock, closed: threading.Event, *, step_ns: int, realtime: bool) -> None:
        self._clock = clock
        self._closed = closed
        self._step_ns = max(step_ns, 1)
        self._realtime = realtime
        self._start_ns: int | None = None
        self._start_time_ns = 0
        self._first_ns = 0
        self._last_ns = 0

    def frame(
        self,
        load: Callable[[], Image],
        *,
        width: int,
        height: int,
        presentation_ns: int | None = None,
        look: Callable[[], Luma | None] | None = None,
    ) -> Frame | None:
        """The frame with its times, when it is due; None once the source is closed.

        presentation_ns: on the file's own clock, which may begin anywhere; None = one step after the frame before.
        look: see Frame.
        """
        since_start_ns = self._since_start_ns(presentation_ns)
        if self._start_ns is None:
            self._start_ns, self._start_time_ns = self._clock.monotonic_ns(), self._clock.time_ns()
        mono_ns = self._start_ns + since_start_ns
        if self._realtime:
            self._clock.wait(self._closed, max(0, mono_ns - self._clock.monotonic_ns()) / NS)
        if self._closed.is_set():
            return None
        return Frame(
            load,
            width=width,
            height=height,
            mono_ns=mono_ns,
            time_ns=self._start_time_ns + since_start_ns,
            arrived_ns=self._clock.monotonic_ns(),
            look=look,
        )

    def at(self, presentation_ns: int) -> int | None:
        """A time of the file's own clock on the monotonic one; None before the first frame."""
        return None if self._start_ns is None else self._start_ns + presentation_ns - self._first_ns

    def _since_start_ns(self, presentation_ns: int | None) -> int:
        if self._start_ns is None:
            self._first_ns = presentation_ns or 0
            return 0
        since_start_ns = self._last_ns + self._step_ns
        if presentation_ns is not None and presentation_ns - self._first_ns > self._last_ns:
            since_start_ns = presentation_ns - self._first_ns
        self._last_ns = since_start_ns
        return since_start_ns
