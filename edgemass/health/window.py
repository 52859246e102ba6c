"""How much totals have grown lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

_NS = 1_000_000_000


class Window:
    """Totals of the last `seconds`, kept no closer than `step_s`: at most seconds / step_s + 2 of them."""

    def __init__(self, seconds: float, step_s: float) -> None:
        self._long_ns = round(seconds * _NS)
        self._step_ns = round(step_s * _NS)
        self._kept: deque[tuple[int, tuple[int, ...]]] = deque()

    def add(self, mono_ns: int, totals: Sequence[int]) -> None:
        if self._kept and mono_ns - self._kept[-1][0] < self._step_ns:
            return
        self._kept.append((mono_ns, tuple(totals)))
        while len(self._kept) > 1 and self._kept[1][0] <= mono_ns - self._long_ns:
            self._kept.popleft()

    def grown(self, mono_ns: int, totals: Sequence[int]) -> tuple[float, tuple[int, ...]]:
        """(seconds, growth of each) since the oldest that is kept; totals: of now."""
        if not self._kept:
            return 0.0, tuple(0 for _ in totals)
        then_ns, before = self._kept[0]
        return (mono_ns - then_ns) / _NS, tuple(max(0, now - old) for now, old in zip(totals, before, strict=True))
