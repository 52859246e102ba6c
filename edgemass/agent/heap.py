"""How the C library keeps freed memory. glibc's; another one goes without."""

from __future__ import annotations

import contextlib
import ctypes

from edgemass.clock import Clock

_M_ARENA_MAX = -8  # malloc.h
ARENAS = 2
TRIM_NS = 3600 * 1_000_000_000


def few_arenas() -> None:
    """Let all threads share a few heaps; for the start, before there are threads.

    glibc gives threads up to eight heaps a core, and each keeps holes of what its threads freed. A daemon whose
    cameras, accelerators and readings come and go in threads of their own grew by 7 % in a day, and all of it lay
    there (tests/integration/test_soak.py).
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Give freed memory back, also that of a runtime which freed it on other threads than the one that asked for it."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Trimming:
    """Once an hour; what is freed little by little goes back too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._trimmed_ns = clock.monotonic_ns()

    def tick(self) -> None:
        """The agent's loop comes by."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._trimmed_ns >= TRIM_NS:
            self._trimmed_ns = now_ns
            trim()
