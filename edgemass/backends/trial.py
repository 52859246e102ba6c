"""Try an accelerator out in a child process first: a library that crashes or hangs on load costs a child, no camera."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edgemass.backends import Options
from edgemass.backends._trial_child import Order, Verdict
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray

# -I keeps the working directory and PYTHON* variables out; the import path is handed over, so that the child finds the
# same packages as this process.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from edgemass.backends._trial_child import main; main()"
_LOOK_EVERY_S = 0.2
_MOST_NOISE = 65536
_MISSING_LIBRARY = re.compile(r"with error: (?P<why>[^\n:]+: cannot open shared object file)")  # ONNX Runtime's words


def try_out(
    name: str,
    model: Path,
    runtime: str,
    options: Options,
    feed: Mapping[str, AnyArray],
    *,
    deadline_s: float,
    cancelled: threading.Event,
) -> None:
    """Load and run once in a child.

    name: of what is tried, for errors. feed: every input of a run. cancelled: ends the wait, and the child, early.

    Raises:
        BackendError: it failed, runs on something else, crashed, or did not end in time.
    """
    order = Order(str(model.resolve()), runtime, options, list(feed), int(deadline_s) + 1)
    data = io.BytesIO(msgspec.json.encode(order) + b"\n")
    data.seek(0, io.SEEK_END)
    for array in feed.values():
        np.save(data, array, allow_pickle=False)
    code, answer, noise = _run(data.getvalue(), deadline_s, cancelled)
    if code is None:
        why = "the trial was cancelled" if cancelled.is_set() else f"no end of a trial run within {deadline_s:g} s"
        raise BackendError(f"{name} hangs: {why}")
    if code < 0:
        raise BackendError(f"{name} crashed in a trial run ({_signal(code)})")
    if code or not answer:
        last = noise.strip().splitlines()[-1:] or ["it said nothing"]
        raise BackendError(f"{name} failed in a trial run ({last[0]})")
    error = msgspec.json.decode(answer, type=Verdict).error
    if error:
        missing = _MISSING_LIBRARY.search(noise)
        raise BackendError(f"{error} ({missing['why']})" if missing and missing["why"] not in error else error)


def _run(data: bytes, deadline_s: float, cancelled: threading.Event) -> tuple[int | None, bytes, str]:
    """Exit status (None: killed for its time), standard output and standard error.

    Through files: a pipe's reader that hangs would need a thread for each end.
    """
    with tempfile.TemporaryFile() as order, tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as noise:
        order.write(data)
        order.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *map(os.path.abspath, sys.path)],
            stdin=order,
            stdout=answer,
            stderr=noise,
            start_new_session=True,  # Ctrl-C is the parent's to answer
        )
        try:
            code = _wait(process, time.monotonic() + deadline_s, cancelled)
        finally:
            process.kill()
            process.wait()
        answer.seek(0)
        noise.seek(max(0, noise.seek(0, os.SEEK_END) - _MOST_NOISE))
        return code, answer.read(), noise.read().decode(errors="replace")


def _wait(process: subprocess.Popen[bytes], ends: float, cancelled: threading.Event) -> int | None:
    while not cancelled.is_set() and time.monotonic() < ends:
        try:
            return process.wait(_LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    return None


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
