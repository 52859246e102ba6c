"""Counts that several threads add to and somebody reads now and then."""

from __future__ import annotations

import threading
from collections import Counter


class Counters:
    """Named totals that only grow. Reading gives a copy at one instant."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            self._totals[name] += amount

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._totals[name]

    def snapshot(self) -> dict[str, int]:
        with self._lock:
            return dict(self._totals)
