"""Model families: how raw outputs become boxes or classes, and how to recognise which family a graph is.

A family is one file with

    class Options(msgspec.Struct, ...)                      its part of the manifest, checked strictly
    def recognise(graph: Graph) -> Recognition | None       is this graph one of ours, and what does it need
    def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> Decoder
                                                            check shapes against the manifest once, precompute anchors

and a row in FAMILIES. Pure: NumPy and OpenCV, no runtime, no disk, no clock.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import msgspec

from edgemass.detections import Classification, Detections
from edgemass.errors import BundleError
from edgemass.graph import Graph
from edgemass.manifest import AuxiliaryInput, InputSpec, Manifest, Nms, StateTensor, Task
from edgemass.tensors import Outputs, TensorInfo

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


def load(name: str) -> Family:
    """The family's module.

    Raises:
        BundleError: no such family.
    """
    if name not in FAMILIES:
        raise BundleError(f"unknown model family {name!r}; known are {', '.join(FAMILIES)}")
    return cast("Family", importlib.import_module(FAMILIES[name]))


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
