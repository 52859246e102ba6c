"""How fast a number grows, whatever single outliers do."""

from __future__ import annotations

import statistics
from collections import deque

import numpy as np

KEPT_MINUTES = 60
LEAST_MINUTES = 15
"""Below it there is nothing to tell: a process that has just begun grows."""
_MINUTE_NS = 60_000_000_000


class Slope:
    """Over the last hour: the median of the slopes between all pairs of minutes (Theil and Sen), each minute being the
    median of what was added in it. Up to 29 % of the minutes may be anything.
    """

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, float]] = deque(maxlen=KEPT_MINUTES)
        self._minute = 0
        self._values: list[float] = []

    def add(self, mono_ns: int, value: float) -> None:
        minute = mono_ns // _MINUTE_NS
        if self._values and minute != self._minute:
            self._minutes.append((self._minute, statistics.median(self._values)))
            self._values.clear()
        self._minute = minute
        self._values.append(value)

    def per_hour(self) -> float | None:
        """None before there is enough to tell."""
        known = [pair for pair in self._minutes if pair[0] > self._minute - KEPT_MINUTES]
        if len(known) < 2 or known[-1][0] - known[0][0] < LEAST_MINUTES:
            return None
        minutes, values = np.array(known, np.float64).T
        first, second = np.triu_indices(len(known), 1)
        return round(float(np.median((values[second] - values[first]) / (minutes[second] - minutes[first]))) * 60, 1)
