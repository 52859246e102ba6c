"""Two-stage and one-stage detectors whose graph ends in pixels: FasterRCNN of the ONNX zoo, detectors of TorchVision.

Roles: boxes [n, 4]: x1, y1, x2, y2 in pixels of the picture that was fed; labels [n]; scores [n]; n differs from run to
run. Further outputs (masks, keypoints) are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families._candidates import above, detections, names_background, observed_shape
from edgemass.families._picture import Picture, Recipe, color_picture, input_spec
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Resize
from edgemass.tensors import Outputs, TensorInfo

# Its page in the ONNX model zoo: pixels minus these means in BGR order, short side 800, padded to a multiple of 32, as
# its feature pyramid needs it; maskrcnn-benchmark's MAX_SIZE_TEST is 1333.
_ZOO = Recipe("FasterRCNN of the ONNX model zoo", "BGR", (102.9801, 115.9465, 122.7717))
_TORCHVISION = Recipe("TorchVision's detectors take RGB from 0 to 1", "RGB", (0.0,), (255.0,))
_SHORT_SIDE, _LONG_SIDE = 800, 1333  # TorchVision's min_size and max_size as well
_MULTIPLE = 32
_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv", "CONV_2D")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """class_offset: the class number of the first label; 0 is the background."""

    class_offset: int = 1


def recognise(graph: Graph) -> families.Recognition | None:
    picture = color_picture(graph)
    if picture is None or len(graph.inputs) != 1 or picture.info.dtype not in ("float32", "float16"):
        return None
    roles = _roles(graph)
    if roles is None:
        return None
    before = _before_first_convolution(graph, picture)
    # TorchVision's GeneralizedRCNNTransform subtracts mean and divides by std; the zoo leaves that to the caller.
    torchvision = "Sub" in before and "Div" in before[before.index("Sub") :]
    if picture.width is not None and picture.height is not None:
        resize = Resize(rule="letterbox-top-left")
    else:
        # A graph that resizes the picture itself makes its own multiple; padding would only squeeze what it sees.
        multiple = 1 if "Resize" in before else _MULTIPLE
        resize = Resize(rule="shortest-edge", short_side=_SHORT_SIDE, long_side=_LONG_SIDE, multiple=multiple)
        picture = Picture(picture.info, picture.layout, None, None, picture.channels)
    spec, assumed = input_spec(picture, _TORCHVISION if torchvision else _ZOO, resize)
    if resize.short_side:
        assumed = (*assumed, f"short side {_SHORT_SIDE}, long side at most {_LONG_SIDE}")
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={role: (name,) for role, name in roles.items()},
        class_count=None,
        options={"class_offset": 1},
        assumed=(*assumed, "class 0 is the background and class 1 the first label"),
        default_labels="coco90" if torchvision else "coco80",
        score=0.5,
    )


def _roles(graph: Graph) -> dict[str, str] | None:
    boxes: list[str] = []
    labels: list[str] = []
    scores: list[str] = []
    for info in graph.outputs:
        shape = observed_shape(graph, info)
        if len(shape) == 2 and shape[1] == 4:
            boxes.append(info.name)
        elif len(shape) == 1 and info.dtype.startswith("int"):
            labels.append(info.name)
        elif len(shape) == 1 and info.dtype.startswith("float"):
            scores.append(info.name)
    if len(boxes) != 1 or len(labels) != 1 or len(scores) != 1:
        return None
    return {"boxes": boxes[0], "labels": labels[0], "scores": scores[0]}


def _before_first_convolution(graph: Graph, picture: Picture) -> list[str]:
    """Kinds of the operators that the picture passes on its way into the network."""
    reached = {picture.info.name}
    kinds: list[str] = []
    for node in graph.nodes:
        if reached.intersection(node.inputs):
            if node.kind in _CONVOLUTIONS:
                break
            kinds.append(node.kind)
            reached.update(node.outputs)
    return kinds


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Find out where the labels begin.

    Raises:
        BundleError: boxes have another number of columns than 4.
    """
    options = families.options(manifest, Options)
    boxes_info = families.role(manifest, outputs, "boxes")[0]
    labels_info = families.role(manifest, outputs, "labels")[0]
    scores_info = families.role(manifest, outputs, "scores")[0]
    if boxes_info.shape and boxes_info.shape[-1] not in (4, None):
        raise BundleError(f"{manifest.name}: boxes have shape {boxes_info.shape}, wanted [n, 4]")
    labels = manifest.labels
    shift = int(names_background(labels)) - options.class_offset

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:  # noqa: ARG001
        scores = outputs[scores_info.name].reshape(-1)
        rows = np.flatnonzero(above(scores, score_threshold))
        if rows.size == 0:
            return Detections.empty()
        boxes = outputs[boxes_info.name].reshape(-1, 4)
        return detections(
            boxes.with_data(boxes.data[rows]).real(),
            scores.with_data(scores.data[rows]).real(),
            outputs[labels_info.name].data.reshape(-1)[rows].astype(np.int64) + shift,
            score_threshold=score_threshold,
            class_count=len(labels),
        )

    return decode
