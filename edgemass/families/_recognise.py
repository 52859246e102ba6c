"""What the recognisers of picture detectors share: the picture, shapes of heads, and what the trial runs showed."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from edgemass.errors import BundleError
from edgemass.families._dense import Layout, cell_count
from edgemass.families._picture import Picture, Recipe, color_picture, input_spec
from edgemass.graph import Graph
from edgemass.manifest import InputSpec, Resize
from edgemass.tensors import AnyArray, FloatArray, TensorInfo

_PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Strides of the levels whose rows one head concatenates: P5, P6, P2 and tiny models."""

DEFAULT_SIDE = 640
"""Side of the picture where a graph leaves it free: what YOLOv5 and later are trained on."""

END_TO_END = (300, 6)
"""Rows and columns of Ultralytics' heads that need no NMS or have it in the graph: `max_det` of its exporter."""

FRACTION_LIMIT = 2.0
"""Most boxes stay below this as fractions of the picture, but not in pixels, for cells lie all over the picture."""


_WITHOUT_OBJECTNESS = ("yolo_v8",)

COARSEST_SCORE = 0.1
"""Steps of a quantized output beyond which it cannot tell scores apart."""


def picture(graph: Graph) -> Picture | None:
    """The colour picture that is the graph's only input; a size that is left free is that of the trial runs."""
    return picture_beside(graph, ()) if len(graph.inputs) == 1 else None


def picture_beside(graph: Graph, others: tuple[str, ...]) -> Picture | None:
    """The colour picture of a graph whose further inputs are all named in `others`."""
    found = color_picture(graph)
    if found is None or found.layout not in ("NCHW", "NHWC"):
        return None
    if any(info.name not in (found.info.name, *others) for info in graph.inputs):
        return None
    ran = graph.run_shapes.get(found.info.name, ())
    if len(ran) == 4:
        height, width = ran[2:] if found.layout == "NCHW" else ran[1:3]
        return replace(found, width=width, height=height)
    return found


def as_input(graph: Graph, image: Picture, recipe: Recipe, resize: Resize) -> tuple[InputSpec, tuple[str, ...]]:
    """The input as the family's recipe feeds it, and what of that is assumed."""
    spec, assumed = input_spec(image, recipe, resize)
    assumed = (*assumed, f"frames are resized by the rule {resize.rule} ({recipe.source})")
    if None not in image.info.shape[1:]:
        return spec, assumed
    height, width = _image_size(graph) or (DEFAULT_SIDE, DEFAULT_SIDE)
    spec = msgspec.structs.replace(spec, width=width, height=height)
    return spec, (*assumed, f"the graph takes pictures of any size; {width}x{height} is taken")


def _image_size(graph: Graph) -> tuple[int, int] | None:
    """Ultralytics' metadata `imgsz`: height and width."""
    try:
        found = ast.literal_eval(graph.metadata.get("imgsz", ""))
    except (ValueError, SyntaxError):
        return None
    sides = (found, found) if isinstance(found, int) else found
    if (
        isinstance(sides, list | tuple)
        and len(sides) == 2
        and all(isinstance(side, int) and side > 0 for side in sides)
    ):
        return int(sides[0]), int(sides[1])
    return None


def check_task(graph: Graph) -> None:
    """Refuse Ultralytics exports whose rows hold more than boxes.

    Raises:
        BundleError: the file's metadata names another task than detection.
    """
    task = graph.metadata.get("task", "detect")
    if task in ("segment", "pose", "obb"):
        raise BundleError(f"this model's task is {task!r}, wanted 'detect'; export a detection model")


@dataclass(frozen=True)
class Head:
    """One output [1, rows, columns] or transposed.

    per_cell: rows per cell of the pyramid with these strides; 0 where the number of rows fits no pyramid.
    """

    name: str
    rows: int
    columns: int
    layout: Layout
    per_cell: int
    strides: tuple[int, ...]


def only_head(graph: Graph, image: Picture) -> Head | None:
    """The graph's one output of rows, whose number fits the picture's cells.

    Raw feature maps beside it, which older exporters add, do not matter. Who names the family need not fit the cells.

    Raises:
        BundleError: a feature map of mask prototypes beside it: the model segments.
    """
    heads = [found for info in graph.outputs if (found := head(info, graph, image)) is not None]
    if len(heads) != 1 or not (heads[0].per_cell or graph.hints.family):
        return None
    others = [info for info in graph.outputs if info.name != heads[0].name]
    if any(len(info.shape) < 4 for info in others):
        return None
    check_task(graph)
    if any(len(info.shape) == 4 and 32 in (info.shape[1], info.shape[3]) for info in others):
        # YOLACT's 32 mask prototypes, as YOLOv5-seg and later have them.
        raise BundleError(
            "this model segments (an output of 32 mask prototypes), wanted detection; export a detection model"
        )
    return heads[0]


def head(info: TensorInfo, graph: Graph, image: Picture) -> Head | None:
    """An output of rows, in either layout; None for another kind of tensor."""
    shape = known_shape(info, graph)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 1) or min(shape) < 1:
        return None
    first, second = shape[-2:]
    if (first, second) == END_TO_END:  # a tiny pyramid of 320x192 pixels has 300 cells too, and is rare
        return Head(info.name, first, second, "NC", 0, ())
    layouts: tuple[tuple[int, int, Layout], ...] = ((second, first, "CN"), (first, second, "NC"))
    for rows, columns, layout in layouts:
        per_cell, strides = _fit(rows, image.width, image.height)
        if per_cell and columns >= 5:
            return Head(info.name, rows, columns, layout, per_cell, strides)
    layout = "NC" if first >= second else "CN"
    return Head(info.name, max(first, second), min(first, second), layout, 0, ())


