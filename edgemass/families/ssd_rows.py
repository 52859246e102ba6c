"""SSD detectors of Caffe and OpenVINO: one output [1, 1, N, 7] that their DetectionOutput layer made.

Role: rows. Columns: image_id, label, confidence, x1, y1, x2, y2 as fractions of the picture; a negative image_id ends
the list.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._candidates import above, detections, names_background, observed_shape, picture_size
from edgemass.families._picture import Recipe, color_picture, input_spec
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Resize
from edgemass.tensors import Outputs, TensorInfo

# MobileNet-SSD's deploy.prototxt: mean 127.5, scale 0.007843; most other exports of this kind have it inside the graph.
_CAFFE_SSD = Recipe("MobileNet-SSD of Caffe, 300x300", "BGR", (127.5,), (127.5,))
_PLAIN_BGR = Recipe("OpenVINO's detectors take BGR pixels", "BGR")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """class_offset: the class number of the first label; 0 is the background in Caffe's and OpenVINO's detectors."""

    class_offset: int = 1


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None or len(graph.inputs) != 1 + len(pair_state(graph)) or len(graph.outputs) != len(graph.inputs):
        return None
    state = pair_state(graph)
    carried = {pair.output for pair in state}
    rows = next(info for info in graph.outputs if info.name not in carried)
    shape = observed_shape(graph, rows)
    if len(shape) != 4 or shape[:2] not in ((1, 1), (None, 1), (1, None)) or shape[3] != 7:
        return None
    if picture.width is None or picture.height is None:
        return None
    recipe = _CAFFE_SSD if (picture.width, picture.height) == (300, 300) else _PLAIN_BGR
    spec, assumed = input_spec(picture, recipe, Resize())
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"rows": (rows.name,)},
        class_count=None,
        options={"class_offset": 1},
        state=state,
        assumed=(*assumed, "class 0 is the background and class 1 the first label"),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Find out where the labels begin.

    Raises:
        BundleError: the output has no seven columns.
    """
    options = families.options(manifest, Options)
    (rows_info,) = families.role(manifest, outputs, "rows")[:1]
    if rows_info.shape and rows_info.shape[-1] not in (7, None):
        raise BundleError(f"{manifest.name}: rows have shape {rows_info.shape}, wanted [1, 1, N, 7]")
    width, height = picture_size(manifest)
    size = np.array([width, height, width, height], np.float32)
    labels = manifest.labels
    shift = int(names_background(labels)) - options.class_offset

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
        rows = outputs[rows_info.name].reshape(-1, 7)
        ends = np.flatnonzero(~above(rows.with_data(rows.data[:, 0]), -0.5))
        used = rows.with_data(rows.data[: ends[0]] if ends.size else rows.data)
        chosen = np.flatnonzero(above(used.with_data(used.data[:, 2]), score_threshold))
        if chosen.size == 0:
            return Detections.empty()
        found = used.with_data(used.data[chosen]).real()
        number = np.where(np.isfinite(found[:, 1]), found[:, 1], -1e6)
        return detections(
            found[:, 3:7] * size,
            found[:, 2].copy(),
            np.rint(number).astype(np.int64) + shift,
            score_threshold=score_threshold,
            class_count=len(labels),
        )

    return decode
