"""One small model of every family, without a file: its manifest, its outputs, and a backend that answers as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from edgemass.families import FAMILIES
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray, Outputs, Tensor, TensorInfo

CLASSES = 3
SIDE = 64
CELLS = 8 * 8 + 4 * 4 + 2 * 2  # of strides 8, 16 and 32


@dataclass(frozen=True)
class Model:
    manifest: Manifest
    outputs: tuple[TensorInfo, ...]


def _model(
    family: str,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    roles: Mapping[str, tuple[str, ...]] | None = None,
    options: Mapping[str, Any] | None = None,
    labels: int = CLASSES,
    nms: bool = True,
) -> Model:
    """shapes: of each output. roles: each output plays the role of its name unless told otherwise."""
    classifies = family.endswith("classifier")
    made = {
        "name": family,
        "task": "classification" if classifies else "detection",
        "labels": [f"label{i}" for i in range(labels)],
        "input": {"name": "image", "layout": "NCHW", "dtype": "float32", "width": SIDE, "height": SIDE},
        "output": {
            "family": family,
            "tensors": {key: list(names) for key, names in (roles or {name: (name,) for name in shapes}).items()},
            "options": dict(options or {}),
        }
        | ({"nms": {"iou": 0.5}} if nms and not classifies else {}),
        "variants": [
            {"name": "stock", "file": "model.onnx", "runtime": "onnx", "sha256": "0" * 64, "size_bytes": 1},
        ],
    }
    outputs = tuple(TensorInfo(name, shape, "float32") for name, shape in shapes.items())
    return Model(msgspec.convert(made, Manifest), outputs)


def _levels(name: str, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}{stride}": (1, (SIDE // stride) ** 2, columns) for stride in (8, 16, 32)}


def _maps(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}_map{stride}": (1, channels, SIDE // stride, SIDE // stride) for stride in (8, 16, 32)}


_FACE_ANCHORS = (SIDE // 8) ** 2 * 2 + (SIDE // 16) ** 2 * 6
_SSD_ANCHORS = 4 * 4 * 3 + (2 * 2 + 1 + 1 + 1 + 1) * 6
_DISTANCES = _levels("distance", 32)
_SCORES = _levels("class", CLASSES)
_DISTANCE_MAPS = _maps("distance", 4 * 16)
_SCORE_MAPS = _maps("class", CLASSES)
_BOX_MAPS = _maps("box", 4)
_OBJECTNESS_MAPS = _maps("objectness", 1)

MODELS = {
    "ssd_postprocessed": _model(
        "ssd_postprocessed", {"boxes": (1, 20, 4), "classes": (1, 20), "scores": (1, 20), "count": (1,)}, nms=False
    ),
    "ssd_raw": _model("ssd_raw", {"boxes": (1, _SSD_ANCHORS, 4), "scores": (1, _SSD_ANCHORS, CLASSES + 1)}),
    "ssd_rows": _model("ssd_rows", {"rows": (1, 1, 20, 7)}, nms=False),
    "ultraface": _model("ultraface", {"scores": (1, 50, CLASSES + 1), "boxes": (1, 50, 4)}),
    "blazeface": _model(
        "blazeface",
        {"regressors": (1, _FACE_ANCHORS, 16), "classificators": (1, _FACE_ANCHORS, 1)},
        options={"strides": [8, 16, 16, 16]},
        labels=1,
    ),
    "yolo_grid": _model(
        "yolo_grid",
        {"fine": (1, 3 * (5 + CLASSES), 4, 4), "coarse": (1, 3 * (5 + CLASSES), 2, 2)},
        roles={"heads": ("fine", "coarse")},
        options={"anchors": "yolov4-tiny", "strides": [16, 32]},
    ),
    "yolo_v5": _model("yolo_v5", {"output": (1, 3 * CELLS, 5 + CLASSES)}, options={"normalized": True}),
    "yolo_fastestv2": _model("yolo_fastestv2", {"out": (1, 4 * 4 + 2 * 2, 15 + CLASSES)}, roles={"levels": ("out",)}),
    "yolo_v8": _model("yolo_v8", {"output": (1, 4 + CLASSES, CELLS)}),
    "yolox": _model("yolox", {"output": (1, CELLS, 5 + CLASSES)}),
    "yolox, maps": _model(
        "yolox",
        {**_BOX_MAPS, **_OBJECTNESS_MAPS, **_SCORE_MAPS},
        roles={"boxes": tuple(_BOX_MAPS), "objectness": tuple(_OBJECTNESS_MAPS), "classes": tuple(_SCORE_MAPS)},
        options={"maps": True},
    ),
    "levels": _model(
        "levels",
        {**_SCORE_MAPS, **_DISTANCE_MAPS},
        roles={"classes": tuple(_SCORE_MAPS), "distances": tuple(_DISTANCE_MAPS)},
    ),
    "levels, end to end": _model(
        "levels",
        {**_SCORE_MAPS, **_BOX_MAPS},
        roles={"classes": tuple(_SCORE_MAPS), "distances": tuple(_BOX_MAPS)},
        options={"bins": 1, "end_to_end": True},
        nms=False,
    ),
    "fastestdet": _model("fastestdet", {"output": (1, 5 + CLASSES, 4, 4)}),
    "yolo_e2e": _model("yolo_e2e", {"output": (1, 30, 6)}, nms=False),
    "nanodet": _model(
        "nanodet", {**_SCORES, **_DISTANCES}, roles={"classes": tuple(_SCORES), "distances": tuple(_DISTANCES)}
    ),
    "detr": _model("detr", {"logits": (1, 30, CLASSES), "boxes": (1, 30, 4)}, options={"activation": "sigmoid"}),
    "detr, decoded": _model("detr", {"boxes": (1, 30, 4), "labels": (1, 30), "scores": (1, 30)}, nms=False),
    "faster_rcnn": _model("faster_rcnn", {"boxes": (20, 4), "labels": (20,), "scores": (20,)}, nms=False),
    "sequence_classifier": _model("sequence_classifier", {"scores": (1, CLASSES)}),
    "classifier": _model("classifier", {"scores": (1, CLASSES)}),
}
assert {model.manifest.output.family for model in MODELS.values()} == set(FAMILIES)


class EchoBackend:
    """Takes what the manifest feeds, answers `answer`; zeros where that has nothing."""

    name = requested = "echo/cpu"
    version = "0"

    def __init__(self, manifest: Manifest, outputs: tuple[TensorInfo, ...], answer: Outputs | None = None) -> None:
        spec = manifest.input
        axes = {"N": 1, "H": spec.height, "W": spec.width, "C": 1 if spec.color == "GRAY" else 3}
        self.inputs = (
            TensorInfo(spec.name, tuple(axes[axis] for axis in spec.layout), spec.dtype),
            *(TensorInfo(one.name, one.shape, one.dtype) for one in manifest.auxiliary_inputs),
            *(TensorInfo(one.input, one.shape, one.dtype) for one in manifest.state),
        )
        self.outputs = outputs
        self._answer = {info.name: zeros(info) for info in outputs} | dict(answer or {})

    def run(self, inputs: Mapping[str, AnyArray]) -> Outputs:
        for info in self.inputs:
            fed = inputs[info.name]
            assert fed.dtype == info.dtype
            assert len(fed.shape) == len(info.shape)
        return self._answer

    def close(self) -> None:
        pass


def zeros(info: TensorInfo) -> Tensor:
    return Tensor(np.zeros([side or 1 for side in info.shape], info.dtype), info.quantization)
