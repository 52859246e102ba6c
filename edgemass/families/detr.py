"""Detection transformers: RT-DETR, D-FINE, DEIM, DEIMv2 with their post-processor in the graph; heads of DETR, RF-DETR.

With the post-processor: a second input takes a width and a height, and boxes come out in pixels of such a picture. It
is given the size of the model's picture, so that every resize rule finds its way back to the frame.
    Roles: labels [1, Q] or [Q], boxes [.., Q, 4] x1, y1, x2, y2, scores [.., Q].
Without: roles logits [1, Q, columns], boxes [1, Q, 4] centre x, centre y, width, height as fractions of the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._activations import Activation, find
from edgemass.families._candidates import above, detections, label_shift, observed_shape, picture_size
from edgemass.families._picture import IMAGENET, UNIT, Picture, color_picture, input_spec
from edgemass.graph import Graph
from edgemass.manifest import AuxiliaryInput, Manifest, Resize
from edgemass.tensors import Outputs, TensorInfo

_ATTENTION = frozenset(
    {"MatMul", "MatMulInteger", "QLinearMatMul", "Gemm", "Einsum", "BATCH_MATMUL", "FULLY_CONNECTED"}
)
_MOST_QUERIES = 1000  # DETR has 100, RT-DETR 300, DINO 900; dense heads have thousands of rows
_USUAL_SIDE = 640  # of RT-DETR, D-FINE and DEIM exports with free sides
_DETR_COLUMNS = 92  # COCO's ids 0 to 90 and "no object": facebookresearch/detr
_RF_DETR_COLUMNS = 91  # COCO's ids 0 to 90: roboflow/rf-detr


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """activation: of the logits; "softmax" has a last column for "no object".

    class_offset: the class number of the first label.
    """

    activation: Activation = "none"
    class_offset: int = 0


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None:
        return None
    others = [info for info in graph.inputs if info.name != picture.info.name]
    if len(others) == 1 and _is_size(others[0]):
        return _with_postprocessor(graph, picture, others[0])
    return None if others else _with_heads(graph, picture)


def _is_size(info: TensorInfo) -> bool:
    """A pair of numbers of the one picture: orig_target_sizes."""
    return info.shape in ((1, 2), (None, 2), (2,)) and info.dtype in ("int64", "int32", "float32")


def _sided(picture: Picture) -> tuple[Picture, tuple[str, ...]]:
    if picture.width is not None and picture.height is not None:
        return picture, ()
    sized = Picture(picture.info, picture.layout, _USUAL_SIDE, _USUAL_SIDE, picture.channels)
    return sized, (f"the picture's free size is {_USUAL_SIDE}x{_USUAL_SIDE}",)


def _with_postprocessor(graph: Graph, picture: Picture, size: TensorInfo) -> families.Recognition | None:
    roles = _roles(graph)
    if roles is None:
        return None
    picture, sized = _sided(picture)
    spec, assumed = input_spec(picture, UNIT, Resize())
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={role: (name,) for role, name in roles.items()},
        class_count=None,
        auxiliary_inputs=(
            AuxiliaryInput(
                name=size.name,
                role="input-size-wh",
                dtype=size.dtype,
                shape=tuple(1 if side is None else side for side in size.shape),
            ),
        ),
        assumed=(*assumed, *sized, f"input {size.name} takes width, height"),
        default_labels="coco80",
    )


def _roles(graph: Graph) -> dict[str, str] | None:
    boxes: list[str] = []
    columns: list[TensorInfo] = []
    for info in graph.outputs:
        shape = observed_shape(graph, info)
        if len(shape) in (2, 3) and shape[-1] == 4:
            boxes.append(info.name)
        elif len(shape) in (1, 2):
            columns.append(info)
    labels = [info.name for info in columns if info.dtype.startswith("int") or "label" in info.name.lower()]
    scores = [info.name for info in columns if info.name not in labels]
    if len(graph.outputs) != 3:
        return None
    if not boxes:  # all dimensions free and never run: names are all there is
        boxes = [info.name for info in columns if "box" in info.name.lower()]
        scores = [name for name in scores if name not in boxes]
    if len(boxes) != 1 or len(labels) != 1 or len(scores) != 1:
        return None
    return {"labels": labels[0], "boxes": boxes[0], "scores": scores[0]}


def _with_heads(graph: Graph, picture: Picture) -> families.Recognition | None:
    heads = _heads(graph)
    if heads is None or not graph.kinds() & _ATTENTION:
        return None
    logits, boxes, columns = heads
    if not _centres(graph, boxes):
        return None
    low, high = graph.observed_range(logits.name)
    options: dict[str, Any] = {"activation": "none" if low >= 0 and high <= 1 else "sigmoid", "class_offset": 0}
    recipe, classes = UNIT, columns
    if columns == _DETR_COLUMNS:
        options, recipe, classes = {"activation": "softmax", "class_offset": 1}, IMAGENET, 90
    elif columns == _RF_DETR_COLUMNS:
        options["class_offset"], recipe, classes = 1, IMAGENET, 90
    picture, sized = _sided(picture)
    spec, assumed = input_spec(picture, recipe, Resize())
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"logits": (logits.name,), "boxes": (boxes.name,)},
        class_count=classes,
        options=options,
        assumed=(
            *assumed,
            *sized,
            f"class scores: {options['activation']}, class {options['class_offset']} is the first",
        ),
        default_labels={90: "coco90", 80: "coco80", 20: "voc20"}.get(classes, ""),
    )


def _heads(graph: Graph) -> tuple[TensorInfo, TensorInfo, int] | None:
    """Logits, boxes, and how many columns logits have."""
    if len(graph.outputs) != 2:
        return None
    shapes = {info.name: observed_shape(graph, info) for info in graph.outputs}
    if any(len(shape) != 3 or shape[0] not in (1, None) or not shape[1] or not shape[2] for shape in shapes.values()):
        return None
    first, second = graph.outputs
    rows = shapes[first.name][1]
    if rows != shapes[second.name][1] or rows is None or rows > _MOST_QUERIES:
        return None
    both = shapes[first.name][2] == shapes[second.name][2] == 4
    swapped = "box" in first.name.lower() if both else shapes[first.name][2] == 4
    logits, boxes = (second, first) if swapped else (first, second)
    columns = shapes[logits.name][2]
    return (logits, boxes, columns) if shapes[boxes.name][2] == 4 and columns is not None else None


def _centres(graph: Graph, boxes: TensorInfo) -> bool:
    """A sigmoid made the boxes: all within 0 to 1."""
    if not graph.runs:
        producer = graph.producer(boxes.name)
        return producer is not None and producer.kind in ("Sigmoid", "LOGISTIC")
    low, high = graph.observed_range(boxes.name)
    return low >= 0 and high <= 1


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Decode with or without the graph's own post-processor, by the roles that the manifest fills.

    Raises:
        BundleError: boxes have another number of columns than 4, or labels do not fit the logits.
    """
    options = families.options(manifest, Options)
    boxes_info = families.role(manifest, outputs, "boxes")[0]
    if boxes_info.shape and boxes_info.shape[-1] not in (4, None):
        raise BundleError(f"{manifest.name}: boxes have shape {boxes_info.shape}, wanted [1, Q, 4] or [Q, 4]")
    if "logits" in manifest.output.tensors:
        return _prepare_heads(manifest, outputs, options)
    labels_info = families.role(manifest, outputs, "labels")[0]
    scores_info = families.role(manifest, outputs, "scores")[0]
    label_count = len(manifest.labels)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
        scores = outputs[scores_info.name].reshape(-1)
        rows = np.flatnonzero(above(scores, score_threshold))
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[boxes_info.name].reshape(-1, 4)
        labels = outputs[labels_info.name].reshape(-1)
        return detections(
            boxes.with_data(boxes.data[rows]).real(),
            scores.with_data(scores.data[rows]).real(),
            labels.data[rows].astype(np.int64) - options.class_offset,
            score_threshold=score_threshold,
            class_count=label_count,
        )

    return decode


