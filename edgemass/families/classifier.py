"""Image classifiers: one output with a number per class.

Role: scores [1, C], [1, C, 1, 1] or [1, 1, 1, C].
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from edgemass import families
from edgemass.detections import Classification
from edgemass.errors import BundleError
from edgemass.families._activations import Activation
from edgemass.families._candidates import observed_shape, sigmoid, softmax
from edgemass.families._picture import CAFFE, IMAGENET, SYMMETRIC, UNIT, Picture, Recipe, find_picture, input_spec
from edgemass.families._recognise import has_kind
from edgemass.families._state import pair_state
from edgemass.graph import Graph
from edgemass.manifest import Manifest, Resize
from edgemass.tensors import FloatArray, Outputs, Tensor, TensorInfo

_USUAL_SIDE = 224  # of ImageNet classifiers with free sides
_CAFFE_SIDE = 227  # AlexNet, CaffeNet and SqueezeNet of Caffe
_SMALLEST_CROP = 64  # smaller pictures (digits, CIFAR) are not cut out of larger ones
_TRANSPARENT = frozenset(  # operators that move numbers or store them otherwise
    {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Cast", "QuantizeLinear", "DequantizeLinear"}
    | {"RESHAPE", "SQUEEZE", "QUANTIZE", "DEQUANTIZE", "CAST"}
)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """activation: what turns the output into probabilities; "none" where the graph has done it.

    top: classes in an answer.
    """

    activation: Activation = "softmax"
    top: int = 5


def recognise(graph: Graph) -> families.Recognition | None:
    picture = find_picture(graph)
    if picture is None or picture.layout == "NHW":
        return None
    state = pair_state(graph)
    answer = class_scores(graph, picture)
    if answer is None:
        return None
    scores, columns = answer
    free = picture.width is None or picture.height is None
    if free:
        picture = Picture(picture.info, picture.layout, _USUAL_SIDE, _USUAL_SIDE, picture.channels)
    spec, assumed = input_spec(picture, _recipe(graph, picture), _resize(graph, picture))
    if free:
        assumed = (*assumed, f"the picture's free size is {_USUAL_SIDE}x{_USUAL_SIDE}")
    if spec.resize.short_side:
        assumed = (*assumed, f"short side to {spec.resize.short_side}, then the middle cut out")
    return families.Recognition(
        task="classification",
        input=spec,
        tensors={"scores": (scores.name,)},
        class_count=None if columns == 1001 else columns,  # 1001 = ImageNet with a background, named or not
        options={"activation": applied_activation(graph, scores)},
        state=state,
        assumed=assumed,
        default_labels=default_labels(picture, columns),
        score=0.1,
    )


def class_scores(graph: Graph, picture: Picture) -> tuple[TensorInfo, int] | None:
    """The one output that is no state, and its number of classes; None if the graph is no classifier of one picture."""
    state = pair_state(graph)
    if {info.name for info in graph.inputs} != {picture.info.name, *(pair.input for pair in state)}:
        return None
    carried = {pair.output for pair in state}
    answers = [info for info in graph.outputs if info.name not in carried]
    if len(answers) != 1:
        return None
    shape = observed_shape(graph, answers[0])
    if len(shape) not in (2, 4) or shape[0] not in (1, None):
        return None
    wide = [side for side in shape[1:] if side != 1]
    if len(wide) != 1 or wide[0] is None or (len(shape) == 4 and shape[2] != 1):
        return None
    return answers[0], wide[0]


def default_labels(picture: Picture, columns: int) -> str:
    if columns == 10 and (picture.width, picture.height, picture.channels) == (28, 28, 1):
        return "digits"
    return {1000: "imagenet1000", 1001: "imagenet1001"}.get(columns, "")


def applied_activation(graph: Graph, scores: TensorInfo) -> Activation:
    """What is left to apply: nothing after a softmax or sigmoid, seen in the graph or in the values."""
    name = scores.name
    for _ in range(8):
        producer = graph.producer(name)
        if producer is None:
            break
        if producer.kind in ("Softmax", "SOFTMAX", "Sigmoid", "LOGISTIC"):
            return "none"
        if producer.kind not in _TRANSPARENT:
            break
        name = producer.inputs[0]
    low, high = graph.observed_range(scores.name)
    return "none" if graph.runs and low >= 0 and high <= 1 else "softmax"


def _recipe(graph: Graph, picture: Picture) -> Recipe:
    if picture.channels == 1 or graph.metadata.get("task") == "classify":  # Ultralytics writes its task into the file
        return UNIT
    if picture.layout in ("NHWC", "HWC"):
        return SYMMETRIC
    # The ONNX model zoo names the input of what it took from Caffe like this (AlexNet, GoogLeNet, SqueezeNet 1.0, VGG).
    of_caffe = picture.info.name == "data_0" and has_kind(graph, "Softmax")
    return CAFFE if of_caffe or picture.width == picture.height == _CAFFE_SIDE else IMAGENET


def _resize(graph: Graph, picture: Picture) -> Resize:
    assert picture.width is not None
    assert picture.height is not None
    side = max(picture.width, picture.height)
    if side < _SMALLEST_CROP:
        return Resize(interpolation="area")
    if graph.metadata.get("task") == "classify":
        return Resize(rule="center-crop", short_side=side)
    # 256 to 224 is the cut of AlexNet's and all later ImageNet evaluations.
    return Resize(rule="center-crop", short_side=round(side * 256 / 224), interpolation="area")


def prepare(manifest: Manifest, outputs: Mapping[str, TensorInfo]) -> families.Decoder:
    """Decide which column the first label names.

    Raises:
        BundleError: labels do not fit the output.
    """
    options = families.options(manifest, Options)
    scores_info = families.role(manifest, outputs, "scores")[0]
    columns = next((side for side in scores_info.shape[1:] if side not in (1, None)), None) or len(manifest.labels)
    label_count = len(manifest.labels)
    # 1001 columns of TensorFlow's ImageNet models: column 0 is a background that label files may or may not name.
    background = 1 if columns == 1001 and label_count == 1000 else 0
    if columns == 1001 and not background and label_count != columns:
        raise BundleError(
            f"{manifest.name}: {label_count} labels for 1001 classes; give 1001, or 1000 without background"
        )
    families.check_labels(manifest, columns - background)

    def decode(outputs: Outputs, *, score_threshold: float, multi_label: bool = False) -> Classification:  # noqa: ARG001
        probability = _probability(outputs[scores_info.name].reshape(-1), options.activation)[background:]
        passed = np.flatnonzero(probability > score_threshold)
        best = passed[np.argsort(-probability[passed], kind="stable")[: options.top]]
        return Classification(probability[best], best.astype(np.int64, copy=False))

    return decode


def _probability(scores: Tensor, activation: Activation) -> FloatArray:
    real = scores.real()
    if activation == "softmax":
        return softmax(real)
    return sigmoid(real) if activation == "sigmoid" else real
