"""A model bundle's manifest: all that one must know to feed a model and read its answer, so that nothing is guessed.

`manifest.toml` while a person writes it, canonical JSON on the wire. People get strict: an unknown key is an error.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from edgemass.errors import BundleError

SCHEMA = "edgemass.manifest/1"

FILE = "manifest.toml"
MAX_SIDE = 8192  # pixels of the model's picture
MAX_FILE_NAME = 255  # bytes, of every file system that we know
MAX_SHORT_SIDE = 4096
MAX_MULTIPLE = 1024
MAX_DETECTIONS = 1000
MAX_ELEMENTS = 16 * 1024 * 1024  # of a state or constant: 64 MB as float32
MAX_RANK = 8
MAX_BYTES_PER_RUN = 65536  # of a text
SMALLEST, LARGEST = 1e-12, 1e9  # of what scales pixels
_LIMITS: dict[str, tuple[float, float]] = {  # dtype of a state or further input -> the values that it holds
    "bool": (0, 1),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2.0**31), 2.0**31 - 1),
    "int64": (-(2.0**63), 2.0**63 - 1024),  # the largest double below 2^63
    "float16": (-65504, 65504),
    "float32": (-3.4e38, 3.4e38),
    "float64": (-1.79e308, 1.79e308),
}
_MAX_DEPTH = 64
# A key of many parts; tomllib takes quadratic time for them, and no manifest nests as deep.
_DEEP_KEY = re.compile(
    rb"""(?:(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){%d}""" % _MAX_DEPTH
)

_SHA256 = re.compile(r"[0-9a-f]{64}")

Task = Literal["detection", "classification"]
ResizeRule = Literal["stretch", "letterbox", "letterbox-top-left", "center-crop", "shortest-edge"]
Layout = Literal["NHWC", "NCHW", "CHW", "HWC", "NHW", "NT"]
ColorOrder = Literal["RGB", "BGR", "GRAY"]
RuntimeName = Literal["onnx", "tflite"]


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


class AuxiliaryInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A further input that is no picture and no state.

    role: `frame-size-wh`/`frame-size-hw`: size of the original frame in pixels; `input-size-wh`/`input-size-hw`: of the
        model's picture; `scale-factor-yx`: resize factor (height, width); `constant`: `value` every time.
    """

    name: str
    role: Literal["frame-size-wh", "frame-size-hw", "input-size-wh", "input-size-hw", "scale-factor-yx", "constant"]
    dtype: str = "int64"
    shape: tuple[int, ...] = (1, 2)
    value: float = 0.0


class StateTensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor that a camera's stream carries from one run to the next; its first value is `initial` everywhere.

    Frames follow each other in it, unless one frame takes several runs (see InputSpec): then each begins anew.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: str
    initial: float = 0.0


class Nms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Non-maximum suppression over one class at a time (or over all with `class_agnostic`)."""

    iou: float = 0.6
    class_agnostic: bool = False
    max_detections: int = 100


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The answer.

    family: a row of FAMILIES.
    tensors: role -> names of output tensors, as the family defines its roles; levels in the order of `options.strides`.
    options: the family's own table; its file declares and checks it.
    nms: None where the graph or the family leaves at most one box per object.
    """

    family: str
    tensors: dict[str, tuple[str, ...]]
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    nms: Nms | None = None


class Accuracy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `edgemass eval` said of a variant, with its words.

    data: which pictures or texts. images: how many of them.
    """

    data: str
    images: int
    map_50_95: float | None = None
    map_50: float | None = None
    top1: float | None = None
    top5: float | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model file of the bundle.

    file: name in the bundle's folder, no path.
    precision: "fp32", "fp16", "int8", ...
    measured_ms: board -> median latency of a run.
    address: https://... of exactly this file, where `edgemass model pull` gets it; empty when it comes with the bundle.
    made_from: name of the variant that this one was rewritten or quantized from; empty for the stock file.
    input, output: where they differ from the manifest's own, as those of a rewritten graph do.
    accuracy: measured with this variant; the manifest's own is that of the reference variant.
    """

    name: str
    file: str
    runtime: RuntimeName
    sha256: str
    size_bytes: int
    precision: str = "fp32"
    targets: tuple[str, ...] = ()
    measured_ms: dict[str, float] = msgspec.field(default_factory=dict)
    address: str = ""
    made_from: str = ""
    input: InputSpec | None = None
    output: OutputSpec | None = None
    accuracy: tuple[Accuracy, ...] = ()


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A picture of the bundle, or a text, with what the reference variant finds in it.

    image: a file beside the manifest; or text: what is read.
    sha256, size_bytes: of the picture's file; without them it stays behind when the bundle is published.
    """

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    image: str = ""
    text: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    score_tolerance: float = 0.05
    iou_tolerance: float = 0.9
    sha256: str = ""
    size_bytes: int = 0


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file for people that comes with the bundle, such as card.md."""

    file: str
    sha256: str
    size_bytes: int


class Needs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    ram_bytes: int | None = None
    accelerator: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """See the module.

    release: integer that "older" compares; version is for people.
    score: default score threshold of `run`.
    assumed: what the importer took from the family's published recipe instead of the graph, one sentence each.
    """

    name: str
    task: Task
    labels: tuple[str, ...]
    input: InputSpec
    output: OutputSpec
    variants: tuple[Variant, ...]
    schema: str = SCHEMA
    version: str = "0"
    release: int = 0
    score: float = 0.4
    auxiliary_inputs: tuple[AuxiliaryInput, ...] = ()
    state: tuple[StateTensor, ...] = ()
    golden: tuple[Golden, ...] = ()
    documents: tuple[Document, ...] = ()
    needs: Needs = Needs()
    licence: str = "unknown"
    source: str = ""
    accuracy: tuple[Accuracy, ...] = ()
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    @property
    def reference(self) -> Variant:
        """The stock file; it comes first."""
        return self.variants[0]

    def of(self, variant: Variant) -> Manifest:
        """This manifest as one of its variants answers: its own input and output where it has them."""
        if variant.input is None and variant.output is None:
            return self
        return msgspec.structs.replace(self, input=variant.input or self.input, output=variant.output or self.output)


def _check(manifest: Manifest) -> None:
    """Refuse what msgspec's types cannot: relations between fields.

    Raises:
        ValueError: msgspec turns it into a ValidationError that names the place.
    """
    for spec in (manifest.input, *(variant.input for variant in manifest.variants if variant.input)):
        if spec.text is not None:
            _check_text(spec, spec.text)
        else:
            _check_input(spec)
            _check_resize(spec)
        if spec.in_parts:
            _check_parts(manifest, spec)
    for item in manifest.auxiliary_inputs:
        _check_auxiliary(item)
    for pair in manifest.state:
        _check_tensor(f"state {pair.input}", pair.dtype, pair.shape, pair.initial)
    _check_variants(manifest.variants)
    _check_files(manifest)
    if not manifest.labels:
        raise ValueError("labels is empty")
    if not 0 <= manifest.score <= 1:
        raise ValueError(f"score must lie between 0 and 1, found {manifest.score}")
    for output in (manifest.output, *(variant.output for variant in manifest.variants if variant.output)):
        _check_nms(output.nms)
    for field, value in msgspec.structs.asdict(manifest).items():
        _check_plain(field, value)


def _check_variants(variants: tuple[Variant, ...]) -> None:
    if not variants:
        raise ValueError("variants is empty, wanted at least the stock file")
    if variants[0].input is not None or variants[0].output is not None:
        raise ValueError(f"variants: {variants[0].name} comes first, so its input and output are the manifest's own")
    names = [variant.name for variant in variants]
    for variant in variants:
        if names.count(variant.name) > 1:
            raise ValueError(f"variants: two are named {variant.name!r}; give each a name of its own")


def _check_files(manifest: Manifest) -> None:
    """Every file lies in the bundle's own folder, under a name of its own; golden samples may share a picture."""
    pictures = {item.image: ("golden", item.image, item.sha256) for item in manifest.golden if item.image}
    files = [("variants", item.file, item.sha256) for item in manifest.variants]
    files += [("documents", item.file, item.sha256) for item in manifest.documents]
    files += pictures.values()
    names = [name for _, name, _ in files]
    for where, name, sha256 in files:
        plain = Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
        if not plain or len(name.encode(errors="replace")) > MAX_FILE_NAME:
            raise ValueError(f"{where}: file {name!r} must be a plain file name inside the bundle's folder")
        if name == FILE or (where != "variants" and names.count(name) > 1):
            raise ValueError(f"{where}: file {name!r} is taken; give each file a name of its own")
        if not (_SHA256.fullmatch(sha256) or (where != "documents" and not sha256)):
            raise ValueError(f"{where}: sha256 of {name} must be 64 hexadecimal digits, found {sha256[:80]!r}")


def _check_nms(nms: Nms | None) -> None:
    if nms is not None and not (0 <= nms.iou <= 1 and 1 <= nms.max_detections <= MAX_DETECTIONS):
        raise ValueError(
            f"output.nms: iou must lie between 0 and 1 and max_detections between 1 and {MAX_DETECTIONS}, found "
            f"{nms.iou} and {nms.max_detections}"
        )


def _check_input(spec: InputSpec) -> None:
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
    low, high = _LIMITS[spec.dtype]
    if not low <= rule.padding <= high:
        raise ValueError(f"input.text.padding is {rule.padding}, {spec.dtype} holds {low:g} to {high:g}")
    told = {field: getattr(spec, field) for field in ("width", "height", "scale", "rows_per_run")}
    if any(value is not None for value in told.values()):
        raise ValueError(f"input.text goes with none of {', '.join(told)}; leave them out")


def _check_parts(manifest: Manifest, spec: InputSpec) -> None:
    """A frame that takes several runs: only a state can tell a run of those before it."""
    key = "text" if spec.text is not None else "rows_per_run"
    if manifest.task != "classification" or manifest.auxiliary_inputs:
        raise ValueError(f"input.{key} is for classification without auxiliary inputs")
    if not manifest.state:
        raise ValueError(f"state is empty, but with input.{key} a run has to know of those before; name its tensors")


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


def _check_auxiliary(item: AuxiliaryInput) -> None:
    _check_tensor(f"auxiliary input {item.name}", item.dtype, item.shape, item.value)
    if item.role == "constant":
        return
    if math.prod(item.shape) != 2:
        raise ValueError(f"auxiliary input {item.name} has shape {list(item.shape)}, {item.role} is two numbers")
    if item.dtype in ("bool", "int8", "uint8"):
        raise ValueError(f"auxiliary input {item.name} is {item.dtype}, which has no room for {item.role}")


def _check_tensor(what: str, dtype: str, shape: tuple[int, ...], value: float) -> None:
    """An input that is made before the model runs: its size in memory, and that its value can be stored."""
    if dtype not in _LIMITS:
        raise ValueError(f"{what} is {dtype!r}, known are {', '.join(_LIMITS)}")
    if not all(1 <= side <= MAX_ELEMENTS for side in shape) or math.prod(shape) > MAX_ELEMENTS or len(shape) > MAX_RANK:
        raise ValueError(
            f"{what} has shape {list(shape[:MAX_RANK])}, wanted sides from 1, at most {MAX_ELEMENTS} in all"
        )
    low, high = _LIMITS[dtype]
    if not low <= value <= high:
        raise ValueError(f"{what} begins with {value}, {dtype} holds {low:g} to {high:g}")


def _check_plain(where: str, value: object) -> None:
    """Refuse what canonical JSON cannot hold: NaN, infinities, integers beyond 64 bits, dates."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        for key, item in value.items():
            _check_plain(f"{where}.{key}", item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_plain(where, item)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} must be finite, found {value}")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"{where} must fit into 64 bits")
    elif not (value is None or isinstance(value, str)):
        raise ValueError(f"{where} must be a number, a text or a list of them, found {type(value).__name__}")


def from_toml(text: bytes, *, where: str) -> Manifest:
    """Parse `manifest.toml`.

    where: what the error names, usually the file's path.

    Raises:
        BundleError: not TOML, an unknown or missing key, or fields that contradict each other.
    """
    if _DEEP_KEY.search(text):
        raise BundleError(f"{where}: a key has more than {_MAX_DEPTH} parts; wanted a manifest")
    try:
        return msgspec.toml.decode(text, type=Manifest)
    except RecursionError as error:
        raise BundleError(f"{where}: it is nested too deeply; wanted a manifest") from error
    except ValueError as error:  # msgspec's errors, UTF-8's, and Python's about a number of thousands of digits
        raise BundleError(f"{where}: {error}; compare with the manifest that `edgemass model import` writes") from error


def to_json(manifest: Manifest) -> bytes:
    """Canonical JSON: keys sorted, no spaces, so that equal manifests have equal digests."""
    return msgspec.json.encode(manifest, order="deterministic")


def from_json(data: bytes, *, where: str) -> Manifest:
    """Parse the canonical JSON.

    Raises:
        BundleError: as `from_toml`.
    """
    try:
        return msgspec.json.decode(data, type=Manifest)
    except RecursionError as error:
        raise BundleError(f"{where}: it is nested too deeply; wanted a manifest") from error
    except ValueError as error:
        raise BundleError(f"{where}: {error}") from error


def to_toml(manifest: Manifest) -> bytes:
    """The manifest as a person edits it."""
    return msgspec.toml.encode(manifest)
