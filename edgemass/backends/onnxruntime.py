"""ONNX Runtime."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgemass import cache, durable
from edgemass.backends import Options, _tensorrt
from edgemass.errors import BackendError, BackendUnavailableError
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo

try:
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as ort_state
except ImportError as error:
    raise BackendUnavailableError(
        f"onnxruntime cannot be imported ({error}); install it: pip install 'edgemass[onnx]'"
    ) from error

logger = logging.getLogger(__name__)

# What belongs to no session: errors only. A trial run (see trial) reads from them which library was missing.
ort.set_default_logger_severity(3)

# Its exceptions derive from Exception directly, so they are collected; ValueError is what it raises for a wrong feed.
_ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(item for item in vars(ort_state).values() if isinstance(item, type) and issubclass(item, Exception)),
)
_DTYPES = {  # ONNX Runtime's names for what NumPy can hold
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(uint16)": "uint16",
    "tensor(int16)": "int16",
    "tensor(uint32)": "uint32",
    "tensor(int32)": "int32",
    "tensor(uint64)": "uint64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
_SILENT = 4  # fatal only: what ONNX Runtime would print as an error it also raises
_MAX_REASON = 300
MOST_GRAPHS = 10
_NOISE = (
    re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : "),
    re.compile(r"Load model (?:from )?\S+ failed[:.]\s*"),
    re.compile(r"\S+\.(?:cc|h):\d+ \S.*?\) (?=[A-Z\[])"),  # /onnxruntime_src/core/graph.cc:46 void f(const T&)
    re.compile(r"Exception during initialization: "),
    re.compile(r"\[with .*\] (?=\[OpenVINO-EP\])"),  # the template arguments of the function that failed
    re.compile(r"Exception from \S+:\d+: "),
)


def open(model: Path, options: Options) -> OnnxRuntimeBackend:  # noqa: A001 (the plug-ins' own word)
    """Load an ONNX file.

    Raises:
        BackendUnavailableError: the wanted execution provider is not in this build.
        BackendError: the file cannot be loaded, or has inputs or outputs that are no tensors of numbers.
    """
    return OnnxRuntimeBackend(model, options)


class OnnxRuntimeBackend:
    """One session. Outputs of fixed shape are written into the same arrays by every run: good until the next one."""

    version: str = ort.__version__

    def __init__(self, model: Path, options: Options) -> None:
        provider = _provider(options.provider)
        self.requested = _name(provider)
        self._session: Any = None
        if options.keep_graph and provider == _CPU:
            try:
                self._session = _kept_session(model, options)
            except OSError as error:  # of the cache, never of the model
                logger.debug("the optimized graph is not kept: %s", error)
        if self._session is None:
            self._session = _session(model, _session_options(options, provider), _providers(model, provider, options))
        self.name = _name(_running(self._session))
        self.inputs = tuple(_info(model, node) for node in self._session.get_inputs())
        self.outputs = tuple(_info(model, node) for node in self._session.get_outputs())
        self._names = [info.name for info in self.outputs]
        self._fixed: dict[str, Tensor] = {}
        self._binding: Any = None
        if not options.plain and provider == _CPU and all(None not in info.shape for info in self.outputs):
            self._bind_outputs()

    def _bind_outputs(self) -> None:
        """Fresh pages for 9 MB of output take 0.7 ms of a 52 ms run (YOLOv5n 640, x86-64, ONNX Runtime 1.31)."""
        self._binding = self._session.io_binding()
        for info in self.outputs:
            array = np.zeros([side or 0 for side in info.shape], info.dtype)
            self._binding.bind_output(info.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
            self._fixed[info.name] = Tensor(array)

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """See Backend."""
        try:
            if self._binding is None:
                arrays = self._session.run(self._names, dict(inputs))
                return {name: Tensor(array) for name, array in zip(self._names, arrays, strict=True)}
            for info in self.inputs:
                self._binding.bind_cpu_input(info.name, inputs[info.name])
            self._session.run_with_iobinding(self._binding)
            return dict(self._fixed)
        except KeyError as error:
            raise BackendError(f"ONNX Runtime cannot run the model: input {error.args[0]} is missing") from error
        except _ORT_ERRORS as error:
            raise BackendError(f"ONNX Runtime cannot run the model: {reason(error)}") from error

    def close(self) -> None:
        """See Backend."""
        self._binding = None
        self._session = None


def providers() -> tuple[str, ...]:
    """Short names of the execution providers that this build has: ("tensorrt", "cuda", "cpu")."""
    return tuple(map(_short, ort.get_available_providers()))


def offers(provider: str) -> bool:
    """See BackendModule; a build may list what it cannot load."""
    return provider in providers()


def _session(model: Path, wanted: Any, providers: list[Any]) -> Any:
    """Load a file.

    Without enable_fallback=0 the Python package answers a provider that fails, at load or in a later run, with a new
    session on the CPU, and prints that to standard output.

    Raises:
        BackendError: it cannot be loaded.
    """
    try:
        return ort.InferenceSession(os.fspath(model), wanted, providers=providers, enable_fallback=0)
    except _ORT_ERRORS as error:
        raise BackendError(f"{model.name}: ONNX Runtime cannot load it: {reason(error)}") from error


def _kept_session(model: Path, options: Options) -> Any:
    """A session on the graph as ONNX Runtime has optimized it for this processor, from the cache or put there now.

    It loads in half the time and needs some 10 MB less (performance measured with tests/benchmarks/startup_memory.py).
    None where ONNX Runtime cannot load or write it: without the cache it tells why.

    Raises:
        OSError: there is no place to keep anything.
    """
    name = cache.key(*cache.key_of_file(model), ort.__version__, cpu_features())
    kept = cache.folder("graphs") / f"{name}.onnx"
    wanted = _session_options(options, _CPU)
    if kept.is_file():
        wanted.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return _session(kept, wanted, [_CPU])
        except BackendError as error:
            logger.debug("%s is made anew: %s", kept, error)
            kept.unlink(missing_ok=True)
            wanted = _session_options(options, _CPU)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".part.", ignore_cleanup_errors=True) as place:
        temporary = Path(place) / kept.name
        wanted.optimized_model_filepath = os.fspath(temporary)
        try:
            session = _session(model, wanted, [_CPU])
        except BackendError:  # or the disk is full
            return None
        durable.move(temporary, kept)
    cache.trim(kept.parent, MOST_GRAPHS)
    return session


def cpu_features() -> str:
    """What the optimized graph depends on: the instruction sets of the first processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown"
    lines = [line for line in text.splitlines() if line.startswith(("flags", "Features", "CPU part", "model name"))]
    return cache.key(*dict.fromkeys(lines))


