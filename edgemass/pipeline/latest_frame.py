"""The place between a camera and its detector: one frame, the newest."""

from __future__ import annotations

import threading

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.frame import Frame

MAX_AGE_S = 5.0
_POLL_S = 3600.0  # a wait that has no end of its own; `close` ends it


class LatestFrame:
    """A slot of one. One thread puts, one thread gets.

    A realtime frame that is not taken before the next one, or that has lain for MAX_AGE_S (the taker was busy and the
    camera has gone since), is dropped and counted as `frames_dropped`.
    """

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._perishable = False
        self._closed = False
        self._filled = threading.Event()
        self._emptied = threading.Event()
        self._emptied.set()

    @property
    def closed(self) -> bool:
        """Whether nothing will come any more and nothing is left to get."""
        with self._lock:
            return self._closed and self._frame is None

    def put(self, frame: Frame) -> None:
        """Put the newest frame; the one that is still there is dropped. Nothing happens once it is closed."""
        with self._lock:
            if self._closed:
                return
            if self._frame is not None:
                self._counters.add("frames_dropped")
            self._fill(frame, perishable=True)

    def put_wait(self, frame: Frame, timeout_s: float = _POLL_S) -> bool:
        """Put a frame when the one before was taken; False when that took longer than `timeout_s`, or it is closed."""
        self._clock.wait(self._emptied, timeout_s)
        with self._lock:
            if self._closed or self._frame is not None:
                return False
            self._fill(frame, perishable=False)
            return True

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame, waiting for one; None when none came in time, or it is closed and empty."""
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            left_s = (deadline_ns - self._clock.monotonic_ns()) / 1e9
            self._clock.wait(self._filled, max(left_s, 0.0))
            with self._lock:
                frame = self._take()
                if frame is not None or self._closed or left_s <= 0:
                    return frame

    def close(self) -> None:
        """Let nothing more in and wake whoever waits; a frame that is there can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.set()
            self._emptied.set()

    def _fill(self, frame: Frame, *, perishable: bool) -> None:
        self._frame = frame
        self._perishable = perishable
        self._emptied.clear()
        self._filled.set()

    def _take(self) -> Frame | None:
        frame, self._frame = self._frame, None
        self._emptied.set()
        if not self._closed:
            self._filled.clear()
        if frame is not None and self._perishable:
            age_s = (self._clock.monotonic_ns() - frame.arrived_ns) / 1e9
            if age_s > MAX_AGE_S:
                self._counters.add("frames_dropped")
                return None
        return frame
