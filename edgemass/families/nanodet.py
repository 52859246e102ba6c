"""NanoDet, NanoDet-Plus and PicoDet: distances from a point to the four sides, each a distribution over bins.

levels: per stride one tensor of classes [1, cells, classes] and one of distances [1, cells, 4 x bins] (older NanoDet,
PicoDet), or both side by side in one tensor of all levels [1, cells, classes + 4 x bins] (NanoDet-Plus).
decoded: boxes [1, cells, 4] as corners in pixels and scores [1, classes, cells] (PicoDet exported with its
post-processing, without NMS).
distance = sum(softmax(bins) x 0, 1, 2, ...) x stride, from the point (cell + centre) x stride, where centre is 0.5 in
NanoDet and PicoDet, 0 in NanoDet-Plus. Source: `get_single_level_center_point` in nanodet/model/head/gfl_head.py and
`get_single_level_center_priors` in nanodet_plus_head.py, RangiLyu/nanodet; `PicoHead` in
ppdet/modeling/heads/pico_head.py and its configurations' `cell_offset`, PaddlePaddle/PaddleDetection. Preprocessing:
their configurations (NanoDet `keep_ratio: True`, NanoDet-Plus `False`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._candidates import picture_size
from edgemass.families._dense import finish, level_sizes, pick, rows_by_columns
from edgemass.families._levels import LevelsDecoder, Points, by_level, cut_pairs
from edgemass.families._picture import Picture, Recipe
from edgemass.families.yolox import grid_of
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import AuxiliaryInput, Manifest, Nms, OutputSpec, Resize
from edgemass.tensors import Outputs, TensorInfo

PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64))
USUAL_BINS = 8  # reg_max 7 in every published configuration
MOST_BINS = 256
SCALE_FACTOR = "scale_factor"  # PaddleDetection's name of its second input

NANODET = Recipe("NanoDet", "BGR", (103.53, 116.28, 123.675), (57.375, 57.12, 58.395))
PICODET = Recipe("PicoDet", "RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """decoded: the tensors are boxes in pixels and scores, with the roles "boxes" and "scores".

    strides: pixels per cell of each level. bins: of each distance. centre: of a cell, in cells.
    activated: classes are probabilities, not logits.
    """

    decoded: bool = False
    strides: tuple[int, ...] = (8, 16, 32)
    bins: int = USUAL_BINS
    centre: float = 0.5
    activated: bool = True


@dataclass(frozen=True)
class _Levels:
    """classes, distances: tensor names, level after level; distances is empty where classes hold both."""

    classes: tuple[str, ...]
    distances: tuple[str, ...]
    strides: tuple[int, ...]
    class_count: int
    bins: int


def recognise(graph: Graph) -> families.Recognition | None:
    """Levels of classes and distances whose cells fit the picture, apart or in one table."""
    image = look.picture_beside(graph, (SCALE_FACTOR,))
    if image is None or not image.width or not image.height:
        return None
    if (decoded := _recognise_decoded(graph, image, image.width, image.height)) is not None:
        return decoded
    if len(graph.inputs) > 1:
        return None
    found = _pairs(graph, image.width, image.height) or _one_table(graph, image.width, image.height)
    if found is None:
        return None
    classes = [run[name].real()[..., : found.class_count].reshape(-1) for run in graph.runs for name in found.classes]
    activated = look.are_probabilities(np.concatenate(classes)) if classes else True
    variant = _variant(graph, found)
    spec, assumed = look.as_input(graph, image, variant.recipe, variant.resize)
    tensors = {"classes": found.classes}
    if found.distances:
        tensors["distances"] = found.distances
    return families.Recognition(
        task="detection",
        input=spec,
        tensors=tensors,
        class_count=found.class_count,
        options={
            "strides": found.strides,
            "bins": found.bins,
            "centre": variant.centre,
            "activated": activated,
        },
        nms=Nms(),
        assumed=(*assumed, f"distances count from {variant.centre} of a cell ({variant.recipe.source})"),
        default_labels=look.default_labels(found.class_count),
    )


@dataclass(frozen=True)
class _Variant:
    recipe: Recipe
    resize: Resize
    centre: float


def _variant(graph: Graph, levels: _Levels) -> _Variant:
    """NanoDet has three levels; NanoDet-Plus and PicoDet have four, and leaky ReLU is that of NanoDet."""
    if len(levels.strides) == 3:
        return _Variant(NANODET, Resize(rule="letterbox", pad_value=0), 0.5)
    leaky = look.has_kind(graph, "LeakyRelu", "QLinearLeakyRelu")
    if levels.distances and not leaky:
        return _Variant(PICODET, Resize(rule="stretch"), 0.5)
    return _Variant(NANODET, Resize(rule="stretch"), 0.0)


def _pairs(graph: Graph, width: int, height: int) -> _Levels | None:
    """Two tensors [1, cells, columns] per level, in any order."""
    shapes = {info.name: look.known_shape(info, graph) for info in graph.outputs}
    if any(len(shape) != 3 or shape[0] != 1 for shape in shapes.values()):
        return None
    for strides in PYRAMIDS:
        cells = [columns * rows for columns, rows in level_sizes(width, height, strides)]
        if sorted(shape[1] for shape in shapes.values()) != sorted(cells * 2):
            continue
        pairs = [[name for name, shape in shapes.items() if shape[1] == count] for count in cells]
        return _told_apart(graph, pairs, {name: shape[2] for name, shape in shapes.items()}, strides)
    return None


def _told_apart(
    graph: Graph, pairs: list[list[str]], columns: dict[str, int], strides: tuple[int, ...]
) -> _Levels | None:
    """Which tensor of each level holds the distances: those are 4 x bins wide and no probabilities."""
    if any(len(pair) != 2 for pair in pairs):
        return None
    probable = {name for run in graph.runs for name in columns if look.are_probabilities(run[name].real())}
    widths = sorted(
        {columns[name] for pair in pairs for name in pair if columns[name] % 4 == 0 and columns[name] >= 8},
        key=lambda width: (any(columns[name] == width for name in probable), width != USUAL_BINS * 4, width),
    )
    for width in widths:
        # Exporters write classes before distances, which counts where both are equally wide.
        ordered = [sorted(pair, key=lambda name: columns[name] == width) for pair in pairs]
        classes = tuple(first for first, _ in ordered)
        distances = tuple(second for _, second in ordered)
        if all(columns[name] == width for name in distances) and len({columns[name] for name in classes}) == 1:
            return _Levels(classes, distances, strides, columns[classes[0]], width // 4)
    return None


def _one_table(graph: Graph, width: int, height: int) -> _Levels | None:
    """All levels in one tensor [1, cells, classes + 4 x bins]."""
    if len(graph.outputs) != 1:
        return None
    info = graph.outputs[0]
    shape = look.known_shape(info, graph)
    width_of_bins = USUAL_BINS * 4
    if len(shape) != 3 or shape[0] != 1 or shape[2] <= width_of_bins:
        return None
    for strides in PYRAMIDS:
        if shape[1] != sum(columns * rows for columns, rows in level_sizes(width, height, strides)):
            continue
        for run in graph.runs:
            last = run[info.name].real()[..., -width_of_bins:]
            # Distances are logits around 0; the last columns of a YOLO head are probabilities, or far below 0.
            if look.are_probabilities(last) or np.mean(np.all(last < 0, axis=-1)) > 0.5:
                return None
        return _Levels((info.name,), (), strides, shape[2] - width_of_bins, USUAL_BINS)
    return None


def _recognise_decoded(graph: Graph, image: Picture, width: int, height: int) -> families.Recognition | None:
    """Boxes [1, cells, 4] and scores [1, classes, cells] of PaddleDetection's export with `export.nms=False`."""
    shapes = {info.name: look.known_shape(info, graph) for info in graph.outputs}
    if len(shapes) != 2 or any(len(shape) != 3 or shape[0] != 1 for shape in shapes.values()):
        return None
    totals = [sum(x * y for x, y in level_sizes(width, height, strides)) for strides in PYRAMIDS]
    boxes = [name for name, shape in shapes.items() if shape[1] in totals and shape[2] == 4]
    scores = [name for name, shape in shapes.items() if shape[2] in totals and name not in boxes]
    if len(boxes) != 1 or len(scores) != 1 or shapes[boxes[0]][1] != shapes[scores[0]][2]:
        return None
    # Boxes are divided by this factor: with 1 they stay in pixels of the model's picture.
    factor = [info for info in graph.inputs if info.name == SCALE_FACTOR]
    if not factor and not look.has_kind(graph, "HardSwish", "HardSigmoid"):
        return None
    class_count = shapes[scores[0]][1]
    spec, assumed = look.as_input(graph, image, PICODET, Resize(rule="stretch"))
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"boxes": tuple(boxes), "scores": tuple(scores)},
        class_count=class_count,
        options={"decoded": True},
        nms=Nms(),
        auxiliary_inputs=tuple(
            AuxiliaryInput(name=info.name, role="constant", dtype=info.dtype, value=1.0) for info in factor
        ),
        assumed=assumed,
        default_labels=look.default_labels(class_count),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    options = families.options(manifest, Options)
    if options.decoded:
        return _prepare_decoded(manifest, outputs)
    classes = families.role(manifest, outputs, "classes")
    split = "distances" in manifest.output.tensors
    distances = families.role(manifest, outputs, "distances") if split else ()
    grid = grid_of(manifest, options.strides)
    if not 1 <= options.bins <= MOST_BINS:
        raise BundleError(f"{manifest.name}: output.options.bins is {options.bins}, wanted 1 to {MOST_BINS}")
    width = options.bins * 4
    for tensor in classes:
        if tensor.shape[-1] is not None:
            families.check_labels(manifest, tensor.shape[-1] - (0 if split else width))
    for tensor in distances:
        if tensor.shape[-1] not in (None, width):
            raise BundleError(
                f"{manifest.name}: output {tensor.name} has {tensor.shape[-1]} columns, wanted 4 x {options.bins}; "
                "correct output.options.bins"
            )
    for tensors in (classes, distances) if split else (classes,):
        _check_cells(manifest, tensors, options, len(grid))
    return LevelsDecoder(
        tuple(tensor.name for tensor in classes),
        tuple(tensor.name for tensor in distances),
        points=Points(grid, options.centre),
        bins=options.bins,
        layout="NC",
        activated=options.activated,
        class_count=len(manifest.labels),
    )