def save_plain(model: Path, target: Path) -> None:
    """Write the graph with its constants folded and nothing that is made for one processor.

    Raises:
        BackendError: the file cannot be loaded.
    """
    wanted = ort.SessionOptions()
    wanted.log_severity_level = _SILENT
    wanted.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    wanted.optimized_model_filepath = os.fspath(target)
    _session(model, wanted, [_CPU])


_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_TENSORRT = "TensorrtExecutionProvider"


def _session_options(options: Options, provider: str) -> Any:
    wanted = ort.SessionOptions()
    wanted.log_severity_level = _SILENT
    wanted.intra_op_num_threads = options.threads or max(1, (os.cpu_count() or 1) - 1)
    if not options.plain:
        wanted.inter_op_num_threads = 1
        wanted.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        # Spinning workers take the core that decodes the next frame.
        wanted.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider != _CPU:
        wanted.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # see _running
    return wanted


def _providers(model: Path, provider: str, options: Options) -> list[tuple[str, dict[str, str]]]:
    """What the session may use, in order; ONNX Runtime itself adds the CPU for nodes that nothing else takes."""
    if provider != _TENSORRT:
        return [(provider, options.provider_options)]
    own = _tensorrt.engine_cache(model, ort.__version__, options.provider_options)
    rest: list[tuple[str, dict[str, str]]] = [(_CUDA, {})] if _CUDA in ort.get_available_providers() else []
    return [(provider, {**own, **options.provider_options}), *rest]


def _running(session: Any) -> str:
    """The first provider that really has nodes of the graph.

    A provider that could not be created is missing from the session's own list. One that was created may still have
    taken no node; the session tells that since ONNX Runtime 1.24.
    """
    providers: list[str] = session.get_providers()
    if providers[0] == _CPU or not hasattr(session, "get_provider_graph_assignment_info"):
        return providers[0]
    busy = {part.ep_name for part in session.get_provider_graph_assignment_info()}
    return next((provider for provider in providers if provider in busy), _CPU)


def _provider(wanted: str | None) -> str:
    """The execution provider's full name; `cuda` is enough for `CUDAExecutionProvider`."""
    if wanted is None:
        return _CPU
    available: list[str] = ort.get_available_providers()
    for provider in available:
        if wanted.lower() in (provider.lower(), _short(provider)):
            return provider
    raise BackendUnavailableError(
        f"this ONNX Runtime has no execution provider {wanted!r}, it has {', '.join(map(_short, available))}"
    )


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider").lower()


def _name(provider: str) -> str:
    return f"onnxruntime/{_short(provider)}"


def _info(model: Path, node: Any) -> TensorInfo:
    """What the session says of one input or output.

    Raises:
        BackendError: not a tensor of numbers.
    """
    if node.type not in _DTYPES:
        raise BackendError(
            f"{model.name}: {node.name} is {node.type}, wanted a tensor of numbers; export the model without it"
        )
    return TensorInfo(
        node.name, tuple(side if isinstance(side, int) else None for side in node.shape), _DTYPES[node.type]
    )


def reason(error: Exception) -> str:
    """The telling part of ONNX Runtime's message on one line."""
    text = " ".join(str(error).split())
    for noise in _NOISE:
        text = noise.sub("", text)
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."
