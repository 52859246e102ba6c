"""A Clock that only moves when a test says so."""

from __future__ import annotations

import threading
import time

NS = 1_000_000_000
START_MONO_NS = 1_000 * NS
START_UNIX_NS = 1_795_312_800 * NS  # 2026-11-22T02:00:00Z
PATIENCE_S = 10.0
_LOOK_EVERY_S = 0.0005


class ManualClock:
    """Implements `edgemass.clock.Clock`.

    jump: a wait takes no real time and moves the clock by itself; for code of one thread. Else a wait ends when the
        event is set or another thread has advanced the clock far enough.
    waits: seconds asked for by every wait so far, in order.
    """

    def __init__(self, *, jump: bool = False) -> None:
        self.waits: list[float] = []
        self._jump = jump
        self._lock = threading.Lock()
        self._passed_ns = 0
        self._waiting: list[tuple[float, int]] = []

    def monotonic_ns(self) -> int:
        return START_MONO_NS + self._passed_ns

    def time_ns(self) -> int:
        return START_UNIX_NS + self._passed_ns

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once."""
        with self._lock:
            self._passed_ns += round(seconds * NS)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        deadline_ns = self._passed_ns + round(timeout_s * NS)
        with self._lock:
            self.waits.append(timeout_s)
            self._waiting.append((timeout_s, deadline_ns))
        try:
            if self._jump and not event.is_set():
                self.advance(timeout_s)
            while not event.is_set() and self._passed_ns < deadline_ns:
                event.wait(_LOOK_EVERY_S)
        finally:
            with self._lock:
                self._waiting.remove((timeout_s, deadline_ns))
        return event.is_set()

    def pass_wait(self, seconds: float) -> None:
        """Wait until a thread has asked to wait for exactly `seconds`, then let the rest of that time pass."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            with self._lock:
                due = [deadline for asked, deadline in self._waiting if asked == seconds]
                due = [deadline for deadline in due if deadline > self._passed_ns]  # else it is only about to wake
                if due:
                    self._passed_ns = min(due)
                    return
            time.sleep(_LOOK_EVERY_S)
        raise AssertionError(f"no thread waits for {seconds} s; the last waits were for {self.waits[-10:]}")
