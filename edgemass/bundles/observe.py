"""Asks the child processes that read, load and run an unknown file, and takes in what they saw."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from edgemass.bundles._probe import Array, Order, Report
from edgemass.bundles._reader import Answer
from edgemass.bundles.child import Child
from edgemass.errors import BundleError
from edgemass.manifest import RuntimeName
from edgemass.tensors import Outputs, Tensor

logger = logging.getLogger(__name__)

DEADLINE_S = 120.0

_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from edgemass.bundles._probe import main; main(sys.argv[1])"
_READER = "import sys; sys.path[:] = sys.argv[3:]; from edgemass.bundles._reader import main; main(*sys.argv[1:3])"


class Observer(Child):
    """The child that loads and runs; it imports the runtime while another one reads the file."""

    def __init__(self, path: Path, runtime: RuntimeName, *, deadline_s: float = DEADLINE_S) -> None:
        super().__init__(path, _PROGRAM, runtime)
        self._runtime = runtime
        self._deadline_s = deadline_s

    def report(self, sizes: Sequence[tuple[int, int]]) -> Report:
        """Let the child load and run the file.

        sizes: (height, width) to try where the picture's is free.

        Raises:
            BundleError: the runtime refused the file, crashed on it, or did not finish.
        """
        order = Order(str(self._path.resolve()), self._runtime, tuple(sizes))
        answer = self.ask(msgspec.json.encode(order) + b"\n", "loading and running it", self._deadline_s)
        report = msgspec.msgpack.decode(answer, type=Report)
        if report.error:
            raise BundleError(report.error)
        if report.run_error:
            logger.info("the model cannot be tried out: %s", report.run_error, extra={"model": self._path.name})
        return report


def read(path: Path, runtime: RuntimeName) -> Answer:
    """What the file says of itself; onnx or tflite is set as `runtime` says.

    Raises:
        BundleError: it is damaged, wants files outside its folder, or more memory or time than it may have.
    """
    with Child(path, _READER, runtime, str(path)) as child:
        answer = msgspec.msgpack.decode(child.ask(b"", "reading it", DEADLINE_S), type=Answer)
    if answer.error:
        raise BundleError(answer.error)
    return answer


def outputs(run: Mapping[str, Array]) -> Outputs:
    """One run as a family looks at it."""
    return {
        name: Tensor(np.frombuffer(array.data, array.dtype).reshape(array.shape), array.quantization)
        for name, array in run.items()
    }
