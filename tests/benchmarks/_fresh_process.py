"""A program from its start to the first line that it prints: time, CPU time, memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PATIENCE_S = 180.0


@dataclass(frozen=True)
class Start:
    """first_s: from the start to the first line. cpu_s, rss_bytes: of the whole run, the peak of the latter."""

    first_s: float
    cpu_s: float
    rss_bytes: int


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, with compiled Python files allowed: an installed package has them."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(extra or {})


def start_to_first_line(command: Sequence[str], extra: Mapping[str, str] | None = None) -> Start:
    """Run a program to its end.

    extra: for its environment. The kernel begins the peak of a process with what its parent holds, so that whoever
    calls this must be small: no NumPy, no OpenCV.

    Raises:
        RuntimeError: it printed nothing.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment(extra))
        assert process.stdout is not None
        deadline = threading.Timer(PATIENCE_S, process.kill)
        deadline.start()
        try:
            line = process.stdout.readline()
            first_s = time.perf_counter() - started
            process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            deadline.cancel()
            process.stdout.close()
        if not line:
            log.seek(0)
            said = log.read().strip().splitlines()[-3:] or ["nothing"]
            raise RuntimeError(
                f"{' '.join(command[1:4])} ... printed nothing on its output; it said {' / '.join(said)}"
            )
    return Start(first_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
