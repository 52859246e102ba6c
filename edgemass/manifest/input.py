"""How a frame or a text becomes the model's input."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgemass.manifest.tensors import LIMITS

MAX_SIDE = 8192  # pixels of the model's picture
MAX_SHORT_SIDE = 4096
MAX_MULTIPLE = 1024
MAX_BYTES_PER_RUN = 65536  # of a text
SMALLEST, LARGEST = 1e-12, 1e9  # of what scales pixels

ResizeRule = Literal["stretch", "letterbox", "letterbox-top-left", "center-crop", "shortest-edge"]
Layout = Literal["NHWC", "NCHW", "CHW", "HWC", "NHW", "NT"]
ColorOrder = Literal["RGB", "BGR", "GRAY"]


class Resize(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a frame becomes the model's picture.

    stretch: both sides to the size, whatever the shape.
    letterbox: keep the shape, centre it, fill the rest with `pad_value`.
    letterbox-top-left: the same with the picture in the top left corner.
    center-crop: short side to `short_side`, then cut the middle.
    shortest-edge: short side to `short_side` but long side at most `long_side` (None: MAX_SIDE), then pad right and
        bottom to a multiple of `multiple`; for models whose height and width are free.
    """

    rule: ResizeRule = "stretch"
    pad_value: int = 0
    short_side: int | None = None
    long_side: int | None = None
    multiple: int = 1
    interpolation: Literal["linear", "area", "nearest"] = "linear"


class TextRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a text becomes an input of layout NT, [1, bytes_per_run]: one number for each byte of its encoding, so many
    bytes a run, with the state carried from one run to the next and forgotten before the next text.

    padding: what fills the last run behind the text's end; the model must not let it change its answer.
    """

    bytes_per_run: int
    padding: int = 0
    encoding: Literal["utf-8"] = "utf-8"


class InputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The picture input, or with `text` the text input.

    width, height: pixels; None for shortest-edge.
    mean, std: per channel in `color` order, in pixel units: real value = (pixel - mean) / std.
    scale, zero_point: for integer inputs, stored = round(real / scale) + zero_point. Not set for integer inputs that
        take pixels as they are.
    rows_per_run: the tensor holds so many rows, and a picture of `height` rows is read in several runs from top to
        bottom, with the state carried from one run to the next and forgotten before the next picture.
    text: the model reads texts; all that is said of pictures is left out.
    """

    name: str
    layout: Layout
    dtype: Literal["float32", "float16", "uint8", "int8", "int32", "int64"]
    width: int | None = None
    height: int | None = None
    color: ColorOrder = "RGB"
    resize: Resize = Resize()
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float | None = None
    zero_point: int = 0
    rows_per_run: int | None = None
    text: TextRule | None = None

    @property
    def in_parts(self) -> bool:
        """Whether one frame may take several runs."""
        return self.text is not None or self.rows_per_run is not None


def check_input(spec: InputSpec) -> None:
    """Refuse what the types cannot: relations between fields.

    Raises:
        ValueError: names the field, what was found and what is wanted.
    """
    if spec.text is not None:
        _check_text(spec, spec.text)
    else:
        _check_picture(spec)
        _check_resize(spec)


def _check_picture(spec: InputSpec) -> None:
    channels = 1 if spec.color == "GRAY" else 3
    for field, values in (("input.mean", spec.mean), ("input.std", spec.std)):
        if len(values) not in (1, channels):
            raise ValueError(f"{field} has {len(values)} numbers, wanted 1 or {channels}")
        if not all(abs(value) <= LARGEST for value in values):
            raise ValueError(f"{field} must be finite numbers, found {values}")
    if any(abs(value) < SMALLEST for value in spec.std):
        raise ValueError("input.std must not be 0")
    if spec.scale is not None and not SMALLEST <= spec.scale <= LARGEST:
        raise ValueError(f"input.scale must be a finite number above 0, found {spec.scale}")
    if abs(spec.zero_point) > LARGEST:
        raise ValueError(f"input.zero_point must be a stored value, found {spec.zero_point}")
    if spec.layout == "NT" or spec.dtype in ("int32", "int64"):
        raise ValueError(f"input is {spec.dtype} {spec.layout}, which is for texts; wanted [input.text] or a picture's")
    if spec.rows_per_run is not None and (spec.rows_per_run < 1 or (spec.height or 0) % spec.rows_per_run):
        raise ValueError(f"input.rows_per_run is {spec.rows_per_run}, wanted a divisor of input.height {spec.height}")
    if spec.layout == "NHW" and spec.color != "GRAY":
        raise ValueError(f"input.layout NHW has no room for {spec.color}, wanted color GRAY")
    if any(side is not None and not 1 <= side <= MAX_SIDE for side in (spec.width, spec.height)):
        raise ValueError(f"input size {spec.width}x{spec.height} is not between 1 and {MAX_SIDE}")


def _check_text(spec: InputSpec, rule: TextRule) -> None:
    if spec.layout != "NT" or spec.dtype not in ("uint8", "int32", "int64"):
        raise ValueError(
            f"input.text needs layout NT and dtype uint8, int32 or int64, found {spec.layout} and {spec.dtype}"
        )
    if not 1 <= rule.bytes_per_run <= MAX_BYTES_PER_RUN:
        raise ValueError(
            f"input.text.bytes_per_run must lie between 1 and {MAX_BYTES_PER_RUN}, found {rule.bytes_per_run}"
        )
    low, high = LIMITS[spec.dtype]
    if not low <= rule.padding <= high:
        raise ValueError(f"input.text.padding is {rule.padding}, {spec.dtype} holds {low:g} to {high:g}")
    told = {field: getattr(spec, field) for field in ("width", "height", "scale", "rows_per_run")}
    if any(value is not None for value in told.values()):
        raise ValueError(f"input.text goes with none of {', '.join(told)}; leave them out")


def _check_resize(spec: InputSpec) -> None:
    resize = spec.resize
    if resize.rule != "shortest-edge" and (not spec.width or not spec.height):
        raise ValueError(f"input.width and input.height are needed for resize rule {resize.rule}")
    if resize.rule in ("shortest-edge", "center-crop") and not resize.short_side:
        raise ValueError(f"input.resize.short_side is needed for resize rule {resize.rule}")
    if not 0 <= resize.pad_value <= 255:
        raise ValueError(f"input.resize.pad_value must lie between 0 and 255, found {resize.pad_value}")
    for field, most in (("short_side", MAX_SHORT_SIDE), ("long_side", MAX_SIDE), ("multiple", MAX_MULTIPLE)):
        side = getattr(resize, field)
        if side is not None and not 1 <= side <= most:
            raise ValueError(f"input.resize.{field} must lie between 1 and {most}, found {side}")
