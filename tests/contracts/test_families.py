"""What every model family promises, whatever it decodes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass import families
from edgemass.bundles import importer, labels
from edgemass.bundles.graphs import read_graph
from edgemass.errors import BundleError
from edgemass.families import FAMILIES, Recognition
from edgemass.graph import Graph, Node
from edgemass.tensors import Quantization, Tensor, TensorInfo

CLAIMS = {  # asset -> the one family that has to claim it
    "classifiers/keras_lstm_mnist_ptq.tflite": "sequence_classifier",
    "classifiers/mobilenet_v1_0.25_128_quant.tflite": "classifier",
    "classifiers/mobilenet_v2_1.0_224_quant.tflite": "classifier",
    "classifiers/squeezenet1.0_dc.onnx": "classifier",
    "classifiers/squeezenet1.0_dc_int8.tflite": "classifier",
    "classifiers/squeezenet1.0_dc_int8qdq.onnx": "classifier",
    "classifiers/tflm_mnist_trained_lstm.tflite": "sequence_classifier",
    "classifiers/tflm_mnist_trained_lstm_int8.tflite": "sequence_classifier",
    "detectors/automl_traffic_ssd_quant.tflite": "ssd_postprocessed",
    "detectors/deimv2_atto_coco_int8.onnx": "detr",
    "detectors/face_detection_short_range.tflite": "blazeface",
    "detectors/fastestdet.onnx": "fastestdet",
    "detectors/frcnn_contract_standin_yolov5n.onnx": "faster_rcnn",
    "detectors/nanodet_m_416_int8.onnx": "nanodet",
    "detectors/picodet_s_320_coco.onnx": "nanodet",
    "detectors/ssd_mobilenet_v1_coco_nms.onnx": "ssd_postprocessed",
    "detectors/ssd_mobilenet_v1_coco_quant_postprocess.tflite": "ssd_postprocessed",
    "detectors/ssd_mobilenet_v1_coco_rawheads.onnx": "ssd_raw",
    "detectors/ultraface_version-RFB-320.onnx": "ultraface",
    "detectors/yolo-fastest-1.1.onnx": "yolo_grid",
    "detectors/yolo-fastestv2.onnx": "yolo_fastestv2",
    "detectors/yolo11n_full_integer_quant_416.tflite": "yolo_v8",
    "detectors/yolo26n_e2e_320_int8w.tflite": "yolo_e2e",
    "detectors/yolo26n_e2e_640_int8.onnx": "yolo_e2e",
    "detectors/yolov5n-int8.tflite": "yolo_v5",
    "detectors/yolov5n_256x320_fp16.tflite": "yolo_v5",
    "detectors/yolov5n_640.onnx": "yolo_v5",
    "detectors/yolov8n_640_int8dyn.onnx": "yolo_v8",
    "detectors/yolov8n_640_int8w_floatio.tflite": "yolo_v8",
    "detectors/yolov8n_full_integer_quant.tflite": "yolo_v8",
    "detectors/yolov8n_full_integer_quant_416.tflite": "yolo_v8",
    "detectors/yolox_nano_416.onnx": "yolox",
}
NO_PICTURE = "classifiers/silero_vad_16k_op15.onnx"

cached_graph = cache(read_graph)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_row_offers_what_a_family_needs(name: str) -> None:
    module = families.load(name)
    assert issubclass(module.Options, msgspec.Struct)
    assert callable(module.recognise)
    assert callable(module.prepare)


@pytest.mark.parametrize("name", FAMILIES)
def test_options_refuse_an_unknown_key(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"no_such_option": 1}, families.load(name).Options)


SIDES = st.sampled_from(
    [None, 1, 2, 3, 4, 5, 6, 7, 10, 20, 32, 64, 80, 84, 85, 90, 91, 95, 128, 255, 320, 896, 1000, 1001, 8400]
)
DTYPES = ("float32", "float16", "uint8", "int8", "int32", "int64", "bool")
MAX_VALUES = 20_000  # of one observed output: enough for any shape rule, and quick


@st.composite
def tensors(draw: st.DrawFn, name: str) -> TensorInfo:
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(SIDES, max_size=5)))
    quantized = dtype in ("uint8", "int8") and draw(st.booleans())
    return TensorInfo(name, shape, dtype, Quantization(draw(st.floats(1e-3, 2)), 0) if quantized else None)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[TensorInfo, ...]:
    """Mostly a picture, so that families have something to look at."""
    side = draw(st.sampled_from([None, 28, 128, 224, 300, 320, 416, 640]))
    shape = draw(st.sampled_from([(1, 3, side, side), (1, side, side, 3), (3, side, side), (1, side, side)]))
    picture = TensorInfo("images", shape, draw(st.sampled_from(("float32", "uint8", "int8"))))
    others = tuple(draw(tensors(f"in{index}")) for index in range(draw(st.integers(0, 2))))
    return draw(st.sampled_from([(picture,), (picture, *others), others]))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    outputs = tuple(draw(tensors(f"out{index}")) for index in range(draw(st.integers(1, 6))))
    kinds = draw(st.lists(st.sampled_from(["Sigmoid", "Softmax", "Conv", "TFLite_Detection_PostProcess"]), max_size=3))
    nodes = tuple(Node(kind, ("images",), tuple(info.name for info in outputs)) for kind in kinds)
    runs = [{info.name: observed(draw, info) for info in outputs} for _ in range(draw(st.integers(0, 2)))]
    labels = draw(st.sampled_from([(), ("a", "b"), ("x",) * 80]))
    return Graph(draw(st.sampled_from(["onnx", "tflite"])), draw(inputs()), outputs, nodes, {}, labels, runs)


def observed(draw: st.DrawFn, info: TensorInfo) -> Tensor:
    shape = [1 if side is None else side for side in info.shape]
    while np.prod(shape, dtype=np.int64) > MAX_VALUES:
        shape[int(np.argmax(shape))] = 1
    low, high = draw(st.sampled_from([(0, 1), (0, 640), (-20, 20), (float("nan"), float("nan"))]))
    real = np.linspace(low, high, int(np.prod(shape))).reshape(shape)
    return Tensor(
        np.nan_to_num(real).astype(info.dtype) if info.dtype[0] in "iub" else real.astype(info.dtype), info.quantization
    )


@pytest.mark.parametrize("name", FAMILIES)
@given(graph=graphs())
@settings(max_examples=40, deadline=None)
def test_recognising_any_graph_claims_passes_or_refuses(name: str, graph: Graph) -> None:
    module = families.load(name)
    try:
        claim = module.recognise(graph)
    except BundleError:
        return
    if claim is None:
        return
    assert claim.input.name in {info.name for info in graph.inputs}
    named = {tensor for group in claim.tensors.values() for tensor in group}
    assert named <= {info.name for info in graph.outputs}
    if not claim.questions:
        msgspec.convert(claim.options, module.Options, strict=False)


@pytest.mark.assets
@pytest.mark.runtime
@pytest.mark.parametrize(("file", "family"), CLAIMS.items())
def test_every_known_model_is_claimed_by_its_family_and_no_other(assets: Path, file: str, family: str) -> None:
    graph = cached_graph(assets / file)
    claims: dict[str, Recognition] = {}
    for name in FAMILIES:
        try:
            claim = families.load(name).recognise(graph)
        except BundleError:
            continue
        if claim is not None:
            claims[name] = claim
    assert list(claims) == [family]
    default = claims[family].default_labels
    count = claims[family].class_count
    if default in labels.NAMED and count is not None:
        assert len(labels.NAMED[default]) == count


@pytest.mark.assets
def test_no_model_among_the_assets_is_left_out(assets: Path) -> None:
    files = {path.relative_to(assets).as_posix() for path in assets.glob("*/*") if path.suffix in (".onnx", ".tflite")}
    assert files - {NO_PICTURE} <= CLAIMS.keys()


@pytest.mark.assets
@pytest.mark.runtime
def test_a_model_for_sound_is_refused(assets: Path) -> None:
    with pytest.raises(BundleError, match="no input takes a picture"):
        importer.recognise(cached_graph(assets / NO_PICTURE))
