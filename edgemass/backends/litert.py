"""LiteRT (the newer name of TensorFlow Lite), or tflite-runtime where there is no LiteRT wheel."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import struct
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgemass.backends import Options
from edgemass.backends.choice import short_name
from edgemass.errors import BackendError, BackendUnavailableError
from edgemass.graph import Node
from edgemass.tensors import AnyArray, Outputs, Quantization, Tensor, TensorInfo

logger = logging.getLogger(__name__)

_MAX_REASON = 300
_GLUED = re.compile(r"Restored original execution plan|Node number \d+ \(")
_USELESS = re.compile(r"\s*(?:See instructions|Restored original execution plan|Failed to load delegate from)")
_CHATTER = re.compile(rb"(?:INFO|VERBOSE|WARNING): ")
_stderr_lock = threading.Lock()


def _import_interpreter() -> tuple[Any, str]:
    """The interpreter's module and the runtime's version.

    Raises:
        BackendUnavailableError: no runtime, or one that this NumPy would crash.
    """
    try:
        import ai_edge_litert  # noqa: PLC0415 (one of two)
        from ai_edge_litert import interpreter  # noqa: PLC0415
    except ImportError as litert_error:
        try:
            import tflite_runtime  # noqa: PLC0415
        except ImportError:
            raise BackendUnavailableError(
                f"neither ai-edge-litert nor tflite-runtime can be imported ({litert_error}); "
                "install one: pip install 'edgemass[tflite]'"
            ) from litert_error
        _check_numpy(str(tflite_runtime.__version__), np.__version__)
        from tflite_runtime import interpreter  # noqa: PLC0415

        return interpreter, str(tflite_runtime.__version__)
    return interpreter, str(ai_edge_litert.__version__)


def _check_numpy(runtime: str, numpy: str) -> None:
    """tflite-runtime up to 2.14, its last release, was built against NumPy 1: under NumPy 2 it imports, and then every
    set_tensor ends in a SystemError (https://github.com/google-coral/pycoral/issues/58).

    Raises:
        BackendUnavailableError: the two do not go together.
    """
    release = tuple(int(part) for part in re.findall(r"\d+", runtime)[:2])
    if release <= (2, 14) and int(numpy.split(".", maxsplit=1)[0]) >= 2:
        raise BackendUnavailableError(
            f"tflite-runtime {runtime} was built against NumPy 1, found NumPy {numpy}; run: pip install 'numpy<2'"
        )


_interpreter, _version = _import_interpreter()
_LIBRARIES = {"edgetpu": "libedgetpu.so.1"}  # provider -> the delegate that its vendor ships


def open(model: Path, options: Options) -> LiteRtBackend:  # noqa: A001 (the plug-ins' own word)
    """Load a TFLite file.

    Raises:
        BackendUnavailableError: the wanted provider is not known here, or its library cannot be loaded.
        BackendError: the file cannot be loaded.
    """
    return LiteRtBackend(model, options)


def offers(provider: str) -> bool:
    """See BackendModule; the linker's own list tells, which loads nothing."""
    return provider not in _LIBRARIES or find_library(provider) is not None


@dataclass(frozen=True)
class Contents:
    """What a file holds before any delegate changes its graph.

    nodes: in execution order; only custom operators bring attributes, and only with ai-edge-litert.
    dtypes: NumPy dtype name -> number of tensors that are neither input nor output.
    """

    nodes: tuple[Node, ...]
    dtypes: Mapping[str, int]


def contents(model: Path) -> Contents:
    """Read a file's operators; the file may crash the process, so call it where that does no harm.

    Raises:
        BackendError: the file cannot be loaded.
    """
    try:
        with _quiet():
            interpreter = _interpreter.Interpreter(os.fspath(model), num_threads=1)
        details = interpreter.get_tensor_details()
        edges = {item["index"] for item in (*interpreter.get_input_details(), *interpreter.get_output_details())}
        operators = interpreter._get_ops_details()  # noqa: SLF001 (the only way the runtime tells them)
    except (ValueError, RuntimeError) as error:
        raise BackendError(f"{model.name}: LiteRT cannot load it: {reason(error)}") from error
    names = {int(item["index"]): str(item["name"]) for item in details}
    attributes = _custom_attributes(model)
    nodes = tuple(
        Node(
            str(item["op_name"]),
            tuple(names.get(int(index), "") for index in item["inputs"]),
            tuple(names.get(int(index), "") for index in item["outputs"]),
            attributes.get(position, {}),
        )
        for position, item in enumerate(operators)
    )
    inner = Counter(np.dtype(item["dtype"]).name for item in details if item["index"] not in edges)
    return Contents(nodes, dict(inner))


def _custom_attributes(model: Path) -> dict[int, Mapping[str, object]]:
    """Options of custom operators by position, FlexBuffers maps: TFLite_Detection_PostProcess tells its classes so."""
    try:
        from ai_edge_litert import schema_py_generated as schema  # noqa: PLC0415 (tflite-runtime has none)
        from flatbuffers import flexbuffers  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        return {}
    graph = schema.Model.GetRootAs(model.read_bytes()).Subgraphs(0)
    found: dict[int, Mapping[str, object]] = {}
    for position in range(graph.OperatorsLength()):
        operator = graph.Operators(position)
        if operator.CustomOptionsLength():
            try:
                options = flexbuffers.Loads(operator.CustomOptionsAsNumpy().tobytes())
            except (ValueError, struct.error, IndexError, UnicodeDecodeError):
                continue  # a custom operator may write its options as it likes
            if isinstance(options, dict):
                found[position] = {key: value for key, value in options.items() if isinstance(value, (int, float, str))}
    return found


class LiteRtBackend:
    """One interpreter. Outputs are views into its memory: good until the next run."""

    version: str = _version

    def __init__(self, model: Path, options: Options) -> None:
        external = _is_external(options.provider)
        resolver = _resolver(options.provider)
        try:
            with _quiet():
                self._interpreter: Any = _interpreter.Interpreter(
                    os.fspath(model),
                    num_threads=options.threads or max(1, (os.cpu_count() or 1) - 1),
                    experimental_op_resolver_type=resolver,
                    experimental_delegates=[_delegate(options)] if external else None,
                )
                # External delegates take their nodes now, XNNPACK takes what is left when tensors are allocated.
                taken = external and _is_delegated(self._interpreter)
                self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise BackendError(f"{model.name}: LiteRT cannot load it: {reason(error)}") from error
        # XNNPACK is the one delegate that the interpreter applies by itself.
        on_cpu = "litert/xnnpack" if _is_delegated(self._interpreter) else "litert/cpu"
        self.name = f"litert/{short_name(options.provider or '')}" if taken else on_cpu
        self.requested = _requested(options.provider, on_cpu)
        self.inputs = _unique(tuple(_info(model, item) for item in inputs))
        self.outputs = _unique(tuple(_info(model, item) for item in outputs))
        self._slots = {
            info.name: (int(item["index"]), tuple(map(int, item["shape"])))
            for info, item in zip(self.inputs, inputs, strict=True)
        }
        self._results = [
            (info.name, int(item["index"]), info.quantization) for info, item in zip(self.outputs, outputs, strict=True)
        ]

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        """See Backend."""
        interpreter = self._interpreter
        try:
            self._fit(inputs)
            for name, (index, _) in self._slots.items():
                interpreter.set_tensor(index, inputs[name])
            # Recurrent operators remember inside the interpreter. A memory must belong to one camera, so it comes in
            # and goes out as tensors or not at all.
            interpreter.reset_all_variables()
            interpreter.invoke()
        except KeyError as error:
            raise BackendError(f"LiteRT cannot run the model: input {error.args[0]} is missing") from error
        except (ValueError, RuntimeError, SystemError) as error:
            raise BackendError(f"LiteRT cannot run the model: {reason(error)}") from error
        return {name: Tensor(_view(interpreter, index), quantization) for name, index, quantization in self._results}

    def _fit(self, inputs: Mapping[str, AnyArray]) -> None:
        """Give free dimensions the size that comes in this time."""
        changed = False
        for name, (index, shape) in self._slots.items():
            wanted = inputs[name].shape
            if wanted != shape:
                self._interpreter.resize_tensor_input(index, wanted, strict=True)
                self._slots[name] = (index, wanted)
                changed = True
        if changed:
            with _quiet():
                self._interpreter.allocate_tensors()

    def close(self) -> None:
        """See Backend."""
        self._interpreter = None


def _is_external(provider: str | None) -> bool:
    return provider is not None and (provider in _LIBRARIES or "/" in provider or ".so" in provider)


def _requested(provider: str | None, on_cpu: str) -> str:
    """None asks for the CPU, whichever of its kernels fit the model."""
    if provider is None:
        return on_cpu
    return "litert/cpu" if provider == "builtin" else f"litert/{short_name(provider)}"


def _resolver(provider: str | None) -> Any:
    types = _interpreter.OpResolverType
    if provider in (None, "xnnpack") or _is_external(provider):
        return types.AUTO
    if provider in ("cpu", "builtin"):
        return types.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    raise BackendUnavailableError(
        f"LiteRT has no provider {provider!r} here, it has xnnpack, builtin, cpu, {', '.join(_LIBRARIES)} "
        "and the path of a delegate's .so"
    )


def _is_delegated(interpreter: Any) -> bool:
    """Whether a delegate has put nodes of its own into the graph."""
    return any(item["op_name"] == "DELEGATE" for item in interpreter._get_ops_details())  # noqa: SLF001


def _delegate(options: Options) -> Any:
    """An external delegate.

    Raises:
        BackendUnavailableError: its library is missing, is none, or finds no device.
    """
    library = _LIBRARIES.get(options.provider or "", options.provider or "")
    try:  # first without the vendor's wrapper, which stumbles over its own half-made object
        symbols = ctypes.CDLL(library)
    except OSError as error:
        raise BackendUnavailableError(
            f"the delegate {library} cannot be loaded ({error}); install it or correct its path"
        ) from error
    if not hasattr(symbols, "tflite_plugin_create_delegate"):
        raise BackendUnavailableError(f"{library} is no TFLite delegate: it has no tflite_plugin_create_delegate")
    try:
        return _interpreter.load_delegate(library, options.provider_options)
    except ValueError as error:
        why = reason(error) or "it gives no reason"
        raise BackendUnavailableError(f"the delegate {library} cannot be created: {why}") from error


class _Memory:
    """An interpreter's buffer for NumPy to look at; keeps the interpreter alive as long as an array looks."""

    __slots__ = ("__array_interface__", "_interpreter")

    def __init__(self, interface: dict[str, Any], interpreter: Any) -> None:
        self.__array_interface__ = interface
        self._interpreter = interpreter


def _view(interpreter: Any, index: int) -> AnyArray:
    """A view of an output without a copy.

    What `interpreter.tensor(index)()` returns counts as a reference that forbids the next invoke until it is dropped,
    so its memory is looked at through an array of our own: 3 microseconds whatever the size, where get_tensor copies
    for 90 (YOLOv8n's float output at 640, x86-64).
    """
    return np.asarray(_Memory(interpreter.tensor(index)().__array_interface__, interpreter))


def _info(model: Path, item: Mapping[str, Any]) -> TensorInfo:
    dtype = np.dtype(item["dtype"])
    if dtype.kind not in "biuf":
        raise BackendError(
            f"{model.name}: {item['name']} holds {dtype.name}, wanted a tensor of numbers; export the model without it"
        )
    signature = item.get("shape_signature")
    sides = item["shape"] if signature is None or len(signature) != len(item["shape"]) else signature
    shape = tuple(None if side < 0 else int(side) for side in sides)
    return TensorInfo(str(item["name"]), shape, dtype.name, _quantization(model, item, dtype))


def _quantization(model: Path, item: Mapping[str, Any], dtype: np.dtype[Any]) -> Quantization | None:
    scales = item["quantization_parameters"]["scales"]
    zero_points = item["quantization_parameters"]["zero_points"]
    if dtype.kind == "f" or not len(scales):
        return None
    if len(scales) > 1:
        raise BackendError(
            f"{model.name}: {item['name']} is quantized per channel ({len(scales)} scales), wanted one scale per input "
            "or output; export the model with per-tensor quantized inputs and outputs"
        )
    return Quantization(float(scales[0]), int(zero_points[0]))


def _unique(infos: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
    """Tensor names of a TFLite file need not differ; a second one of the same name gets its position appended."""
    seen: set[str] = set()
    result = []
    for position, info in enumerate(infos):
        name = f"{info.name}#{position}" if info.name in seen else info.name
        seen.add(name)
        result.append(info if name == info.name else replace(info, name=name))
    return tuple(result)


def reason(error: BaseException) -> str:
    """The telling part of LiteRT's message on one line."""
    told = _GLUED.sub(r"\n\g<0>", str(error))  # a delegate's own message need not end its line
    text = "; ".join(line.strip() for line in told.splitlines() if line.strip() and not _USELESS.match(line))
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}..."


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the C++ side writes at every load off standard error: "INFO: Created ... XNNPACK delegate".

    Its logger has no switch in the Python package, so file descriptor 2 is turned aside; everything else that is
    written meanwhile is passed on afterwards.
    """
    with _stderr_lock, tempfile.TemporaryFile() as aside:
        try:
            kept = os.dup(2)
        except OSError:  # a service may run without standard error
            yield
            return
        try:
            os.dup2(aside.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            aside.seek(0)
            _pass_on(aside.read().splitlines(keepends=True))


def _pass_on(lines: Iterable[bytes]) -> None:
    for line in lines:
        if _CHATTER.match(line):
            logger.debug("%s", line.decode(errors="replace").strip())
        else:
            os.write(2, line)
