"""Work on a runtime in a process of its own: what crashes or hangs there costs nothing here."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import msgspec
import numpy as np

from edgemass.tensors import AnyArray

# -I keeps the working directory and PYTHON* variables out; the import path is handed over, so that the child finds the
# same packages as this process.
_PATH = "import sys; sys.path[:] = sys.argv[1:]; "
_LOOK_EVERY_S = 0.2
_MOST_NOISE = 65536
_Order = TypeVar("_Order", bound=msgspec.Struct)


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    code: exit status, below 0 for a signal; None where it was killed for its time. answer: its standard output.
    noise: the end of its standard error.
    """

    code: int | None
    answer: bytes
    noise: str

    @property
    def signal(self) -> str:
        """Name of the signal that ended it."""
        number = -(self.code or 0)
        try:
            return signal.Signals(number).name
        except ValueError:
            return f"signal {number}"

    @property
    def last_words(self) -> str:
        """The last line of its standard error."""
        return (self.noise.strip().splitlines()[-1:] or ["it said nothing"])[0]


def run(
    program: str, order: msgspec.Struct, arrays: Iterable[AnyArray], *, deadline_s: float, cancelled: threading.Event
) -> Ended:
    """Run Python code in a child and wait for its end.

    order, arrays: what it reads with `take_order` and `take_arrays`; they lie in a file without a name, which nothing
    outlives. cancelled: ends wait and child early, with all that the child has started, unless in a session of its own.

    Through files: a pipe's reader that hangs would need a thread for each end.

    Raises:
        OSError: no file can be written, or no process started.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as noise:
        given.write(msgspec.json.encode(order) + b"\n")
        for array in arrays:
            np.save(given, array, allow_pickle=False)
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PATH + program, *map(os.path.abspath, sys.path)],
            stdin=given,
            stdout=answer,
            stderr=noise,
            start_new_session=True,  # Ctrl-C is the parent's to answer
        )
        try:
            code = _wait(process, time.monotonic() + deadline_s, cancelled)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # what it has started too
            process.wait()
        answer.seek(0)
        noise.seek(max(0, noise.seek(0, os.SEEK_END) - _MOST_NOISE))
        return Ended(code, answer.read(), noise.read().decode(errors="replace"))


def open_answer() -> IO[bytes]:
    """In the child: the file for its answer; what anybody prints from now on goes to the standard error.

    A crash leaves no core file.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answer


def take_order(kind: type[_Order]) -> _Order:
    """In the child: the order, one line of JSON on its standard input."""
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)


def take_arrays(count: int) -> list[AnyArray]:
    """In the child: the next arrays behind the order, as `np.save` writes them."""
    return [np.load(sys.stdin.buffer, allow_pickle=False) for _ in range(count)]


def step_back(nice: int, deadline_s: int) -> None:
    """In the child: let others go first, and end after `deadline_s` even when nobody is left to end it.

    nice: added to the process's own; above 0, where memory runs out, this process is to go and not the daemon.
    """
    signal.alarm(deadline_s)
    os.nice(nice)
    if nice > 0:
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _wait(process: subprocess.Popen[bytes], ends: float, cancelled: threading.Event) -> int | None:
    while not cancelled.is_set() and time.monotonic() < ends:
        try:
            return process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    return None