def known_shape(info: TensorInfo, graph: Graph) -> tuple[int, ...]:
    """The shape, with free dimensions as the trial runs had them, else 0; a free batch is 1."""
    ran = graph.runs[0][info.name].data.shape if graph.runs and info.name in graph.runs[0] else ()
    observed = ran if len(ran) == len(info.shape) else (0,) * len(info.shape)
    shape = [size if size is not None else seen for size, seen in zip(info.shape, observed, strict=True)]
    if len(shape) > 2 and info.shape[0] is None:
        shape[0] = 1
    return tuple(shape)


def _fit(rows: int, width: int | None, height: int | None) -> tuple[int, tuple[int, ...]]:
    """Rows per cell and the strides of the pyramid; (0, ()) where none fits. A free picture is taken as a square."""
    if rows < 1:
        return 0, ()
    for strides in _PYRAMIDS:
        for per_cell in (1, 3):
            if width and height:
                fits = rows == per_cell * cell_count(width, height, strides)
            else:
                fits = _is_square(rows, per_cell, strides)
            if fits:
                return per_cell, strides
    return 0, ()


def _is_square(rows: int, per_cell: int, strides: tuple[int, ...]) -> bool:
    """Whether so many rows come from a square picture whose side is a multiple of the largest stride."""
    unit = per_cell * cell_count(strides[-1], strides[-1], strides)
    side = math.isqrt(rows // unit)
    return side >= 4 and side * side * unit == rows


def observed_rows(graph: Graph, found: Head) -> FloatArray:
    """Real values (k, columns) of all trial runs, one row after the other; no rows without runs."""
    parts = []
    for run in graph.runs:
        real = run[found.name].real()
        real = real.reshape(real.shape[-2:])
        parts.append(real if found.layout == "NC" else real.T)
    return np.concatenate(parts) if parts else np.empty((0, found.columns), np.float32)


def in_fractions(boxes: FloatArray, graph: Graph, output: str) -> tuple[bool, tuple[str, ...]]:
    """Whether decoded boxes are fractions of the picture, and what had to be assumed to say so.

    boxes: (k, 4) observed, k = 0 without runs. Quantized outputs tell by the range that their integers can express.

    Raises:
        BundleError: integers of one scale for pixels and probabilities, too coarse to hold the latter.
    """
    info = graph.output(output)
    if info.quantization is not None:
        limits = np.iinfo(info.dtype)
        if info.quantization.scale > COARSEST_SCORE:
            raise BundleError(
                f"output {output} has steps of {info.quantization.scale:g} for boxes and scores, so scores are lost; "
                "export boxes as fractions of the picture, or with float outputs"
            )
        return info.quantization.scale * (limits.max - limits.min) < 2 * FRACTION_LIMIT, ()
    if boxes.size:
        # Of most rows: coarse anchors make some boxes several times as large as the picture.
        return bool(np.nanmedian(np.nanmax(np.abs(boxes), axis=1)) < FRACTION_LIMIT), ()
    fractions = graph.format == "tflite"  # Ultralytics divides by the size for TensorFlow formats only
    return fractions, (
        f"boxes are {'fractions of the picture' if fractions else 'pixels'}, as this format's exporters do",
    )


def has_objectness(graph: Graph, found: Head) -> bool:
    """Whether column 4 is objectness (YOLOv5, v6, YOLOX) or the first class (YOLOv8), for one row per cell.

    A family asked for by name tells, then the labels in the file, then the layout in which each family is exported. Of
    transposed heads COCO's 80 classes tell, then sizes below 0, which only YOLOX has, then the number of labels given.
    """
    if graph.hints.family:
        return graph.hints.family not in _WITHOUT_OBJECTNESS
    if graph.labels and len(graph.labels) in (found.columns - 5, found.columns - 4):
        return len(graph.labels) == found.columns - 5
    if found.layout == "CN" or found.columns in (5, 84):
        return False
    rows = observed_rows(graph, found)
    if found.columns == 85 or (rows.size and np.nanmin(rows[:, 2:4]) < 0):
        return True
    return graph.hints.label_count != found.columns - 4


def are_probabilities(values: AnyArray, info: TensorInfo | None = None) -> bool:
    """Whether observed numbers could be applied activations.

    info: of the output they are from; its quantization may overshoot by a step.
    """
    slack = max(0.01, info.quantization.scale) if info is not None and info.quantization else 0.01
    return values.size > 0 and bool(np.nanmin(values) >= -slack) and bool(np.nanmax(values) <= 1 + slack)


def default_labels(class_count: int) -> str:
    """The data set that a model with so many classes is usually trained on."""
    return {80: "coco80", 20: "voc20"}.get(class_count, "")


def has_kind(graph: Graph, *kinds: str) -> bool:
    """Whether an operator occurs, whatever the format's spelling: `Softmax`, `SOFTMAX`."""
    wanted = {kind.replace("_", "").lower() for kind in kinds}
    return any(kind.replace("_", "").lower() in wanted for kind in graph.kinds())
