"""Signals, answered in a thread of their own.

A handler of Python's interrupts the main thread anywhere, also while that holds the lock of the very Event which the
handler would set, and then waits for it for ever. Here handlers take no lock: the number goes through a pipe
(signal.set_wakeup_fd), and a thread does what is to be done.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping

Answer = Callable[[], None]
Handler = Callable[[int, object], None]


def answer(answers: Mapping[signal.Signals, Answer], handler: Handler | None = None) -> None:
    """From now on, for the rest of the process; call it in the main thread.

    answers: what to do when this signal came, in a thread of this module's. handler: called in the main thread as
    well, at once, as `signal.signal` does; it must take no lock.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # a storm fills it: what is in there already asks for the same
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_serve, args=(reader, dict(answers)), name="signals", daemon=True).start()
    for number in answers:
        signal.signal(number, handler or _nothing)


def _serve(reader: int, answers: Mapping[signal.Signals, Answer]) -> None:
    while numbers := os.read(reader, 4096):
        for number in dict.fromkeys(numbers):
            if number in answers:
                answers[signal.Signals(number)]()


def _nothing(_number: int, _frame: object) -> None:
    """Without a handler Python would leave the signal to the system."""
