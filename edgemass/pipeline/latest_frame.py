"""The place between a camera and its detector: one frame, the newest."""

from __future__ import annotations

import threading

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.frame import Frame

_POLL_S = 3600.0  # a wait that has no end of its own; `close` ends it


class LatestFrame:
    """A slot of one. One thread puts, one thread looks and takes.

    A realtime frame that is not taken before the next one is dropped and counted as `frames_dropped`.
    """

    def __init__(self, clock: Clock, counters: Counters) -> None:
        self._clock = clock
        self._counters = counters
        self._lock = threading.Lock()
        self._frame: Frame | None = None
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
            self._fill(frame)

    def put_wait(self, frame: Frame, timeout_s: float = _POLL_S) -> bool:
        """Put a frame when the one before was taken; False when that took longer than `timeout_s`, or it is closed."""
        self._clock.wait(self._emptied, timeout_s)
        with self._lock:
            if self._closed or self._frame is not None:
                return False
            self._fill(frame)
            return True

    def look(self, timeout_s: float) -> Frame | None:
        """The frame, which stays and may be replaced by a newer one; None when none came in time, or it is closed."""
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        while True:
            left_s = (deadline_ns - self._clock.monotonic_ns()) / 1e9
            self._clock.wait(self._filled, max(left_s, 0.0))
            with self._lock:
                if self._frame is not None or self._closed or left_s <= 0:
                    return self._frame

    def take(self) -> Frame | None:
        """Take the frame that is there now, the newest; None where there is none."""
        with self._lock:
            return self._take()

    def discard(self, frame: Frame) -> bool:
        """Take this very frame out, unless a newer one has replaced it; whether it was still there."""
        with self._lock:
            if self._frame is not frame:
                return False
            self._take()
            return True

    def get(self, timeout_s: float) -> Frame | None:
        """Take the frame, waiting for one; None when none came in time, or it is closed and empty."""
        return self.take() if self.look(timeout_s) is not None else None

    def close(self) -> None:
        """Let nothing more in and wake whoever waits; a frame that is there can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.set()
            self._emptied.set()

    def _fill(self, frame: Frame) -> None:
        self._frame = frame
        self._emptied.clear()
        self._filled.set()

    def _take(self) -> Frame | None:
        frame, self._frame = self._frame, None
        self._emptied.set()
        if not self._closed:
            self._filled.clear()
        return frame
