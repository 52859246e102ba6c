"""How far long work is, told to whoever asked for it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how much is done and of how much in all, 0 where nobody knows; bytes or pictures, as the work says."""

Steps = Callable[[str], Progress]
"""Called with what begins now, in words; gives whom to tell how far that is."""


def untold(done: int, total: int) -> None:
    """Nobody wants to know."""
