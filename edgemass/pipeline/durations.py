"""How long runs take: the last ones each, all of them counted by length."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

# From an accelerator of a millisecond to a large model on a small board.
BOUNDS_MS = (1.0, 2.5, 5.0, 7.5, 10.0, 15.0, 25.0, 40.0, 60.0, 100.0, 160.0, 250.0, 400.0, 600.0, 1000.0, 2500.0)


class Durations:
    """One thread adds, others read.

    last: the newest `kept`. counts: by BOUNDS_MS, each including its bound; what is longer than all stands last.
    """

    def __init__(self, kept: int) -> None:
        self.last: deque[float] = deque(maxlen=kept)
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def add(self, milliseconds: float) -> None:
        self.last.append(milliseconds)
        self.counts[bisect_left(BOUNDS_MS, milliseconds)] += 1
        self.sum_ms += milliseconds
