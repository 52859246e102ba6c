"""Processes beside this one for files that nobody vouches for: one memory, one deadline, one line of blame each."""

from __future__ import annotations

import logging
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from edgemass.errors import BundleError

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

GIB = 1024**3
MOST_MEMORY_BYTES = 8 * GIB
MAX_ANSWER_BYTES = 1 * GIB


class Child:
    """A Python process that runs a program, takes one line and gives one answer on its standard output.

    Use it in a `with`: leaving it ends the child. `-I` keeps the working directory and PYTHON* variables out; the
    import path is handed over, so that the child finds the same packages as this process.
    path: the file that errors name.
    """

    def __init__(self, path: Path, program: str, *arguments: str) -> None:
        self._path = path
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", program, *arguments, *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, line: bytes, what: str, deadline_s: float) -> bytes:
        """Hand over the line and wait for the whole answer.

        what: that the child does, for errors: "loading and running it".

        Raises:
            BundleError: the child crashed, ran out of memory or did not finish.
        """
        try:
            answer, noise = self._process.communicate(line, timeout=deadline_s)
        except subprocess.TimeoutExpired as error:
            raise BundleError(
                f"{self._path}: {what} took more than {deadline_s:.0f} s; wanted a model that this machine can run"
            ) from error
        except BrokenPipeError:
            answer, noise = self._process.communicate()
        if noise:
            logger.debug("the runtime said: %s", noise.decode(errors="replace").strip())
        if self._process.returncode or not answer:
            raise BundleError(f"{self._path}: {self._death(noise)}; it is damaged, or not for this runtime")
        return answer

    def _death(self, noise: bytes) -> str:
        code = self._process.returncode
        if code < 0:
            return f"the runtime crashed while loading this file ({signal.Signals(-code).name})"
        last = noise.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return f"the runtime failed while loading this file ({last[0]})"


def limit_memory(most_bytes: int = MOST_MEMORY_BYTES) -> None:
    """Let this process take three quarters of the machine's memory, at most `most_bytes`: a file that wants more fails
    alone.

    RLIMIT_DATA counts what can be written (Linux 4.7 and later) and not, as RLIMIT_AS does, what GPU drivers and thread
    arenas only reserve.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = min(machine * 3 // 4, most_bytes)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
