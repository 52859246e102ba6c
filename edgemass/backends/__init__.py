"""Runtimes that run tensors. No backend ever asks which family it runs.

A backend is one file with `open(model: Path, options: Options) -> Backend` and a row in BACKENDS.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import msgspec

from edgemass.errors import BackendUnavailableError
from edgemass.tensors import AnyArray, Outputs, TensorInfo

BACKENDS = {  # runtime of a variant -> the module that runs it, imported when first asked for
    "onnx": "edgemass.backends.onnxruntime",
    "tflite": "edgemass.backends.litert",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a runtime.

    threads: intra-op threads; None leaves one core to decoding where there are several.
    provider: what to run on, in the runtime's own words; None = the CPU.
    plain: the runtime's own defaults but for the threads: the baseline that `bench` compares with.
    """

    threads: int | None = None
    provider: str | None = None
    plain: bool = False


class Backend(Protocol):
    """One loaded model.

    name: what really runs it, decided on what the session says after loading: "litert/xnnpack", "onnxruntime/cpu".
    requested: what was asked for, in the same form.
    version: of the runtime.
    """

    name: str
    requested: str
    version: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """Run once. Outputs may be views into the runtime's memory: good until the next run.

        inputs: every input tensor by name, dtype and shape as `inputs` says; state tensors among them.

        Raises:
            BackendError: the runtime failed.
        """

    def close(self) -> None:
        """Free the session; a later run is a programming error."""


class BackendModule(Protocol):
    """What a module of BACKENDS offers."""

    def open(self, model: Path, options: Options) -> Backend: ...


def load(runtime: str) -> BackendModule:
    """The module for a runtime.

    Raises:
        BackendUnavailableError: no such runtime.
    """
    if runtime not in BACKENDS:
        raise BackendUnavailableError(f"unknown backend {runtime!r}; known are {', '.join(BACKENDS)}")
    return cast("BackendModule", importlib.import_module(BACKENDS[runtime]))
