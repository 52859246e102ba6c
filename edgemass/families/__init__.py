"""Model families: how raw outputs become boxes or classes, and how to recognise which family a graph is.

A family is one file with

    class Options(msgspec.Struct, ...)                      its part of the manifest, checked strictly
    def recognise(graph: Graph) -> Recognition | None       is this graph one of ours, and what does it need
    def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Decoder
                                                            check shapes against the manifest once, precompute anchors
    def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]
                                                            optional: how to read the head before its activations

and a row in FAMILIES. Pure: NumPy and OpenCV, no runtime, no disk, no clock.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import msgspec
import numpy as np

from edgemass.detections import Classification, Detections
from edgemass.errors import BackendError, BundleError
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import AuxiliaryInput, InputSpec, Manifest, Nms, OutputSpec, StateTensor, Task
from edgemass.tensors import Outputs, Tensor, TensorInfo

FAMILIES = {  # family -> the module that decodes it, imported when first asked for; recognised in this order
    "ssd_postprocessed": "edgemass.families.ssd_postprocessed",  # boxes come out of the graph: TFLite, TF API
    "ssd_raw": "edgemass.families.ssd_raw",  # box and class heads with anchors
    "ssd_rows": "edgemass.families.ssd_rows",  # [1, 1, N, 7] of Caffe and OpenVINO
    "ultraface": "edgemass.families.ultraface",
    "blazeface": "edgemass.families.blazeface",
    "yolo_grid": "edgemass.families.yolo_grid",  # v3, v4, tiny, Fastest: raw heads with anchors
    "yolo_v5": "edgemass.families.yolo_v5",  # one decoded head with objectness
    "yolo_fastestv2": "edgemass.families.yolo_fastestv2",
    "yolo_v8": "edgemass.families.yolo_v8",  # v8, v9, 11, 12: one decoded head without objectness
    "yolox": "edgemass.families.yolox",
    "fastestdet": "edgemass.families.fastestdet",
    "yolo_e2e": "edgemass.families.yolo_e2e",  # v10, 26: boxes come out without NMS
    "nanodet": "edgemass.families.nanodet",  # NanoDet and PicoDet
    "levels": "edgemass.families.levels",  # v8 to 26, NanoDet, PicoDet before their activations
    "detr": "edgemass.families.detr",
    "faster_rcnn": "edgemass.families.faster_rcnn",
    "sequence_classifier": "edgemass.families.sequence_classifier",
    "classifier": "edgemass.families.classifier",
}


class Decoder(Protocol):
    """Made by a family's `prepare` for one manifest and one variant."""

    def __call__(
        self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False
    ) -> Detections | Classification:
        """Decode one picture's outputs, before NMS.

        Detections are in pixels of the model's picture (InputSpec.width x height), every score > score_threshold,
        class_id an index into manifest.labels. Families that answer in pixels of the original frame say so by the
        attribute `frame_space = True` of their module.
        multi_label: several labels per box (as `eval` counts), not only the best one.
        """


@dataclass(frozen=True)
class Recognition:
    """A family's claim on a graph: everything of a manifest but names, labels and files.

    class_count: labels that the outputs have room for, background not counted; None when the shape does not tell.
    options: the family's Options as plain builtins.
    assumed: one sentence for each thing taken from the family's published recipe and not from the graph.
    default_labels: "coco80", "coco91", "voc20", "face", ... (labels that this export is published with), or "".
    questions: option name -> choices, for what neither graph nor family decides; not empty = cannot be imported without
        `--set name=value`.
    score: default score threshold for `run`.
    """

    task: Task
    input: InputSpec
    tensors: dict[str, tuple[str, ...]]
    class_count: int | None
    options: dict[str, Any] = field(default_factory=dict)
    nms: Nms | None = None
    auxiliary_inputs: tuple[AuxiliaryInput, ...] = ()
    state: tuple[StateTensor, ...] = ()
    assumed: tuple[str, ...] = ()
    default_labels: str = ""
    questions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    score: float = 0.4


