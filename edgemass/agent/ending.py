"""Ending several things at once, so that one that hangs does not take the time of the others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

logger = logging.getLogger(__name__)


def all_at_once(closes: Iterable[Callable[[], object]]) -> None:
    """Call each in a thread of its own, and wait for all; each has its own deadline. What one raises is logged."""
    threads = [threading.Thread(target=_call, args=(close,), name="ending", daemon=True) for close in closes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _call(close: Callable[[], object]) -> None:
    try:
        close()
    except Exception:  # the thread's outermost line
        logger.exception("an output was not closed as it should be")