def _prepare_heads(manifest: Manifest, outputs: Mapping[str, TensorInfo], options: Options) -> families.Decoder:
    logits_info = families.role(manifest, outputs, "logits")[0]
    boxes_info = families.role(manifest, outputs, "boxes")[0]
    background = -1 if options.activation == "softmax" else None
    spare = options.class_offset + (1 if background == -1 else 0)
    columns = (logits_info.shape[-1] if logits_info.shape else None) or len(manifest.labels) + spare
    shift = label_shift(manifest, columns - spare)
    width, height = picture_size(manifest)
    size = np.array([width, height], np.float32)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        logits = outputs[logits_info.name].reshape(-1, columns)
        rows, classes, score = find(
            logits,
            options.activation,
            background=background,
            score_threshold=score_threshold,
            multi_label=multi_label,
        )
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[boxes_info.name].reshape(-1, 4)
        cxcywh = boxes.with_data(boxes.data[rows]).real()
        centre, half = cxcywh[:, :2] * size, cxcywh[:, 2:] * (size * np.float32(0.5))
        return detections(
            np.concatenate([centre - half, centre + half], axis=1),
            score,
            # Below the offset is what was never trained; it must not come out under the background's label.
            np.where(classes < options.class_offset, -1, classes - options.class_offset + shift),
            score_threshold=score_threshold,
            class_count=len(manifest.labels),
        )

    return decode
