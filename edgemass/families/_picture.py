"""Which input takes the picture, and how pixels become its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from edgemass.graph import Graph
from edgemass.manifest import ColorOrder, InputSpec, Layout, Resize
from edgemass.tensors import TensorInfo

_PICTURE_DTYPES = ("float32", "float16", "uint8", "int8")
_SMALLEST_SIDE = 8  # narrower tensors are state or sequences


@dataclass(frozen=True)
class Picture:
    """width, height: pixels, None where the graph leaves them free. channels: 1 or 3."""

    info: TensorInfo
    layout: Layout
    width: int | None
    height: int | None
    channels: int


@dataclass(frozen=True)
class Recipe:
    """A published preprocessing: real value = (pixel - mean) / std, channels in `color` order.

    source: who publishes it, for the user to read under `assumed`.
    only: every model of the family is trained on it, so that an integer input with another range was calibrated badly.
    """

    source: str
    color: ColorOrder = "RGB"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    only: bool = False

    def real_range(self) -> tuple[float, float]:
        """Least and greatest value that a pixel can become."""
        count = max(len(self.mean), len(self.std))
        mean, std = (values * count if len(values) == 1 else values for values in (self.mean, self.std))
        lows = [-m / s for m, s in zip(mean, std, strict=True)]
        highs = [(255 - m) / s for m, s in zip(mean, std, strict=True)]
        return min(lows), max(highs)


IMAGENET = Recipe("torchvision's ImageNet preprocessing", "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE = Recipe("Caffe's ImageNet preprocessing", "BGR", (104.0, 117.0, 123.0))
UNIT = Recipe("pixels / 255", "RGB", (0.0,), (255.0,))
SYMMETRIC = Recipe("TensorFlow's preprocessing for MobileNet, pixels from -1 to 1", "RGB", (127.5,), (127.5,))


def find_picture(graph: Graph) -> Picture | None:
    """The input that takes a picture: one of 3 channels before one of 1, then the largest."""
    pictures = [picture for picture in (_as_picture(info, graph.format) for info in graph.inputs) if picture]
    if not pictures:
        return None
    return max(pictures, key=lambda it: (it.channels, _area(it)))


def color_picture(graph: Graph) -> Picture | None:
    """The picture input if it has 3 channels, as every detector wants."""
    picture = find_picture(graph)
    return picture if picture is not None and picture.channels == 3 else None


def _area(picture: Picture) -> float:
    return (picture.width or float("inf")) * (picture.height or float("inf"))


def _as_picture(info: TensorInfo, format_: str) -> Picture | None:
    shape = info.shape
    if info.dtype not in _PICTURE_DTYPES or len(shape) not in (3, 4):
        return None
    sides: tuple[int | None, ...]
    if len(shape) == 4:
        if shape[0] not in (1, None):
            return None
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        planar = first and (not last or format_ == "onnx")
        if not first and not last:
            return None
        sides, channels = (shape[2:], shape[1]) if planar else (shape[1:3], shape[3])
        layout = "NCHW" if planar else "NHWC"
    elif shape[0] == 3 or shape[2] == 3:
        planar = shape[0] == 3
        sides, channels = (shape[1:], 3) if planar else (shape[:2], 3)
        layout = "CHW" if planar else "HWC"
    elif shape[0] in (1, None) and None not in shape[1:]:
        sides, channels, layout = shape[1:], 1, "NHW"
    else:
        return None
    height, width = sides
    if any(side is not None and side < _SMALLEST_SIDE for side in sides):
        return None
    return Picture(info, cast("Layout", layout), width, height, cast("int", channels))


def input_spec(picture: Picture, recipe: Recipe, resize: Resize) -> tuple[InputSpec, tuple[str, ...]]:
    """How to fill the picture input, and what of it was assumed.

    A float input takes the recipe. An integer input whose real range is that of a plain scaling (0..1, -1..1, 0..255)
    takes pixels as they are, whatever the recipe scales by; any other range is looked up among the published recipes.
    """
    info = picture.info
    assumed: tuple[str, ...] = ()
    scale: float | None = None
    zero_point = 0
    color: ColorOrder = "GRAY" if picture.channels == 1 else recipe.color
    mean, std = recipe.mean, recipe.std
    if info.dtype in ("uint8", "int8"):
        known = None if _plain(info) else _by_range(info, recipe, grey=picture.channels == 1)
        if known is None:
            mean, std = (0.0,), (1.0,)
            scale, zero_point = (1.0, -128) if info.dtype == "int8" else (None, 0)
            if picture.channels == 3:
                assumed = (f"input {info.name} takes {color} pixels as they are",)
        else:
            assert info.quantization is not None
            color = color if picture.channels == 1 else known.color
            mean, std = known.mean, known.std
            scale, zero_point = info.quantization.scale, info.quantization.zero_point
            assumed = (f"input {info.name} takes {color} by {known.source}: its real range fits",)
    else:
        assumed = (f"input {info.name}: {color}, mean {_numbers(mean)}, std {_numbers(std)} ({recipe.source})",)
    spec = InputSpec(
        name=info.name,
        layout=picture.layout,
        dtype=cast("Literal['float32', 'float16', 'uint8', 'int8']", info.dtype),
        width=picture.width,
        height=picture.height,
        color=color,
        resize=resize,
        mean=mean,
        std=std,
        scale=scale,
        zero_point=zero_point,
    )
    return spec, assumed


def _numbers(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)


def stored_range(info: TensorInfo) -> tuple[float, float] | None:
    """Least and greatest real value that an integer tensor can hold; None without quantization."""
    if info.quantization is None or info.dtype not in ("uint8", "int8"):
        return None
    least = 0 if info.dtype == "uint8" else -128
    scale, zero_point = info.quantization.scale, info.quantization.zero_point
    return (least - zero_point) * scale, (least + 255 - zero_point) * scale


def _plain(info: TensorInfo) -> bool:
    """Whether the 256 stored values stand for the 256 pixel values in order, up to a scaling that training undoes."""
    span = stored_range(info)
    return span is None or any(_close(span, wanted) for wanted in ((0, 1), (-1, 1), (0, 255), (-128, 127), (-0.5, 0.5)))


def _by_range(info: TensorInfo, recipe: Recipe, *, grey: bool) -> Recipe | None:
    """The recipe that fills an integer input from end to end; those for three channels say nothing of grey pictures."""
    span = stored_range(info)
    assert span is not None
    published = (recipe,) if grey else (recipe, IMAGENET, CAFFE)
    low, high = recipe.real_range()
    if recipe.only and _reaches(span, low) and _reaches(span, high):
        # Converters calibrate with pictures of their own, prepared for ImageNet; the weights still want the recipe.
        return recipe
    return next((known for known in published if _close(span, known.real_range())), None)


def _reaches(span: tuple[float, float], value: float) -> bool:
    return span[0] - 0.03 * (span[1] - span[0]) <= value <= span[1] + 0.03 * (span[1] - span[0])


def _close(found: tuple[float, float], wanted: tuple[float, float]) -> bool:
    """Calibration sees pictures, not every pixel value, and quantizers move the ends to make 0 exact: 3% of slack."""
    slack = 0.03 * (wanted[1] - wanted[0])
    return abs(found[0] - wanted[0]) <= slack and abs(found[1] - wanted[1]) <= slack
