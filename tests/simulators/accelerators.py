"""Accelerators for the ladder: a Backend of Python that breaks on request, and a fake vendor's library."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from edgemass.backends.ladder import Candidate
from edgemass.errors import BackendError
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo

INPUTS = {"in": np.linspace(0, 1, 48, dtype=np.float32).reshape(1, 4, 4, 3)}
LOAD_S = 77.0  # no pause of the ladder is as long
RUN_S = 3.0


class Device:
    """What several loads of one accelerator have in common.

    fault: "", "load", "trial", "run", "hang", "hang-load", "wrong", "elsewhere". release: lets hanging calls go on.
    """

    def __init__(self, name: str = "litert/npu") -> None:
        self.name = name
        self.fault = ""
        self.release = threading.Event()
        self.loads = self.closes = self.trials = 0

    def candidate(self, variant: str = "npu-int8") -> Candidate:
        return Candidate(self.name, variant, lambda: ScriptedBackend(self), self._try_out, LOAD_S, RUN_S)

    def _try_out(self, cancelled: threading.Event) -> None:  # noqa: ARG002
        self.trials += 1
        if self.fault == "trial":
            raise BackendError(f"{self.name} crashed in a trial run (SIGSEGV)")


class ScriptedBackend:
    """out = in + 1."""

    version = "1"

    def __init__(self, device: Device) -> None:
        device.loads += 1
        self._device = device
        self.requested = device.name
        self.name = "litert/xnnpack" if device.fault == "elsewhere" else device.name
        self.inputs: tuple[TensorInfo, ...] = (TensorInfo("in", (1, 4, 4, 3), "float32"),)
        self.outputs: tuple[TensorInfo, ...] = (TensorInfo("out", (1, 4, 4, 3), "float32"),)
        if device.fault == "hang-load":
            device.release.wait()
        if device.fault == "load":
            raise BackendError("no device")

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        device = self._device
        if device.fault == "hang":
            device.release.wait()
        if device.fault == "run":
            raise BackendError("the device is gone")
        return {"out": Tensor(inputs["in"] + (3 if device.fault == "wrong" else 1))}

    def close(self) -> None:
        self._device.closes += 1


def build_fake_delegate(folder: Path) -> Path:
    """Compile fake_delegate.c; skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: apt-get install gcc libc6-dev")
    library = folder / "libfakenpu.so"
    source = Path(__file__).with_name("fake_delegate.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source], check=True)
    return library
