"""A lock that is taken in the order of asking."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class InOrder:
    """`with lock:` as with threading.Lock, which lets a thread that comes back at once overtake those that wait.

    A thread cannot take it twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # over the two below, and never held for long
        self._held = False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._lock:
            if not self._held:
                self._held = True
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # until whoever is before us hands over

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
