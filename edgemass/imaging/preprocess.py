"""A frame into the model's input tensor, with buffers that are kept from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edgemass.frame import Image
from edgemass.imaging.letterbox import Letterbox, place
from edgemass.manifest import InputSpec
from edgemass.tensors import AnyArray

_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}


MOST_PIXELS = 32 * 1024 * 1024
"""A frame that would be resized to more is cut first: one of a single row grows without measure."""


class Preprocessor:
    """Resizes straight into the letterbox and converts into one preallocated tensor.

    One per camera: what a call returns is overwritten by the next call.
    """

    def __init__(self, spec: InputSpec) -> None:
        self._spec = spec
        self._letterbox: Letterbox | None = None
        self._canvas: Image = np.empty((0, 0, 3), np.uint8)
        self._tensor: AnyArray = np.empty(0)
        self._convert: Callable[[], None] = _nothing

    def __call__(self, image: Image) -> tuple[AnyArray, Letterbox]:
        """Prepare one frame.

        image: uint8 (height, width, 3) BGR.
        Returns the tensor in the layout of the manifest, with its batch dimension, and where the frame lies in it.
        """
        height, width = image.shape[:2]
        letterbox = self._letterbox
        if letterbox is None or (letterbox.frame_width, letterbox.frame_height) != (width, height):
            letterbox = self._prepare(width, height)
        self._resize(image, letterbox)
        self._convert()
        return self._tensor, letterbox

    def parts(self, image: Image) -> Iterator[AnyArray]:
        """The tensor of each run that the frame takes: of a whole picture one (see imaging.parts for others)."""
        yield self(image)[0]

    def _prepare(self, frame_width: int, frame_height: int) -> Letterbox:
        """Allocate for a new frame size; the padding is painted once."""
        letterbox = place(frame_width, frame_height, self._spec)
        shape = (letterbox.height, letterbox.width, 3)
        if self._canvas.shape != shape:
            self._canvas = np.empty(shape, np.uint8)
            self._tensor, self._convert = _converter(self._spec, self._canvas)
        self._canvas[:] = self._spec.resize.pad_value
        self._letterbox = letterbox
        return letterbox

    def _resize(self, image: Image, box: Letterbox) -> None:
        interpolation = _INTERPOLATION[self._spec.resize.interpolation]
        size = (box.scaled_width, box.scaled_height)
        if box.offset_x < 0 or box.offset_y < 0 or box.scaled_width > box.width or box.scaled_height > box.height:
            top, left = -box.offset_y, -box.offset_x
            if size[0] * size[1] > MOST_PIXELS:
                columns, width, left = _seen(box.frame_width, box.scaled_width, left, box.width)
                rows, height, top = _seen(box.frame_height, box.scaled_height, top, box.height)
                image, size = image[rows, columns], (width, height)
            resized = cv2.resize(image, size, interpolation=interpolation)
            np.copyto(self._canvas, resized[top : top + box.height, left : left + box.width])
            return
        inner = self._canvas[
            box.offset_y : box.offset_y + box.scaled_height, box.offset_x : box.offset_x + box.scaled_width
        ]
        cv2.resize(image, size, dst=inner, interpolation=interpolation)


def _seen(side: int, scaled: int, start: int, length: int) -> tuple[slice, int, int]:
    """One axis of a crop that is made before the resizing: which pixels of the frame to keep, how long they become, and
    where in them the picture then starts.

    side, scaled: of the whole frame before and after. start, length: of the picture in the scaled frame.
    """
    scale = scaled / side
    first = max(0, int(start / scale) - 1)  # a pixel more on either side, for the interpolation
    last = min(side, math.ceil((start + length) / scale) + 1)
    grown = max(length, round((last - first) * scale))
    return slice(first, last), grown, min(max(0, round(start - first * scale)), grown - length)


def _nothing() -> None:
    pass


def _converter(spec: InputSpec, canvas: Image) -> tuple[AnyArray, Callable[[], None]]:
    """A tensor and the function that fills it from `canvas` (uint8 height, width, 3, BGR)."""
    if spec.color == "GRAY":
        return _gray(spec, canvas)
    if spec.dtype in ("uint8", "int8"):
        return _integers(spec, canvas)
    return _floats(spec, canvas)


def _floats(spec: InputSpec, canvas: Image) -> tuple[AnyArray, Callable[[], None]]:
    """Planes are split and scaled one at a time: faster than blobFromImageWithParams and ten times as fast as
    blobFromImage (tests/benchmarks/preprocess.py).
    """
    height, width = canvas.shape[:2]
    planar = spec.layout in ("NCHW", "CHW")
    batch = spec.layout.startswith("N")
    shape = (3, height, width) if planar else (height, width, 3)
    work: NDArray[np.float32] = np.empty(shape, np.float32)
    factor, shift = _affine(spec)
    rgb = spec.color == "RGB"
    planes = [np.empty((height, width), np.uint8) for _ in range(3)]
    pixels = np.empty_like(canvas) if rgb and not planar else canvas

    def fill_planar() -> None:
        split = cv2.split(canvas, planes)
        for channel, plane in enumerate(reversed(split) if rgb else split):
            np.multiply(plane, factor[channel], out=work[channel])
            if shift[channel]:
                work[channel] += shift[channel]

    def fill_interleaved() -> None:
        if rgb:
            cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB, dst=pixels)
        np.multiply(pixels, factor[0] if uniform else factor, out=work)
        if shift.any():
            np.add(work, shift, out=work)

    uniform = bool((factor == factor[0]).all())
    fill = fill_planar if planar else fill_interleaved
    if spec.dtype == "float32":
        return (work[None] if batch else work), fill
    half = np.empty(shape, np.float16)

    def fill_half() -> None:
        fill()
        half[:] = work

    return (half[None] if batch else half), fill_half


def _integers(spec: InputSpec, canvas: Image) -> tuple[AnyArray, Callable[[], None]]:
    """Every pixel value has one stored value: a table, or nothing at all where pixels are stored as they are."""
    table = _table(spec)
    rgb = spec.color == "RGB"
    planar = spec.layout in ("NCHW", "CHW")
    batch = spec.layout.startswith("N")
    as_is = bool((table == np.arange(256)[:, None]).all())
    flipped = spec.dtype == "int8" and bool((table == np.arange(256)[:, None] - 128).all())
    pixels = np.empty_like(canvas) if rgb or not as_is else canvas
    stored: AnyArray = pixels.view(spec.dtype)
    lut = table[None].astype(spec.dtype)
    planes = np.empty((3, *canvas.shape[:2]), spec.dtype) if planar else None

    def fill() -> None:
        if rgb:
            cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB, dst=pixels)
        if flipped:  # pixel - 128 in two's complement: ten times faster than a table
            np.bitwise_xor(pixels if rgb else canvas, np.uint8(128), out=pixels)
        elif not as_is:
            np.copyto(stored, cv2.LUT(pixels if rgb else canvas, lut))
        if planes is not None:
            np.copyto(planes, stored.transpose(2, 0, 1))

    tensor: AnyArray = stored if planes is None else planes
    return (tensor[None] if batch else tensor), fill


def _gray(spec: InputSpec, canvas: Image) -> tuple[AnyArray, Callable[[], None]]:
    height, width = canvas.shape[:2]
    shapes = {
        "NHWC": (1, height, width, 1),
        "NCHW": (1, 1, height, width),
        "NHW": (1, height, width),
        "HWC": (height, width, 1),
        "CHW": (1, height, width),
    }
    tensor: AnyArray = np.empty(shapes[spec.layout], spec.dtype)
    plane = tensor.reshape(height, width)
    gray = np.empty((height, width), np.uint8)
    factor, shift = _affine(spec)
    table = _table(spec)[:, 0] if spec.dtype in ("uint8", "int8") else np.arange(256) * factor[0] + shift[0]
    values = table.astype(spec.dtype)

    def fill() -> None:
        cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY, dst=gray)
        np.copyto(plane, values[gray])

    return tensor, fill


def _affine(spec: InputSpec) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factor and shift of real = pixel * factor + shift, three channels in the model's order."""
    std = np.broadcast_to(np.asarray(spec.std, np.float64), 3)
    mean = np.broadcast_to(np.asarray(spec.mean, np.float64), 3)
    return (1 / std).astype(np.float32), (-mean / std).astype(np.float32)


def _table(spec: InputSpec) -> NDArray[np.int64]:
    """Stored integer of every pixel value, (256, 3), channels in the model's order."""
    pixel = np.arange(256, dtype=np.float64)[:, None]
    mean = np.broadcast_to(np.asarray(spec.mean, np.float64), 3)
    std = np.broadcast_to(np.asarray(spec.std, np.float64), 3)
    real = (pixel - mean) / std
    stored = np.rint(real) if spec.scale is None else np.rint(real / spec.scale) + spec.zero_point
    limits = np.iinfo(spec.dtype)
    return np.clip(stored, limits.min, limits.max).astype(np.int64)
