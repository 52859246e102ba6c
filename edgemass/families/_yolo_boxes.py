"""YOLOv3 with its boxes decoded and NMS in the graph, as the ONNX model zoo has it.

boxes: [1, N, 4]: y1, x1, y2, x2, in pixels of whatever size the graph's second input names; we name the model's own.
scores: [1, classes, N], probabilities. A third output holds the indices that the graph's NMS left; it has thrown away
what scores below its own threshold, so that we leave it and do our own.
Source: `yolov3` and `tiny-yolov3` of onnx/models (validated/vision/object_detection_segmentation), made by keras2onnx
from qqwweee/keras-yolo3, whose `letterbox_image` pads with 128 and whose anchors of 416x416 are darknet's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgemass import families
from edgemass.detections import Detections
from edgemass.errors import BundleError
from edgemass.families import _recognise as look
from edgemass.families._dense import finish, pick, rows_by_columns
from edgemass.families._picture import Picture, Recipe, input_spec
from edgemass.graph import Graph
from edgemass.manifest import AuxiliaryInput, Manifest, Nms, Resize
from edgemass.tensors import Outputs, TensorInfo

KERAS = Recipe("the ONNX model zoo's YOLOv3", "RGB", (0.0,), (255.0,), only=True)
SIDE = 416
SIZE_INPUT = "image_shape"  # height and width


def recognise(graph: Graph) -> families.Recognition | None:
    """Boxes, scores and NMS indices.

    Raises:
        BundleError: the same from another exporter, who does not tell what the boxes are.
    """
    if len(graph.outputs) != 3:
        return None
    boxes, scores, last = graph.outputs
    indices = last.dtype.startswith("int") and last.shape[-1:] == (3,)
    if not indices or boxes.shape[-1:] != (4,) or len(scores.shape) != 3:
        return None
    sizes = [info for info in graph.inputs if info.name == SIZE_INPUT and info.shape[-1:] == (2,)]
    image = look.picture_beside(graph, (SIZE_INPUT,))
    if image is None or not sizes:
        raise BundleError(
            f"output {last.name} holds NMS indices into boxes and scores of unknown make; export the model without "
            "NMS, or as [1, boxes, 6] rows"
        )
    return _claim(graph, image, sizes[0])


def _claim(graph: Graph, image: Picture, size: TensorInfo) -> families.Recognition:
    boxes, scores, _ = graph.outputs
    if None in image.info.shape[1:]:
        image = replace(image, width=SIDE, height=SIDE)
    spec, assumed = input_spec(image, KERAS, Resize(rule="letterbox", pad_value=128))
    class_count = look.known_shape(scores, graph)[1] or None
    return families.Recognition(
        task="detection",
        input=spec,
        tensors={"boxes": (boxes.name,), "scores": (scores.name,)},
        class_count=class_count,
        options={"decoded": True},
        nms=Nms(iou=0.5),
        auxiliary_inputs=(
            AuxiliaryInput(
                name=size.name,
                role="input-size-hw",
                dtype=size.dtype,
                shape=tuple(side or 1 for side in size.shape),
            ),
        ),
        assumed=(
            *assumed,
            f"frames are resized by the rule letterbox to {image.width}x{image.height} ({KERAS.source})",
            f"input {size.name} takes height, width",
        ),
        default_labels=look.default_labels(class_count or 0),
    )


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Check that boxes, scores and labels belong together.

    Raises:
        BundleError: they do not.
    """
    (boxes,) = families.role(manifest, outputs, "boxes")
    (scores,) = families.role(manifest, outputs, "scores")
    if len(boxes.shape) != 3 or boxes.shape[-1] != 4 or len(scores.shape) != 3:
        raise BundleError(
            f"{manifest.name}: boxes {list(boxes.shape)} and scores {list(scores.shape)} do not belong together; "
            "wanted [1, N, 4] and [1, classes, N]"
        )
    if scores.shape[1] is not None:
        families.check_labels(manifest, scores.shape[1])
    return _Decoder(boxes.name, scores.name)


@dataclass(frozen=True)
class _Decoder:
    boxes: str
    scores: str

    def __call__(self, outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Detections:
        boxes = rows_by_columns(outputs[self.boxes], "NC")
        found = pick(rows_by_columns(outputs[self.scores], "CN"), score_threshold, multi_label=multi_label)
        yxyx = boxes.with_data(boxes.data[found.row]).real()
        return finish(yxyx[:, [1, 0, 3, 2]], found.score, found.class_id, score_threshold)
