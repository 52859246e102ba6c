"""How the C library keeps freed memory."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8  # malloc.h
ARENAS = 2


def few_arenas() -> None:
    """Let all threads share a few heaps; for the start, before there are threads.

    glibc gives threads up to eight heaps a core, and each keeps holes of what its threads freed. A daemon whose
    cameras, accelerators and readings come and go in threads of their own grew by 4 % in a day, and all of it lay
    there (tests/integration/test_soak.py). Another libc goes without.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
