"""SSD detectors with suppression in the graph: TFLite_Detection_PostProcess, TensorFlow's object detection API, SSD-12.

Roles: boxes [1, N, 4] as fractions of the picture, classes [1, N], scores [1, N], and mostly count [1], the valid rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._candidates import above, detections, label_shift, names_background, observed_shape, picture_size
from edgemass.families._picture import IMAGENET, SYMMETRIC, Picture, Recipe, color_picture, input_spec
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Resize, StateTensor
from edgemass.tensors import FloatArray, Outputs, TensorInfo

_OPERATOR = "TFLite_Detection_PostProcess"
_FARTHEST = 4.0  # boxes of the made-up pictures may lie outside, but fractions never reach far; pixels do
_FREE_SIDE = 640  # for graphs that resize the picture themselves


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """box_order: of the four columns of boxes.

    class_offset: the class number of the first label: 0 from TFLite_Detection_PostProcess, 1 where 0 is the background.
    class_count: classes of the graph, background not counted; None where the graph does not tell.
    """

    box_order: Literal["yxyx", "xyxy"] = "yxyx"
    class_offset: int = 0
    class_count: int | None = None


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None:
        return None
    state = pair_state(graph)
    if {info.name for info in graph.inputs} - {pair.input for pair in state} != {picture.info.name}:
        return None
    roles = _roles(graph, state)
    if roles is None or not _fractions(graph, roles["boxes"]):
        return None
    options, default_labels, assumed = _classes(graph, roles)
    spec, fed = input_spec(*_sized(picture, options["box_order"]))
    if picture.width is None or picture.height is None:
        fed = (*fed, f"the graph resizes pictures itself and is given {spec.width}x{spec.height}")
    count = options["class_count"]
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={role: (name,) for role, name in roles.items()},
        # COCO's 90 ids are named by 90 lines, or by 91 with the background first: `prepare` tells them apart.
        class_count=count if count != 90 else None,
        options={key: value for key, value in options.items() if value is not None},
        state=state,
        assumed=(*fed, *assumed),
        default_labels=default_labels,
    )


def _sized(picture: Picture, box_order: str) -> tuple[Picture, Recipe, Resize]:
    sized = Picture(
        picture.info, picture.layout, picture.width or _FREE_SIDE, picture.height or _FREE_SIDE, picture.channels
    )
    # The ONNX zoo's SSD comes from PyTorch (its page gives ImageNet's mean and std), all others from TensorFlow.
    return sized, (IMAGENET if box_order == "xyxy" else SYMMETRIC), Resize()


def _roles(graph: Graph, state: tuple[StateTensor, ...]) -> dict[str, str] | None:
    carried = {pair.output for pair in state}
    answers = [info for info in graph.outputs if info.name not in carried]
    return _roles_by_operator(graph, answers) or _roles_by_name(answers) or _roles_by_shape(graph, answers)


def _roles_by_operator(graph: Graph, answers: list[TensorInfo]) -> dict[str, str] | None:
    """The operator's own order of outputs; exporters permute only the file's."""
    names = {info.name for info in answers}
    for node in graph.nodes:
        if node.kind == _OPERATOR and len(node.outputs) >= 4 and names >= set(node.outputs[:4]):
            return dict(zip(("boxes", "classes", "scores", "count"), node.outputs, strict=False))
    return None


def _roles_by_name(answers: list[TensorInfo]) -> dict[str, str] | None:
    """The signature of TensorFlow's object detection API; it may add raw_detection_boxes and the like."""
    wanted = {
        "boxes": "detection_boxes",
        "classes": "detection_classes",
        "scores": "detection_scores",
        "count": "num_detections",
    }
    plain = {info.name.split(":")[0].rsplit("/", 1)[-1]: info.name for info in answers}
    roles = {role: plain[name] for role, name in wanted.items() if name in plain}
    return roles if {"boxes", "classes", "scores"} <= roles.keys() else None


def _roles_by_shape(graph: Graph, answers: list[TensorInfo]) -> dict[str, str] | None:
    boxes: list[str] = []
    columns: list[TensorInfo] = []
    counts: list[str] = []
    for info in answers:
        shape = observed_shape(graph, info)
        if len(shape) == 3 and shape[0] in (1, None) and shape[2] == 4:
            boxes.append(info.name)
        elif len(shape) == 2 and shape[0] in (1, None):
            columns.append(info)
        elif shape == (1,):
            counts.append(info.name)
        else:
            return None
    if len(boxes) != 1 or len(columns) != 2 or len(counts) > 1:
        return None
    first, second = columns
    swapped = _classiness(graph, second) > _classiness(graph, first)
    classes, scores = (second, first) if swapped else (first, second)
    roles = {"boxes": boxes[0], "classes": classes.name, "scores": scores.name}
    return roles | ({"count": counts[0]} if counts else {})