def cut(manifest: Manifest, maps: Sequence[FeatureMap]) -> Sequence[OutputSpec]:
    """Classes and distances in two maps per level, or in one; both before any activation.

    Only where a distance counts from the middle of its cell.
    """
    options = families.options(manifest, Options)
    if options.decoded or options.centre != 0.5:
        return ()
    if ways := cut_pairs(manifest, maps, end_to_end=False):
        return ways
    found = by_level(maps, *picture_size(manifest))
    channels = len(manifest.labels) + 4 * options.bins
    if found is None or any([item.channels for item in level] != [channels] for level in found.values()):
        return ()
    return [
        OutputSpec(
            family="levels",
            tensors={"classes": tuple(level[0].name for level in found.values())},
            options={"strides": list(found), "bins": options.bins},
            nms=manifest.output.nms,
        )
    ]


def _check_cells(manifest: Manifest, tensors: tuple[TensorInfo, ...], options: Options, wanted: int) -> None:
    """Hold the tensors' rows against the grid.

    Raises:
        BundleError: they do not fit the strides and the picture's size.
    """
    sizes = level_sizes(*picture_size(manifest), options.strides)
    counts = [columns * rows for columns, rows in sizes] if len(tensors) > 1 else [wanted]
    found = [tensor.shape[-2] for tensor in tensors]
    if len(found) != len(counts) or any(seen not in (None, count) for seen, count in zip(found, counts, strict=False)):
        raise BundleError(
            f"{manifest.name}: outputs {', '.join(tensor.name for tensor in tensors)} have {found} rows, strides "
            f"{list(options.strides)} give {counts} for a picture of {manifest.input.width}x{manifest.input.height}; "
            "correct the input size, or name the tensors from the smallest stride to the largest"
        )


def _prepare_decoded(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    (boxes,) = families.role(manifest, outputs, "boxes")
    (scores,) = families.role(manifest, outputs, "scores")
    if boxes.shape[-1] not in (None, 4):
        raise BundleError(f"{manifest.name}: output {boxes.name} has shape {list(boxes.shape)}, wanted [1, boxes, 4]")
    class_count = scores.shape[-2]
    if class_count is not None:
        families.check_labels(manifest, class_count)
    return _Decoded(boxes.name, scores.name)


@dataclass(frozen=True)
class _Decoded:
    boxes: str
    scores: str

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        scores = rows_by_columns(outputs[self.scores], "CN")
        boxes = rows_by_columns(outputs[self.boxes], "NC")
        found = pick(scores, score_threshold, multi_label=multi_label)
        xyxy = boxes.with_data(boxes.data[found.row]).real()
        return finish(xyxy, found.score, found.class_id, score_threshold)
