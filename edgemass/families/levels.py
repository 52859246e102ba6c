"""Anchor-free heads before their activations, level by level: YOLOv8 to 12, YOLOv10 and 26, NanoDet, PicoDet.

Per stride one map of class logits [1, classes, h, w] and one of distances to the four sides [1, 4 x bins, h, w], or
both in one map, classes first. distance = sum(softmax(bins) x 0, 1, 2, ...) x stride, or the number itself x stride
where there is one bin, from the centre of the cell. These are what `edgemass model optimize` leaves of a head, and what
exporters for accelerators write (Rockchip's and others' forks of Ultralytics). Source: `Detect` in
ultralytics/nn/modules/head.py; `DFL` in block.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgemass import families
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._candidates import picture_size
from edgemass.families._dense import Layout, level_sizes
from edgemass.families._levels import DFL_BINS, LevelsDecoder, Points, pair_up
from edgemass.families.yolo_v8 import LETTERBOX, RECIPE
from edgemass.families.yolox import grid_of
from edgemass.graph import FeatureMap, Graph
from edgemass.manifest import Manifest, Nms
from edgemass.tensors import TensorInfo

MOST_BINS = 256
END_TO_END_ROWS = 300  # `max_det` of Ultralytics' heads without NMS


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """strides: pixels per cell of each level. bins: of each distance; 1 = the number itself.

    layout: "CN" = maps [1, channels, h, w], "NC" = rows [1, cells, channels].
    activated: classes are probabilities, not logits.
    end_to_end: trained for one box per object: every class of a cell counts, and the best 300 are all there is.
    """

    strides: tuple[int, ...] = (8, 16, 32)
    bins: int = DFL_BINS
    layout: Layout = "CN"
    activated: bool = False
    end_to_end: bool = False


def recognise(graph: Graph) -> families.Recognition | None:
    """Two maps for each level, as exporters for accelerators write Ultralytics' heads."""
    image = look.picture(graph)
    if image is None or not image.width or not image.height:
        return None
    shapes = {info.name: look.known_shape(info, graph) for info in graph.outputs}
    if len(shapes) not in (6, 8) or any(len(shape) != 4 or shape[0] != 1 for shape in shapes.values()):
        return None
    maps = [FeatureMap(name, shape[1], shape[2], shape[3]) for name, shape in shapes.items()]
    pairs = pair_up(maps, image.width, image.height)
    if pairs is None:
        return None
    values = [run[item.name].real().reshape(-1) for run in graph.runs for item in pairs.classes]
    class_count = pairs.classes[0].channels
    spec, assumed = look.as_input(graph, image, RECIPE, LETTERBOX)
    return families.Recognition(
        task="detection",
        input=spec,
        tensors=pairs.tensors,
        class_count=class_count,
        options={
            "strides": pairs.strides,
            "bins": pairs.distances[0].channels // 4,
            "activated": bool(values) and look.are_probabilities(np.concatenate(values)),
        },
        nms=Nms(),
        assumed=assumed,
        default_labels=look.default_labels(class_count),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Hold labels, bins and cells against the maps.

    Raises:
        BundleError: they do not fit.
    """
    options = families.options(manifest, Options)
    classes = families.role(manifest, outputs, "classes")
    split = "distances" in manifest.output.tensors
    distances = families.role(manifest, outputs, "distances") if split else ()
    if not 1 <= options.bins <= MOST_BINS:
        raise BundleError(f"{manifest.name}: output.options.bins is {options.bins}, wanted 1 to {MOST_BINS}")
    sizes = level_sizes(*picture_size(manifest), options.strides)
    box_channels = 4 * options.bins
    for tensors, channels in (
        (classes, len(manifest.labels) + (0 if split else box_channels)),
        (distances, box_channels),
    ):
        if tensors and len(tensors) != len(sizes):
            raise BundleError(
                f"{manifest.name}: {len(tensors)} tensors for {len(sizes)} strides; name one for each, finest first"
            )
        for tensor, (columns, rows) in zip(tensors, sizes, strict=False):
            _check_shape(manifest, tensor, options.layout, channels, columns, rows)
    return LevelsDecoder(
        tuple(tensor.name for tensor in classes),
        tuple(tensor.name for tensor in distances),
        points=Points(grid_of(manifest, options.strides)),
        bins=options.bins,
        layout=options.layout,
        activated=options.activated,
        class_count=len(manifest.labels),
        most_rows=END_TO_END_ROWS if options.end_to_end else None,
    )


def _check_shape(
    manifest: Manifest, tensor: TensorInfo, layout: Layout, channels: int, columns: int, rows: int
) -> None:
    wanted = (1, channels, rows, columns) if layout == "CN" else (1, rows * columns, channels)
    fits = len(tensor.shape) == len(wanted) and all(
        found is None or found == want for found, want in zip(tensor.shape, wanted, strict=True)
    )
    if not fits:
        raise BundleError(
            f"{manifest.name}: output {tensor.name} has shape {list(tensor.shape)}; labels, bins, strides and a "
            f"picture of {manifest.input.width}x{manifest.input.height} want {list(wanted)}"
        )
