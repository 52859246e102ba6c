"""Starts the child process that loads and runs an unknown file, and takes in what it saw."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgemass.bundles._probe import Array, Order, Report
from edgemass.errors import BundleError
from edgemass.manifest import RuntimeName
from edgemass.tensors import Outputs, Tensor

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

DEADLINE_S = 120.0

# -I keeps the working directory and PYTHON* variables out; the import path is handed over, so that the child finds the
# same packages as this process.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from edgemass.bundles._probe import main; main(sys.argv[1])"


class Observer:
    """The child; it imports the runtime while the parent reads the file.

    Use it in a `with`: leaving it ends the child.
    """

    def __init__(self, path: Path, runtime: RuntimeName, *, deadline_s: float = DEADLINE_S) -> None:
        self._path = path
        self._runtime = runtime
        self._deadline_s = deadline_s
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, runtime, *map(os.path.abspath, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the parent, which would take the child's end for a damaged file
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def report(self, sizes: Sequence[tuple[int, int]]) -> Report:
        """Let the child load and run the file.

        sizes: (height, width) to try where the picture's is free.

        Raises:
            BundleError: the runtime refused the file, crashed on it, or did not finish.
        """
        order = Order(str(self._path.resolve()), self._runtime, tuple(sizes))
        try:
            answer, noise = self._process.communicate(msgspec.json.encode(order) + b"\n", timeout=self._deadline_s)
        except subprocess.TimeoutExpired as error:
            raise BundleError(
                f"{self._path}: loading and running it took more than {self._deadline_s:.0f} s; wanted a model that "
                "this machine can run"
            ) from error
        except BrokenPipeError:
            answer, noise = self._process.communicate()
        if noise:
            logger.debug("the runtime said: %s", noise.decode(errors="replace").strip())
        if self._process.returncode or not answer:
            raise BundleError(f"{self._path}: {self._death(noise)}; it is damaged, or not for this runtime")
        report = msgspec.msgpack.decode(answer, type=Report)
        if report.error:
            raise BundleError(report.error)
        if report.run_error:
            logger.info("the model cannot be tried out: %s", report.run_error, extra={"model": self._path.name})
        return report

    def _death(self, noise: bytes) -> str:
        code = self._process.returncode
        if code < 0:
            return f"the runtime crashed while loading this file ({signal.Signals(-code).name})"
        last = noise.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        return f"the runtime failed while loading this file ({last[0]})"


def outputs(run: Mapping[str, Array]) -> Outputs:
    """One run as a family looks at it."""
    return {
        name: Tensor(np.frombuffer(array.data, array.dtype).reshape(array.shape), array.quantization)
        for name, array in run.items()
    }
