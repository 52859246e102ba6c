"""Real exports are recognised by what is in the file, and by nobody else among these families."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import families

FAMILIES = (
    "yolo_grid",
    "yolo_v5",
    "yolo_fastestv2",
    "yolo_v8",
    "yolox",
    "fastestdet",
    "yolo_e2e",
    "nanodet",
)

pytestmark = [pytest.mark.assets, pytest.mark.runtime]


@pytest.mark.parametrize(
    ("file", "family", "size", "options"),
    [
        ("fastestdet.onnx", "fastestdet", (352, 352), {"layout": "CN", "stride": 16}),
        ("nanodet_m_416_int8.onnx", "nanodet", (416, 416), {"strides": (8, 16, 32), "bins": 8, "centre": 0.5}),
        ("picodet_s_320_coco.onnx", "nanodet", (320, 320), {"strides": (8, 16, 32, 64), "bins": 8, "centre": 0.5}),
        (
            "yolo-fastest-1.1.onnx",
            "yolo_grid",
            (320, 320),
            {"anchors": "yolo-fastest", "strides": (16, 32), "applied": ()},
        ),
        ("yolo-fastestv2.onnx", "yolo_fastestv2", (352, 352), {"channels_first": False}),
        ("yolo11n_full_integer_quant_416.tflite", "yolo_v8", (416, 416), {"layout": "CN", "normalized": True}),
        ("yolo26n_e2e_320_int8w.tflite", "yolo_e2e", (320, 320), {"kind": "rows", "normalized": True}),
        ("yolov5n-int8.tflite", "yolo_v5", (640, 640), {"layout": "NC", "normalized": True}),
        ("yolov5n_256x320_fp16.tflite", "yolo_v5", (320, 256), {"layout": "NC", "normalized": True}),
        ("yolov5n_640.onnx", "yolo_v5", (640, 640), {"layout": "NC", "normalized": False}),
        ("yolov8n_640_int8dyn.onnx", "yolo_v8", (640, 640), {"layout": "CN", "normalized": False}),
        ("yolov8n_full_integer_quant_416.tflite", "yolo_v8", (416, 416), {"layout": "CN", "normalized": True}),
        ("yolox_nano_416.onnx", "yolox", (416, 416), {"layout": "NC", "decoded": False, "strides": (8, 16, 32)}),
    ],
)
def test_a_published_export_is_claimed_by_its_own_family(
    assets: Path, file: str, family: str, size: tuple[int, int], options: dict[str, object]
) -> None:
    claims = claimed_by(assets / "detectors" / file)
    assert set(claims) == {family}
    found = claims[family]
    assert found.questions == {}
    assert (found.input.width, found.input.height) == size
    assert options.items() <= found.options.items()
    assert found.default_labels == "coco80"


@pytest.mark.parametrize(
    "file",
    [
        "classifiers/mobilenet_v1_0.25_128_quant.tflite",
        "classifiers/squeezenet1.0_dc.onnx",
        "detectors/face_detection_short_range.tflite",
        "detectors/frcnn_contract_standin_yolov5n.onnx",
        "detectors/ssd_mobilenet_v1_coco_quant_postprocess.tflite",
        "detectors/ssd_mobilenet_v1_coco_rawheads.onnx",
        "detectors/ultraface_version-RFB-320.onnx",
    ],
)
def test_models_of_other_families_are_left_to_them(assets: Path, file: str) -> None:
    assert claimed_by(assets / file) == {}


def claimed_by(path: Path) -> dict[str, families.Recognition]:
    pytest.importorskip("onnxruntime" if path.suffix == ".onnx" else "ai_edge_litert", reason="extra onnx or tflite")
    pytest.importorskip("onnx", reason="extra import")
    from edgemass.bundles.graphs import read_graph

    graph = read_graph(path)
    found = {name: families.load(name).recognise(graph) for name in FAMILIES}
    return {name: recognition for name, recognition in found.items() if recognition is not None}
