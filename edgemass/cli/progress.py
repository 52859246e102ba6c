"""How far long work is: one line that moves on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
DRAW_EVERY_S = 0.1


class Progress:
    """Call it with (done, total); `end` clears the line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < (DRAW_EVERY_S if self._terminal else LOG_EVERY_S):
            return
        self._shown = now
        left_s = (now - self._started) / max(done, 1) * (total - done)
        if self._terminal:
            print(f"\r\x1b[K{self._what}: {done} of {total}, {left_s:.0f} s left", end="", file=sys.stderr, flush=True)
        else:
            logger.info("%s: %d of %d, %.0f s left", self._what, done, total, left_s)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
