"""A few frames of the running cameras to measure on, and how busy the machine was meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from edgemass.clock import Clock
from edgemass.frame import Frame, Image
from edgemass.messages import DetectionMessage, FrameMessage

MOST, LEAST = 8, 2
MOST_BYTES = 64_000_000  # of all pictures together: ten of 1080p, two of 4K


class TuningFrames:
    """Keeps the frame with the most detections of each eighth of `after_s`, over all cameras: in an empty picture all
    variants agree. Of large pictures there are fewer.
    """

    def __init__(self, clock: Clock, after_s: float, idle_seconds: Callable[[], float] | None = None) -> None:
        self._clock = clock
        self._after_s = after_s
        self._idle_seconds = idle_seconds or _idle_seconds
        self._lock = threading.Lock()
        self._kept: list[tuple[int, Frame]] = []
        self._wanted = MOST
        self._first_ns = self._slot_ns = 0
        self._idle_s = 0.0

    def see(self, message: FrameMessage, frame: Frame) -> None:
        """Look at one frame that was detected in."""
        found = len(message.detections) if isinstance(message, DetectionMessage) else 1
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            if not self._kept:
                self._first_ns, self._idle_s = now_ns, self._idle_seconds()
                self._wanted = min(MOST, max(LEAST, MOST_BYTES // (frame.width * frame.height * 3)))
            if not self._kept or now_ns - self._slot_ns >= self._after_s * 1e9 / self._wanted:
                if len(self._kept) < self._wanted:
                    self._kept.append((found, frame))
                    self._slot_ns = now_ns
            elif found > self._kept[-1][0]:
                self._kept[-1] = (found, frame)

    @property
    def enough(self) -> bool:
        """Whether the cameras have run for so long, and have given as many frames as are wanted."""
        with self._lock:
            passed_ns = self._clock.monotonic_ns() - self._first_ns
            return len(self._kept) == self._wanted and passed_ns >= self._after_s * 1e9

    def idle_cores(self) -> float:
        """How many cores had nothing to do on average since the first frame."""
        passed_s = (self._clock.monotonic_ns() - self._first_ns) / 1e9
        return (self._idle_seconds() - self._idle_s) / passed_s if passed_s > 0 else 0.0

    def take(self) -> list[Image]:
        """The pictures; nothing is kept afterwards."""
        with self._lock:
            kept, self._kept = self._kept, []
        return [frame.image for _, frame in kept]

    def forget(self) -> None:
        """Keep nothing: the pictures are large."""
        with self._lock:
            self._kept = []


def _idle_seconds() -> float:
    """Seconds that all cores together have been idle since the machine started, see proc_stat(5); 0 where that is not
    told.
    """
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        return sum(map(int, fields[4:6])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return 0.0
