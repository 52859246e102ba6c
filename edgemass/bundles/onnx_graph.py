"""Reads an ONNX file's graph with the `onnx` package, without its weights' values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from edgemass.bundles import labels
from edgemass.errors import BundleError
from edgemass.graph import Node
from edgemass.tensors import TensorInfo

_MAX_LIST = 4096  # what lies beyond in an attribute is weights, not parameters
_MAX_ITEMS = 1_000_000  # operators, constants, inputs and texts; the largest published graphs have some ten thousand
_MAX_RANK = 16
_BITS = {"int8": 8, "uint8": 8, "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64}


@dataclass(frozen=True)
class OnnxFile:
    """What the file says of itself. precision: of most of its weights. external: files besides it that hold weights."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    nodes: tuple[Node, ...]
    metadata: Mapping[str, str]
    labels: tuple[str, ...]
    precision: str
    external: tuple[str, ...]


def _meant(path: Path) -> str:
    """What a file that begins like no model at all was meant to be, by its name."""
    return {".onnx": "ONNX", ".tflite": "TFLite"}.get(path.suffix.lower(), "ONNX or TFLite")


def read(path: Path) -> OnnxFile:
    """Parse the file.

    Raises:
        BundleError: the `onnx` package is missing, the file is no whole ONNX model, or it wants to read files outside
            its folder.
    """
    try:
        import onnx  # noqa: PLC0415 (90 ms, and only importing needs it)
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise BundleError(
            f"{path.name}: reading a bare ONNX file needs the package onnx; install it: pip install 'edgemass[import]'"
        ) from error
    try:
        model = onnx.load_model(str(path), format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise BundleError(
            f"{path} is no whole {_meant(path)} model (truncated or damaged); download or export it again"
        ) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _described(onnx, path, model)
    except (UnicodeDecodeError, _NotTextError) as error:
        raise BundleError(f"{path} is no whole ONNX model (a name in it is no text); export it again") from error


class _NotTextError(Exception):
    """A name or text of the file is no UTF-8; protobuf hands such over as bytes."""


def _text(value: str | bytes) -> str:
    if isinstance(value, bytes):
        raise _NotTextError
    return value


def _described(onnx: Any, path: Path, model: Any) -> OnnxFile:
    graph = model.graph
    items = len(graph.node) + len(graph.initializer) + len(graph.input) + len(graph.output) + len(model.metadata_props)
    items += sum(len(node.attribute) + len(node.input) + len(node.output) for node in graph.node)
    if items > _MAX_ITEMS:
        raise BundleError(f"{path}: its graph has {items} parts, at most {_MAX_ITEMS} are read; it is damaged")
    if not model.ir_version or not model.opset_import or not graph.output:
        raise BundleError(
            f"{path} is no whole ONNX model (no graph or no operator set in it); download or export it again"
        )
    external = tuple(sorted(set(_external_files(graph))))
    for location in external:
        _check_location(path, location)
    metadata = {_text(item.key): _text(item.value) for item in model.metadata_props}
    constants = {tensor.name for tensor in graph.initializer}
    return OnnxFile(
        inputs=tuple(_info(onnx, value) for value in graph.input if value.name not in constants),
        outputs=tuple(_info(onnx, value) for value in graph.output),
        nodes=tuple(_node(onnx, node) for node in graph.node),
        metadata=metadata,
        labels=next((found for key in labels.KEYS if (found := labels.from_literal(metadata.get(key, "")))), ()),
        precision=_precision(onnx, graph),
        external=external,
    )


def _info(onnx: Any, value: Any) -> TensorInfo:
    tensor = value.type.tensor_type
    shape = tuple(
        int(side.dim_value) if side.HasField("dim_value") and side.dim_value >= 0 else None for side in tensor.shape.dim
    )
    return TensorInfo(_text(value.name), shape, _dtype(onnx, tensor.elem_type))


def _dtype(onnx: Any, element_type: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(element_type).name)
    except (KeyError, ValueError):
        return "object"  # a sequence or a map; the runtime refuses it by name


def _node(onnx: Any, node: Any) -> Node:
    attributes: dict[str, object] = {}
    for item in node.attribute:
        value = _attribute(onnx.AttributeProto, item)
        if value is not None:
            attributes[_text(item.name)] = value
    return Node(_text(node.op_type), tuple(map(_text, node.input)), tuple(map(_text, node.output)), attributes)


def _attribute(kinds: Any, item: Any) -> object:
    """A number, a text or a list of them; None for the rest."""
    readers: dict[int, Callable[[], object]] = {
        kinds.INT: lambda: int(item.i),
        kinds.FLOAT: lambda: float(item.f),
        kinds.STRING: lambda: item.s.decode("utf-8", errors="replace"),
        kinds.INTS: lambda: list(item.ints[:_MAX_LIST]),
        kinds.FLOATS: lambda: list(item.floats[:_MAX_LIST]),
        kinds.STRINGS: lambda: [text.decode("utf-8", errors="replace") for text in item.strings[:_MAX_LIST]],
    }
    reader = readers.get(item.type)
    return reader() if reader else None


def _tensors(graph: Any) -> Iterator[Any]:
    """Every constant, those of nested graphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("t"):
                yield item.t
            yield from item.tensors
            if item.HasField("g"):
                yield from _tensors(item.g)
            for nested in item.graphs:
                yield from _tensors(nested)


_EXTERNAL = 1  # TensorProto.DataLocation.EXTERNAL


def _external_files(graph: Any) -> Iterator[str]:
    for tensor in _tensors(graph):
        if tensor.data_location == _EXTERNAL:
            yield next((_text(entry.value) for entry in tensor.external_data if entry.key == "location"), "")


def _check_location(path: Path, location: str) -> None:
    """The runtime would open whatever the file names, so nothing but a neighbour may be named.

    Raises:
        BundleError: it lies outside the model's folder, or is not there.
    """
    folder = path.parent.resolve()
    absolute = PurePosixPath(location).is_absolute() or PureWindowsPath(location).drive
    try:
        target = (folder / location).resolve()
        there = target.is_file()
    except (OSError, RuntimeError, ValueError):  # a name too long, a link to itself, a zero byte
        target, there = Path("/"), False
    if not location or absolute or ".." in PurePosixPath(location).parts or not target.is_relative_to(folder):
        raise BundleError(
            f"{path.name}: its weights are said to lie in {location!r}, outside its own folder: refused; "
            "export the model as one file"
        )
    if not there:
        raise BundleError(f"{path.name}: its weights lie in {location!r}, which is not beside it; copy that file too")


def _precision(onnx: Any, graph: Any) -> str:
    """int8, fp16 or fp32, whichever most weights are stored in."""
    numbers: Counter[str] = Counter()
    for tensor in _tensors(graph):
        dtype = _dtype(onnx, tensor.data_type)
        if dtype in _BITS:
            count = math.prod(max(0, side) for side in tensor.dims[:_MAX_RANK])
            numbers[{8: "int8", 16: "fp16"}.get(_BITS[dtype], "fp32")] += count
    return numbers.most_common(1)[0][0] if numbers else "fp32"
