"""How far long work is: one line that moves on a terminal, a log line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time

logger = logging.getLogger(__name__)

LOG_EVERY_S = 10.0
DRAW_EVERY_S = 0.1


BAR = 24  # characters


class Progress:
    """Call it with (done, total), total 0 where nobody knows it; `end` clears the line."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._terminal = sys.stderr.isatty()
        self._started = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._shown < (DRAW_EVERY_S if self._terminal else LOG_EVERY_S):
            return
        self._shown = now
        text = progress_text(done, total, now - self._started)
        if self._terminal:
            line = f"{self._what} {bar(done, total)}{text}"
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            logger.info("%s: %s", self._what, text)

    def end(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def progress_text(done: int, total: int, passed_s: float) -> str:
    """120 of 795, 12 s left; a total that is passed, as where a header lied, is no total any more."""
    if total < max(done, 1):
        return f"{done} done"
    left_s = passed_s / max(done, 1) * (total - done)
    return f"{done} of {total}, {left_s:.0f} s left"


def bar(done: int, total: int) -> str:
    """[######------------------] and a space; nothing where the total is not known."""
    if total < max(done, 1):
        return ""
    full = BAR * done // total
    return f"[{'#' * full}{'-' * (BAR - full)}] "
