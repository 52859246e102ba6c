"""YOLO's raw feature maps with anchors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.errors import BundleError
from edgemass.families import fastestdet, yolo_fastestv2, yolo_grid
from edgemass.families._yolo_anchors import PRESETS
from edgemass.graph import Graph, Node
from edgemass.tensors import FloatArray, TensorInfo
from tests.unit.families.yolo_helpers import (
    Row,
    centred,
    check_against,
    decode,
    graph,
    inverse_sigmoid,
    labelled,
    manifest,
    same,
    sigmoid,
    tensor,
)

SIZE = (96, 64)
CLASSES = 4
AXES = ["N(AC)HW", "NHW(AC)", "NAHWC", "NHWAC"]
ALL = ["xy", "wh", "scores"]
SILU = ["Sigmoid"] * 20


def raw(strides: tuple[int, ...], *, classes: int = CLASSES, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Logits (rows, columns, anchors, 5 + classes) of each head."""
    rng = np.random.default_rng(seed)
    heads = {}
    for stride in strides:
        shape = (SIZE[1] // stride, SIZE[0] // stride, 3)
        values = rng.normal(0, 1, (*shape, 5 + classes))
        values[..., 4] = np.where(rng.random(shape) < 0.2, rng.normal(2, 1, shape), -6)
        heads[f"head{stride}"] = values
    return heads


def laid_out(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """(rows, columns, anchors, numbers) -> one head as the exporter lays it out."""
    rows, columns, anchors, numbers = values.shape
    if axes == "N(AC)HW":
        return values.transpose(2, 3, 0, 1).reshape(1, anchors * numbers, rows, columns)
    if axes == "NHW(AC)":
        return values.reshape(1, rows, columns, anchors * numbers)
    return values.transpose(2, 0, 1, 3)[None] if axes == "NAHWC" else values[None]


def back(head: FloatArray, axes: str) -> FloatArray:
    """The inverse of `laid_out`."""
    values = head[0]
    if axes == "N(AC)HW":
        values = values.reshape(3, -1, *head.shape[2:]).transpose(2, 3, 0, 1)
    elif axes == "NHW(AC)":
        values = values.reshape(*head.shape[1:3], 3, -1)
    elif axes == "NAHWC":
        values = values.transpose(1, 2, 0, 3)
    return np.asarray(values)


def reference(
    outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool, *, name: str, axes: str, applied: list[str]
) -> list[Row]:
    """Darknet's get_yolo_box and YOLOv5's Detect, one number at a time."""
    preset, found = PRESETS[name], []
    for output, head in outputs.items():
        stride = int(output[4:])
        values = back(head, axes)
        for y, x, a in np.ndindex(values.shape[:3]):
            tx, ty, tw, th, *scores = map(float, values[y, x, a])
            if "scores" not in applied:
                scores = [sigmoid(score) for score in scores]
            sx, sy = (tx, ty) if "xy" in applied else (sigmoid(tx), sigmoid(ty))
            scale = preset.scale_x_y[stride]
            pw, ph = preset.anchors[stride][2 * a : 2 * a + 2]
            if preset.squared:
                sw, sh = (tw, th) if "wh" in applied else (sigmoid(tw), sigmoid(th))
                w, h = (2 * sw) ** 2 * pw, (2 * sh) ** 2 * ph
            else:
                w, h = np.exp(tw) * pw, np.exp(th) * ph
            cx, cy = (x + sx * scale - (scale - 1) / 2) * stride, (y + sy * scale - (scale - 1) / 2) * stride
            for class_id, score in labelled([one * scores[0] for one in scores[1:]], threshold, multi_label):
                found.append(centred(cx, cy, float(w), float(h), score, class_id))
    return found


def compare(name: str, axes: str, applied: list[str], dtype: str = "float32") -> None:
    strides = PRESETS[name].strides
    if max(strides) > 32:
        strides = tuple(stride for stride in strides if stride <= 32)
    heads = raw(strides)
    for values in heads.values():
        for group, part in {"xy": slice(0, 2), "wh": slice(2, 4), "scores": slice(4, None)}.items():
            if group in applied:
                values[..., part] = 1 / (1 + np.exp(-values[..., part]))
    options = {"anchors": name, "strides": strides, "axes": axes, "applied": applied}
    spec = manifest("yolo_grid", {"heads": tuple(heads)}, options, classes=CLASSES, size=SIZE)

    def literal(outputs: Mapping[str, FloatArray], threshold: float, multi_label: bool) -> list[Row]:
        return reference(outputs, threshold, multi_label, name=name, axes=axes, applied=applied)

    arrays = {output: laid_out(values, axes) for output, values in heads.items()}
    check_against(literal, spec, arrays, dtype=dtype, threshold=0.3)


@pytest.mark.parametrize("name", PRESETS)
def test_boxes_of_every_published_model_are_those_of_the_literal_reference(name: str) -> None:
    compare(name, "N(AC)HW", [])


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8", "uint8"])
def test_every_order_of_axes_and_every_number_type_decodes_alike(axes: str, dtype: str) -> None:
    compare("yolov4-tiny", axes, [], dtype)


@pytest.mark.parametrize(
    ("name", "applied"),
    [("yolov5", ALL), ("yolov4", ["xy", "scores"]), ("yolov3", ["scores"]), ("yolov7", ["xy", "wh"])],
)
def test_a_sigmoid_that_the_graph_applied_is_not_applied_again(name: str, applied: list[str]) -> None:
    compare(name, "NAHWC", applied)


def test_known_boxes_come_back() -> None:
    """Encode by inverting darknet's formulas, decode, compare."""
    heads, wanted = raw((16, 32), classes=2), []
    for stride in (16, 32):
        values = heads[f"head{stride}"]
        values[..., 4] = -20
        for y, x in np.ndindex(values.shape[:2]):
            pw, ph = PRESETS["yolov3-tiny"].anchors[stride][2:4]
            box = ((x + 0.25) * stride, (y + 0.6) * stride, 30.0 + x, 20.0 + y)
            values[y, x, 1] = [
                inverse_sigmoid(0.25),
                inverse_sigmoid(0.6),
                np.log(box[2] / pw),
                np.log(box[3] / ph),
                9,
                -9,
                9,
            ]
            wanted.append(centred(*box, sigmoid(9) ** 2, 1))
    options = {"anchors": "yolov3-tiny", "strides": (16, 32)}
    spec = manifest("yolo_grid", {"heads": tuple(heads)}, options, classes=2, size=SIZE)
    outputs = {name: tensor(laid_out(values, "N(AC)HW")) for name, values in heads.items()}
    same(decode(spec, outputs, 0.5), wanted)


@pytest.mark.parametrize(
    "anchors",
    [
        "10,14,23,27,37,58, 81,82,135,169,344,319",
        "10,14 23,27 37,58 | 81,82 135,169 344,319",
        (10, 14, 23, 27, 37, 58, 81, 82, 135, 169, 344, 319),
        "YOLOv3-tiny",
    ],
)
def test_anchors_may_be_a_name_or_a_list(anchors: object) -> None:
    heads = {name: tensor(laid_out(values, "N(AC)HW")) for name, values in raw((16, 32)).items()}
    found = []
    for given in (anchors, "yolov3-tiny"):
        options = {"anchors": given, "strides": (16, 32)}
        found.append(decode(manifest("yolo_grid", {"heads": tuple(heads)}, options, classes=4, size=SIZE), heads, 0.3))
    assert len(found[0]) > 0
    np.testing.assert_array_equal(found[0].xyxy, found[1].xyxy)


def test_nan_and_overflow_are_no_detections() -> None:
    heads = raw((16, 32))
    for values in heads.values():
        values[..., 4] = -20
    heads["head16"][0, 0, 0] = [0, 0, 900, 0, 9, 9, 9, 9, 9]
    heads["head16"][0, 1, 0] = [0, 0, np.nan, 0, 9, 9, 9, 9, 9]
    heads["head16"][0, 2, 0] = [0, 0, 0, 0, np.nan, 9, 9, 9, 9]
    heads["head16"][1, 0, 0] = [0, 0, 0, 0, 9, np.nan, -9, -9, 9]
    spec = manifest(
        "yolo_grid", {"heads": tuple(heads)}, {"anchors": "yolov3-tiny", "strides": (16, 32)}, classes=4, size=SIZE
    )
    outputs = {name: tensor(laid_out(values, "N(AC)HW")) for name, values in heads.items()}
    found = decode(spec, outputs, 0.5)
    same(found, [centred(8, 24, 10, 14, sigmoid(9) ** 2, 3)])


@pytest.mark.parametrize(
    ("change", "classes", "message"),
    [
        ({"anchors": "yolov9000"}, 4, "neither a known name"),
        ({"anchors": "1,2,3,4,5"}, 4, "do not fit 2 heads"),
        ({"anchors": "yolov4"}, 5, "correct them"),
        ({"anchors": "yolov5-p6", "strides": (16, 128)}, 4, "choose others"),
        ({"strides": (16,)}, 4, "2 heads and 1 strides"),
        ({"strides": (32, 16)}, 4, "a grid of 3x2 cells"),
        ({"applied": ["wh"]}, 4, "squared = true"),
        ({"axes": "NHWAC"}, 4, "correct them"),
        ({"colour": "red"}, 4, "colour"),
    ],
)
def test_options_that_do_not_fit_the_heads_are_refused(change: dict[str, Any], classes: int, message: str) -> None:
    heads = {name: tensor(laid_out(values, "N(AC)HW")) for name, values in raw((16, 32)).items()}
    options = {"anchors": "yolov3-tiny", "strides": (16, 32), **change}
    spec = manifest("yolo_grid", {"heads": tuple(heads)}, options, classes=classes, size=SIZE)
    with pytest.raises(BundleError, match=message):
        decode(spec, heads, 0.5)


def pool(size: int) -> Node:
    return Node("MaxPool", (), (), {"kernel_shape": [size, size]})


DEPTHWISE = (Node("Conv", (), (), {"group": 32}),)


@pytest.mark.parametrize(
    ("strides", "kinds", "nodes", "name"),
    [
        ((16, 32), ["LeakyRelu"], DEPTHWISE, "yolo-fastest"),
        ((16, 32), ["LEAKY_RELU", "DEPTHWISE_CONV_2D"], (), "yolo-fastest"),
        ((16, 32), ["LeakyRelu", "Split", "Split", "Split"], (), "yolov4-tiny"),
        ((16, 32), ["LeakyRelu", "Slice"], (pool(2),), "yolov3-tiny"),
        ((16, 32), SILU, (pool(2),), "yolov3-tiny-ultralytics"),
        ((8, 16, 32), ["LeakyRelu", "Concat", "Concat"], (), "yolov3"),
        ((8, 16, 32), ["LeakyRelu", "Softplus", "Tanh"], (), "yolov4"),
        ((8, 16, 32), ["Mish"], (), "yolov4-csp"),
        ((8, 16, 32), SILU, (pool(5),), "yolov5"),
        ((8, 16, 32), SILU, (pool(5), pool(2)), "yolov7"),
        ((8, 16, 32), ["LeakyRelu"], (pool(2), pool(13)), "yolov5"),
        ((8, 16, 32), ["LeakyRelu", "Slice", "Slice", "Slice"], (pool(2),), "yolov4-tiny-3l"),
        ((8, 16, 32), ["LeakyRelu"], (pool(2),), "yolov3-tiny-3l"),
    ],
)
@pytest.mark.parametrize("axes", ["N(AC)HW", "NHWAC"])
def test_the_graphs_operators_tell_whose_anchors_it_wants(
    strides: tuple[int, ...], kinds: list[str], nodes: tuple[Node, ...], name: str, axes: str
) -> None:
    heads = raw(strides, classes=80)
    shuffled = {output: laid_out(heads[output], axes) for output in sorted(heads, reverse=True)}
    found = yolo_grid.recognise(graph(shuffled, size=SIZE, kinds=kinds, nodes=nodes))
    assert found is not None
    assert found.questions == {}
    assert found.class_count == 80
    assert found.default_labels == "coco80"
    assert found.options == {"anchors": name, "strides": strides, "axes": axes, "applied": ()}
    assert found.tensors == {"heads": tuple(f"head{stride}" for stride in strides)}


def test_what_the_graph_does_not_tell_is_asked() -> None:
    heads = {name: laid_out(values, "N(AC)HW") for name, values in raw((8, 16, 32)).items()}
    found = yolo_grid.recognise(graph(heads, size=SIZE, kinds=["Relu6"]))
    assert found is not None
    assert {"yolov3", "yolov4"} <= set(found.questions["anchors"])
    assert set(found.questions["anchors"]) <= set(PRESETS)
    assert "anchors" not in found.options


def test_an_applied_sigmoid_shows_in_the_trial_run() -> None:
    heads = {name: 1 / (1 + np.exp(-laid_out(values, "NAHWC"))) for name, values in raw((8, 16, 32)).items()}
    found = yolo_grid.recognise(graph(heads, size=SIZE, kinds=SILU, nodes=(pool(5),)))
    assert found is not None
    assert found.options["applied"] == ("xy", "wh", "scores")
    assert found.options["anchors"] == "yolov5"
    assert found.input.resize.pad_value == 114


def test_a_picture_of_any_size_takes_its_strides_from_the_heads() -> None:
    heads = {name: laid_out(values, "NHWAC") for name, values in raw((8, 16, 32)).items()}
    found = yolo_grid.recognise(
        graph(heads, size=SIZE, free_size=True, free=(0, 1, 2), kinds=["LeakyRelu", "Softplus"])
    )
    assert found is not None
    assert found.options["strides"] == (8, 16, 32)


def test_boxes_that_the_graph_decoded_are_not_claimed() -> None:
    heads = {name: laid_out(values, "NHWAC") for name, values in raw((8, 16, 32)).items()}
    for values in heads.values():
        values[..., :4] *= 100
    assert yolo_grid.recognise(graph(heads, size=SIZE, kinds=["LeakyRelu"])) is None


INDICES = TensorInfo("yolonms_layer_1:2", (None, 3), "int32")


def with_nms_indices(*extra_inputs: TensorInfo) -> Graph:
    """Boxes, scores and indices, as the ONNX model zoo's YOLOv3 has them; its picture is of any size."""
    outputs = {"boxes": np.zeros((1, 100, 4)), "scores": np.zeros((1, 80, 100))}
    seen = graph(outputs, size=(320, 320), free_size=True, extra_inputs=extra_inputs)
    return replace(seen, outputs=(*seen.outputs, INDICES))


def test_the_zoos_yolov3_is_recognised_by_its_nms_indices() -> None:
    found = yolo_grid.recognise(with_nms_indices(TensorInfo("image_shape", (None, 2), "float32")))
    assert found is not None
    assert found.tensors == {"boxes": ("boxes",), "scores": ("scores",)}
    assert (found.class_count, found.default_labels, found.options) == (80, "coco80", {"decoded": True})
    assert (found.input.width, found.input.height, found.input.resize.pad_value) == (416, 416, 128)
    (size,) = found.auxiliary_inputs
    assert (size.name, size.role, size.shape, size.dtype) == ("image_shape", "input-size-hw", (1, 2), "float32")


def test_nms_indices_of_other_makes_are_refused_with_a_way_out() -> None:
    with pytest.raises(BundleError, match="without NMS"):
        yolo_grid.recognise(with_nms_indices())


def test_decoded_boxes_have_y_before_x() -> None:
    boxes, scores = np.zeros((1, 3, 4)), np.zeros((1, 2, 3))
    boxes[0, 1] = [10, 20, 30, 60]
    scores[0, :, 1] = [0.3, 0.9]
    spec = manifest("yolo_grid", {"boxes": ("b",), "scores": ("s",)}, {"decoded": True}, classes=2, size=(416, 416))
    outputs = {"b": tensor(boxes), "s": tensor(scores)}
    same(decode(spec, outputs, 0.5), [Row(20, 10, 60, 30, 0.9, 1)])
    both = [Row(20, 10, 60, 30, 0.9, 1), Row(20, 10, 60, 30, 0.3, 0)]
    same(decode(spec, outputs, 0.2, multi_label=True), both)


def test_decoded_boxes_must_fit_the_labels() -> None:
    outputs = {"b": tensor(np.zeros((1, 3, 4))), "s": tensor(np.zeros((1, 2, 3)))}
    for classes, roles in ((3, {"boxes": ("b",), "scores": ("s",)}), (2, {"boxes": ("s",), "scores": ("b",)})):
        spec = manifest("yolo_grid", roles, {"decoded": True}, classes=classes, size=(416, 416))
        with pytest.raises(BundleError, match=r"labels|belong together"):
            decode(spec, outputs, 0.5)


def test_other_maps_are_left_to_others() -> None:
    heads = {name: laid_out(values, "N(AC)HW") for name, values in raw((16, 32), classes=1).items()}
    assert yolo_grid.recognise(graph(heads, size=SIZE, kinds=["LeakyRelu", "Softmax"])) is None
    one = {"head16": heads["head16"]}
    assert yolo_grid.recognise(graph(one, size=SIZE, kinds=["LeakyRelu"])) is None
    beside = {**heads, "more": np.zeros((1, 100, 4))}
    assert yolo_grid.recognise(graph(beside, size=SIZE, kinds=["LeakyRelu"])) is None
    assert yolo_fastestv2.recognise(graph(heads, size=SIZE, kinds=["LeakyRelu"])) is None
    assert fastestdet.recognise(graph(one, size=SIZE, kinds=["LeakyRelu"])) is None
