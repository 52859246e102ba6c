"""Runtimes that run tensors. No backend ever asks which family it runs.

A backend is one file with `open(model: Path, options: Options) -> Backend` and a row in BACKENDS.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

import msgspec

from edgemass.errors import BackendError, BackendUnavailableError
from edgemass.tensors import AnyArray, Outputs, TensorInfo

BACKENDS = {  # runtime of a variant -> the module that runs it, imported when first asked for
    "onnx": "edgemass.backends.onnxruntime",
    "tflite": "edgemass.backends.litert",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a runtime.

    threads: intra-op threads; None leaves one core to decoding where there are several.
    provider: what to run on, in the runtime's own words; None = the CPU, as fast as the runtime knows how.
    provider_options: handed to the provider or delegate as they are.
    plain: the runtime's own defaults but for the threads: the baseline that `bench` compares with.
    keep_graph: the runtime may keep what it makes of the file in the cache, so that the next load is quick.
    """

    threads: int | None = None
    provider: str | None = None
    provider_options: dict[str, str] = msgspec.field(default_factory=dict)
    plain: bool = False
    keep_graph: bool = False


class Backend(Protocol):
    """One loaded model.

    name: what really runs it, decided on what the session says after loading: "litert/xnnpack", "onnxruntime/cpu".
    requested: what was asked for, in the same form.
    version: of the runtime.
    """

    requested: str
    version: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]

    @property
    def name(self) -> str: ...

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

    def offers(self, provider: str) -> bool:
        """Whether a provider is installed here, as far as that can be told without loading it."""


def load(runtime: str) -> BackendModule:
    """The module for a runtime.

    Raises:
        BackendUnavailableError: no such runtime.
    """
    if runtime not in BACKENDS:
        raise BackendUnavailableError(f"unknown backend {runtime!r}; known are {', '.join(BACKENDS)}")
    return cast("BackendModule", importlib.import_module(BACKENDS[runtime]))


def check_runs(backend: Backend) -> None:
    """Refuse a session that runs on something else than what was asked for.

    Raises:
        BackendError: it would.
    """
    if backend.name != backend.requested:
        raise BackendError(f"{backend.requested} was asked for, the session runs on {backend.name}")