class Family(Protocol):
    """What a module of FAMILIES offers."""

    Options: type[msgspec.Struct]

    def recognise(self, graph: Graph) -> Recognition | None: ...

    def prepare(self, manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Decoder: ...


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    """How a head is read that was cut off behind its last convolutions, best guess first: whoever cuts tries them out.

    Empty where the family does not know these maps.
    """
    ways: Callable[[Manifest, Sequence[FeatureMap]], Sequence[OutputSpec]] | None = getattr(
        load(manifest.output.family), "cut", None
    )
    return ways(manifest, maps) if ways is not None and maps else ()


def load(name: str) -> Family:
    """The family's module.

    Raises:
        BundleError: no such family.
    """
    if name not in FAMILIES:
        raise BundleError(f"unknown model family {name!r}; known are {', '.join(FAMILIES)}")
    return cast("Family", importlib.import_module(FAMILIES[name]))


# What arithmetic with hostile numbers and arrays of hostile shapes raises.
_ARITHMETIC = (ArithmeticError, AssertionError, LookupError, TypeError, ValueError, MemoryError)
_REASONABLE_SCALE = (1e-30, 1e30)
_MAX_NUMBERS = 64 * 1024 * 1024  # of one output: 256 MB as float32


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Decoder:
    """The manifest's family, prepared; the way in for all but the family's own tests.

    What the decoder gives is finite and its scores are at most 1, whatever the model answers.

    Raises:
        BundleError: the tensors do not fit the manifest, or its options cannot be computed with.
    """
    family = load(manifest.output.family)
    _check_outputs(manifest, outputs)
    try:
        with np.errstate(all="ignore"):
            decode = family.prepare(manifest, outputs)
            _try_out(decode, outputs)
    except _ARITHMETIC as error:
        raise BundleError(
            f"{manifest.name}: output.tensors and output.options do not fit the file for family "
            f"{manifest.output.family} ({_reason(error)}); import the file again"
        ) from error

    def guarded(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections | Classification:
        try:
            with np.errstate(all="ignore"):  # what is not finite is dropped
                found = decode(outputs, score_threshold=score_threshold, multi_label=multi_label)
                return _in_range(found, score_threshold, len(manifest.labels))
        except _ARITHMETIC as error:
            raise BackendError(
                f"{manifest.name}: the model answered with other shapes than the file promises ({_reason(error)})"
            ) from error

    return guarded


def _check_outputs(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> None:
    for name in {name for names in manifest.output.tensors.values() for name in names} & outputs.keys():
        info = outputs[name]
        if math.prod(side or 1 for side in info.shape) > _MAX_NUMBERS:
            raise BundleError(f"{manifest.name}: output {name} has shape {list(info.shape)}, more than memory can hold")
        if info.dtype not in _NUMBERS:
            raise BundleError(f"{manifest.name}: output {name} is {info.dtype}, wanted one of {', '.join(_NUMBERS)}")
        scale = 1.0 if info.quantization is None else info.quantization.scale
        if not _REASONABLE_SCALE[0] <= scale <= _REASONABLE_SCALE[1]:
            raise BundleError(f"{manifest.name}: output {name} has a quantization scale of {scale}; it is damaged")


_NUMBERS = ("float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


def _try_out(decode: Decoder, outputs: Mapping[str, TensorInfo]) -> None:
    """Decode an answer in which every candidate passes, so that shapes that disagree show before the first frame."""
    if any(None in info.shape or info.dtype not in _NUMBERS for info in outputs.values()):
        return
    answer: dict[str, Tensor] = {}
    for name, info in outputs.items():
        high = np.iinfo(info.dtype).max if info.dtype[0] in "ui" else 1
        answer[name] = Tensor(np.full([side or 0 for side in info.shape], high, info.dtype), info.quantization)
    decode(answer, score_threshold=0.0)


def _in_range(found: Detections | Classification, threshold: float, label_count: int) -> Detections | Classification:
    """Only what has a label and a finite score; scores that rounding of integers left above 1 are 1."""
    score, class_id = found.score, found.class_id
    # NaN fails the first comparison.
    if not len(score) or (score.max() <= 1 and class_id.min() >= 0 and class_id.max() < label_count):
        return found
    limited = np.minimum(score, np.float32(1))
    good = np.isfinite(score) & (limited > threshold) & (class_id >= 0) & (class_id < label_count)
    if isinstance(found, Classification):
        return Classification(limited[good], class_id[good])
    return Detections(found.xyxy[good], limited[good], class_id[good])


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:200]


_Options = TypeVar("_Options", bound=msgspec.Struct)


def options(manifest: Manifest, kind: type[_Options]) -> _Options:
    """The family's own table of the manifest, checked.

    Raises:
        BundleError: an unknown key, a missing one, or a wrong type.
    """
    try:
        return msgspec.convert(manifest.output.options, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BundleError(f"{manifest.name}: output.options of family {manifest.output.family}: {error}") from error


def role(manifest: Manifest, outputs: Mapping[str, TensorInfo], name: str) -> tuple[TensorInfo, ...]:
    """The output tensors that play a role, as the runtime reports them.

    Raises:
        BundleError: the manifest does not fill the role, or the file has no such output.
    """
    names = manifest.output.tensors.get(name, ())
    if not names:
        raise BundleError(f"{manifest.name}: output.tensors has no {name!r}, family {manifest.output.family} needs it")
    missing = [tensor for tensor in names if tensor not in outputs]
    if missing:
        raise BundleError(f"{manifest.name}: no output named {missing[0]!r}, the file has {', '.join(outputs)}")
    return tuple(outputs[tensor] for tensor in names)


def check_labels(manifest: Manifest, class_count: int) -> None:
    """Refuse labels that do not fit the tensors.

    Raises:
        BundleError: another number of labels than classes.
    """
    if len(manifest.labels) != class_count:
        raise BundleError(
            f"{manifest.name}: {len(manifest.labels)} labels, but the output has room for {class_count} classes; "
            "give one label per class, without background"
        )
