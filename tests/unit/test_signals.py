"""Signals that come at any moment, also while the main thread holds the lock of what they set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PATIENCE_S = 30.0
STORM = 3000
PAUSE_S = 1e-4
"""Signals that come closer together are one for the kernel."""
BUSY = """
import signal, threading
from edgemass.cli import signals

news, stop = threading.Event(), threading.Event()
served = set()

def hear():
    served.add("HUP")
    news.set()

signals.answer({signal.SIGHUP: hear, signal.SIGTERM: stop.set}, HANDLER)
print("ready", flush=True)
while not stop.is_set():
    news.set()
    news.clear()
print(*served, flush=True)
"""


def test_a_storm_of_signals_does_not_stop_the_thread_that_it_interrupts() -> None:
    code = BUSY.replace("HANDLER", "None")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(STORM):
            os.kill(process.pid, signal.SIGHUP)
            time.sleep(PAUSE_S)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said) == (0, "HUP\n")


@pytest.mark.parametrize("first", [signal.SIGHUP, signal.SIGTERM])
def test_a_handler_of_ones_own_is_called_at_once_beside(first: signal.Signals) -> None:
    code = BUSY.replace("HANDLER", "lambda number, _: print('at once', number, flush=True)")
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(first)
        assert process.stdout.readline() == f"at once {int(first)}\n"
        if first != signal.SIGTERM:  # a second one could meet a Python that ends, and no handler any more
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