def _classiness(graph: Graph, info: TensorInfo) -> int:
    """How much a column looks like class numbers and not scores; equals keep the operator's order, classes first."""
    name = info.name.lower()
    points = 8 if info.dtype.startswith(("int", "uint")) and info.quantization is None else 0
    points += 2 * any(word in name for word in ("class", "label", "categor"))
    points -= 2 * any(word in name for word in ("score", "conf", "prob"))
    values = (
        np.concatenate([run[info.name].real().ravel() for run in graph.runs]) if graph.runs else np.empty(0, np.float32)
    )
    values = values[np.isfinite(values)]
    if values.size and (values % 1 != 0).any():
        points -= 4
    elif values.size and values.max() > 1:
        points += 4
    return points


def _fractions(graph: Graph, boxes: str) -> bool:
    low, high = graph.observed_range(boxes)
    return not (high > _FARTHEST or low < -_FARTHEST)


def _classes(graph: Graph, roles: Mapping[str, str]) -> tuple[dict[str, Any], str, tuple[str, ...]]:
    """Options, default labels, and what was assumed of them."""
    classes = graph.output(roles["classes"])
    if classes.dtype.startswith("int"):  # SSD of the ONNX zoo: PyTorch's box order, COCO's 80 classes without gaps
        return (
            {"box_order": "xyxy", "class_offset": 1, "class_count": None},
            "coco80",
            ("integer labels: boxes are x1,y1,x2,y2 and class 0 is the background, as SSD of the ONNX model zoo",),
        )
    named = "detection_classes" in roles["classes"]
    offset = 1 if named else 0
    count = _declared_classes(graph)
    highest = graph.observed_range(roles["classes"])[1]
    if count is None and highest - offset >= 80 and highest - offset < 90:
        count = 90  # only COCO's ids with gaps reach these numbers
    default = {90: "coco90", 80: "coco80"}.get(count or 0, "coco90" if named else "")
    assumed = (f"class {offset} is the first label",) if count is None else ()
    return {"box_order": "yxyx", "class_offset": offset, "class_count": count}, default, assumed


def _declared_classes(graph: Graph) -> int | None:
    for node in graph.nodes:
        declared = node.attributes.get("num_classes") if node.kind == _OPERATOR else None
        if isinstance(declared, int) and declared > 0:
            return declared
    for info in graph.outputs:  # one column per class and one for the background
        columns = info.shape[-1] if len(info.shape) == 3 else None
        if "raw_detection_scores" in info.name and columns is not None and columns > 1:
            return columns - 1
    return None


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Find out where the labels begin.

    Raises:
        BundleError: shapes do not belong together, or labels do not fit the graph's classes.
    """
    options = families.options(manifest, Options)
    infos = {role: families.role(manifest, outputs, role)[0] for role in ("boxes", "classes", "scores")}
    count_name = families.role(manifest, outputs, "count")[0].name if "count" in manifest.output.tensors else None
    if infos["boxes"].shape and infos["boxes"].shape[-1] not in (4, None):
        raise BundleError(f"{manifest.name}: boxes have shape {infos['boxes'].shape}, wanted [1, N, 4]")
    shift = _label_shift(manifest, options) - options.class_offset
    width, height = picture_size(manifest)
    columns = [1, 0, 3, 2] if options.box_order == "yxyx" else [0, 1, 2, 3]
    size = np.array([width, height, width, height], np.float32)
    label_count = len(manifest.labels)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
        scores = outputs[infos["scores"].name].reshape(-1)
        valid = above(scores, score_threshold)
        if count_name is not None:
            valid = valid[: _whole(outputs[count_name].real())]
        rows = np.flatnonzero(valid)
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[infos["boxes"].name].reshape(-1, 4)
        xyxy = boxes.with_data(boxes.data[rows]).real()[:, columns] * size
        classes = outputs[infos["classes"].name].reshape(-1)
        number = classes.with_data(classes.data[rows]).real()
        class_id = np.rint(np.where(np.isfinite(number), number, -1e6)).astype(np.int64) + shift
        return detections(
            xyxy,
            scores.with_data(scores.data[rows]).real(),
            class_id,
            score_threshold=score_threshold,
            class_count=label_count,
        )

    return decode


def _whole(count: FloatArray) -> int:
    value = float(count.reshape(-1)[0])
    return max(0, int(value)) if np.isfinite(value) else 0


def _label_shift(manifest: Manifest, options: Options) -> int:
    """1 where the labels name the background first, else 0.

    Raises:
        BundleError: labels that do not fit, or that would silently name every class after a gap wrongly.
    """
    labels = manifest.labels
    count = options.class_count
    if count is None:
        if len(labels) == 80 and labels[-1] == "toothbrush" and options.box_order == "yxyx":
            raise BundleError(
                f"{manifest.name}: 80 COCO labels without gaps, but this kind of export numbers COCO's classes 0 to 89;"
                " give 90 labels with ??? for unused ids, or --set class_count=80 if the graph really has 80 classes"
            )
        return int(names_background(labels))
    if count == 90 and len(labels) == 80:
        raise BundleError(
            f"{manifest.name}: 80 labels, but the graph has COCO's 90 ids with gaps; give 90 labels with ??? for the "
            "10 unused ids, or 91 with the background first"
        )
    return label_shift(manifest, count)
