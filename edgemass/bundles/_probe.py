"""The child process that loads a file which nobody vouches for, and runs it on made-up pictures.

A damaged model can take a native runtime down with it, so that this happens beside the program and not inside it.
Standard input: one JSON `Order` on a line. Standard output: one msgpack `Report`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edgemass import backends
from edgemass.backends import own_process
from edgemass.bundles import child
from edgemass.errors import BackendError, BackendUnavailableError
from edgemass.frame import Image
from edgemass.graph import Node
from edgemass.tensors import AnyArray, Quantization, TensorInfo

MAX_OUTPUT_BYTES = 256 * 1024 * 1024
GREY = 114


class Order(msgspec.Struct, frozen=True):
    """runtime: a row of BACKENDS. sizes: (height, width) to try in this order where the picture's is free."""

    model: str
    runtime: str
    sizes: tuple[tuple[int, int], ...]


class Array(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    quantization: Quantization | None = None


class Report(msgspec.Struct, frozen=True):
    """unavailable: the runtime is not installed; error: it refused the file; run_error: it loaded but could not run it.

    dtypes: of inner tensors, see `litert.Contents`.
    """

    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    nodes: tuple[Node, ...] = ()
    dtypes: Mapping[str, int] = {}
    runs: tuple[Mapping[str, Array], ...] = ()
    run_shapes: Mapping[str, tuple[int, ...]] = {}
    unavailable: str = ""
    error: str = ""
    run_error: str = ""


def main(runtime: str) -> None:
    """Load the runtime, wait for the order, answer, end."""
    answer = own_process.open_answer()
    child.limit_memory()
    try:
        backends.load(runtime)
        missing = ""
    except BackendUnavailableError as error:
        missing = str(error)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent found the file to be no model
    order = msgspec.json.decode(line, type=Order)
    report = Report(unavailable=missing) if missing else observe(order)
    with answer as pipe:
        pipe.write(msgspec.msgpack.encode(report))


def observe(order: Order) -> Report:
    """Load and run; what goes wrong on purpose is part of the report."""
    model = Path(order.model)
    nodes: tuple[Node, ...] = ()
    dtypes: Mapping[str, int] = {}
    try:
        if order.runtime == "tflite":
            from edgemass.backends import litert  # noqa: PLC0415 (only for its own format)

            contents = litert.contents(model)
            nodes, dtypes = contents.nodes, contents.dtypes
        backend = backends.load(order.runtime).open(model, backends.Options())
    except BackendError as error:
        return Report(error=str(error))
    runs: list[Mapping[str, Array]] = []
    shapes: Mapping[str, tuple[int, ...]] = {}
    failure = ""
    for size in order.sizes:
        try:
            runs, shapes = _runs(backend, size)
            break
        except BackendError as error:
            failure = failure or str(error)
    return Report(
        inputs=backend.inputs,
        outputs=backend.outputs,
        nodes=nodes,
        dtypes=dtypes,
        runs=tuple(runs),
        run_shapes=shapes,
        run_error="" if runs else failure,
    )


def _runs(
    backend: backends.Backend, free_size: tuple[int, int]
) -> tuple[list[Mapping[str, Array]], Mapping[str, tuple[int, ...]]]:
    """Run every picture; fewer when the outputs are huge.

    Raises:
        BackendError: the model cannot be run like this.
    """
    picture = _picture_input(backend.inputs)
    runs: list[Mapping[str, Array]] = []
    shapes: dict[str, tuple[int, ...]] = {}
    total = 0
    for turn in range(3):
        height, width = _sides(picture, free_size)
        pixels = _pictures(height, width)[turn]
        feed = {
            info.name: _filled(info, pixels) if info is picture else _further(info, height, width)
            for info in backend.inputs
        }
        shapes = {name: array.shape for name, array in feed.items()}
        outputs = backend.run(feed)
        total += sum(tensor.data.nbytes for tensor in outputs.values())
        if total > MAX_OUTPUT_BYTES:
            break
        runs.append(
            {
                name: Array(tensor.data.dtype.name, tensor.data.shape, tensor.data.tobytes(), tensor.quantization)
                for name, tensor in outputs.items()
            }
        )
    return runs, shapes


def _picture_input(inputs: tuple[TensorInfo, ...]) -> TensorInfo | None:
    """The input with one or three channels; without one the first with at least two dimensions."""
    for channels in (3, 1):
        for info in inputs:
            if len(info.shape) in (3, 4) and channels in (_channel_axis_sizes(info)):
                return info
    return next((info for info in inputs if len(info.shape) >= 2), None)


def _channel_axis_sizes(info: TensorInfo) -> tuple[int | None, int | None]:
    return info.shape[-3], info.shape[-1]


def _planar(info: TensorInfo) -> bool:
    first, last = _channel_axis_sizes(info)
    return first in (1, 3) and (last not in (1, 3) or first == 3)


def _sides(info: TensorInfo | None, free: tuple[int, int]) -> tuple[int, int]:
    if info is None or len(info.shape) < 3:
        return free
    height, width = info.shape[-2:] if _planar(info) or info.shape[-1] not in (1, 3) else info.shape[-3:-1]
    return height or free[0], width or free[1]


def _pictures(height: int, width: int) -> tuple[Image, Image, Image]:
    """Noise, a gradient, a flat grey; the same ones every time."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    gradient = np.empty_like(noise)
    gradient[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    gradient[..., 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    gradient[..., 2] = 255 - gradient[..., 0]
    return noise, gradient, np.full_like(noise, GREY)


def _filled(info: TensorInfo, pixels: Image) -> AnyArray:
    """The picture as this input takes it: fractions for floats, pixels for uint8, pixels less 128 for int8."""
    rank = len(info.shape)
    if rank >= 3 and _planar(info):
        array: AnyArray = pixels[..., : info.shape[-3]].transpose(2, 0, 1)
    elif rank >= 3 and info.shape[-1] in (1, 3):
        array = pixels[..., : info.shape[-1]]
    else:
        array = pixels[..., 0]
    shape = tuple(side or 1 for side in info.shape[: rank - array.ndim]) + array.shape
    if rank < 3 or any(side not in (None, have) for side, have in zip(info.shape, shape, strict=True)):
        shape = tuple(side or 1 for side in info.shape)  # no picture after all: any numbers will do
        array = np.resize(array, shape)
    array = np.broadcast_to(array, shape)
    if info.dtype == "int8":
        return np.ascontiguousarray((array.astype(np.int16) - 128).astype(np.int8))
    if info.dtype.startswith("float"):
        return np.ascontiguousarray((array / np.float32(255)).astype(info.dtype))
    return np.ascontiguousarray(array.astype(info.dtype))


def _further(info: TensorInfo, height: int, width: int) -> AnyArray:
    """An input beside the picture: its size, a scale of 1, or an empty state."""
    shape = tuple(side or 1 for side in info.shape)
    name = info.name.lower()
    if shape[-1:] == (2,) and any(word in name for word in ("size", "shape")):
        return np.broadcast_to(np.asarray((height, width), info.dtype), shape).copy()
    if "scale" in name:
        return np.ones(shape, info.dtype)
    return np.full(shape, info.quantization.zero_point if info.quantization else 0, info.dtype)
