"""Real models on real pictures reach the accuracy that an independent decoder measured for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.simulators.daemon import edgemass

TOLERANCE = 0.005
PICTURES, EVERY = 110, 11
SAMPLE_TOLERANCE = 0.02
"""Kernels of other processors round differently; of ten pictures, one box is worth some thousandths."""
DETECTORS = {  # the names of reference.json, and mAP 50:95 of the sample when the whole had reached its reference
    "deimv2_atto_coco_int8.onnx": 0.031,
    "fastestdet.onnx": 0.219,
    "frcnn_contract_standin_yolov5n.onnx": 0.287,
    "nanodet_m_416_int8.onnx": 0.302,
    "picodet_s_320_coco.onnx": 0.444,
    "ssd_mobilenet_v1_coco_nms.onnx": 0.253,
    "ssd_mobilenet_v1_coco_quant_postprocess.tflite": 0.239,
    "ssd_mobilenet_v1_coco_rawheads.onnx": 0.273,
    "yolo-fastest-1.1.onnx": 0.191,
    "yolo-fastestv2.onnx": 0.173,
    "yolo11n_full_integer_quant_416.tflite": 0.343,
    "yolo26n_e2e_320_int8w.tflite": 0.416,
    "yolo26n_e2e_640_int8.onnx": 0.473,
    "yolov5n-int8.tflite": 0.287,
    "yolov5n_256x320_fp16.tflite": 0.318,
    "yolov5n_640.onnx": 0.319,
    "yolov8n_640_int8dyn.onnx": 0.449,
    "yolov8n_640_int8w_floatio.tflite": 0.437,
    "yolov8n_full_integer_quant.tflite": 0.438,
    "yolov8n_full_integer_quant_416.tflite": 0.432,
    "yolox_nano_416.onnx": 0.424,
}
CLASSIFIERS = {  # right ones of the 67 pictures, at least
    "squeezenet1.0_dc.onnx": 40,
    "squeezenet1.0_dc_int8.tflite": 40,
    "squeezenet1.0_dc_int8qdq.onnx": 40,
    "mobilenet_v1_0.25_128_quant.tflite": 34,
    "mobilenet_v2_1.0_224_quant.tflite": 57,
}
SEQUENCES = ("keras_lstm_mnist_ptq.tflite", "tflm_mnist_trained_lstm.tflite", "tflm_mnist_trained_lstm_int8.tflite")

pytestmark = [pytest.mark.assets, pytest.mark.runtime, pytest.mark.timeout(300)]


def evaluated(*arguments: str) -> dict[str, Any]:
    done = edgemass("eval", *arguments, "--json", timeout_s=280)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_no_reference_is_left_out(assets: Path) -> None:
    assert set(DETECTORS) == set(json.loads((assets / "reference.json").read_text())["detectors"])


@pytest.fixture(scope="module")
def sample(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of every EVERY-th picture."""
    truth = json.loads((assets / "coco-val" / "instances.json").read_text())
    truth["images"] = sorted(truth["images"], key=lambda image: image["file_name"])[::EVERY]
    chosen = {image["id"] for image in truth["images"]}
    truth["annotations"] = [found for found in truth["annotations"] if found["image_id"] in chosen]
    path = tmp_path_factory.mktemp("sample") / "instances.json"
    path.write_text(json.dumps(truth))
    return path


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_given_as_a_bare_file_is_as_good_on_a_few_pictures_as_when_it_reached_its_reference(
    name: str, assets: Path, sample: Path
) -> None:
    images = str(assets / "coco-val" / "images")
    found = evaluated(str(assets / "detectors" / name), "--images", images, "--annotations", str(sample))
    assert found["images"] == len(range(0, PICTURES, EVERY))
    assert found["map_50_95"] >= DETECTORS[name] - SAMPLE_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_given_as_a_bare_file_reaches_its_reference(name: str, assets: Path) -> None:
    wanted = json.loads((assets / "reference.json").read_text())["detectors"][name]
    truth = (
        "--images",
        str(assets / "coco-val" / "images"),
        "--annotations",
        str(assets / "coco-val" / "instances.json"),
    )
    found = evaluated(str(assets / "detectors" / name), *truth)
    assert found["images"] == PICTURES
    assert found["map_50_95"] >= wanted["map_50_95"] - TOLERANCE
    assert found["map_50"] >= wanted["map_50"] - TOLERANCE


@pytest.fixture(scope="module")
def imagenet(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, Path]]:
    """Truth and labels by number of classes: the file's name begins with the WordNet id of what it shows."""
    folder = tmp_path_factory.mktemp("imagenet")
    classes = (assets / "imagenet" / "wnids.txt").read_text().split("\n")[:1000]
    order = [line.split()[0] for line in classes]
    pictures = sorted(path.name for path in (assets / "imagenet" / "images").iterdir())
    lines = [f"{name},{name.split('_')[0]}" for name in pictures]
    (folder / "truth.csv").write_text("file,label\n" + "\n".join(lines))
    given = {}
    for count, labels in ((1000, order), (1001, ["background", *order])):
        (folder / f"{count}.txt").write_text("\n".join(labels))
        given[count] = (folder / "truth.csv", folder / f"{count}.txt")
    return given


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_imported_with_labels_alone_names_the_pictures(
    name: str, assets: Path, imagenet: dict[int, tuple[Path, Path]], tmp_path: Path
) -> None:
    truth, labels = imagenet[1001 if name.startswith("mobilenet") else 1000]
    bundle = tmp_path / "bundle"
    source = str(assets / "classifiers" / name)
    done = edgemass("model", "import", source, "-o", str(bundle), "--labels", str(labels))
    assert done.returncode == 0, done.stderr
    found = evaluated(str(bundle), "--images", str(assets / "imagenet" / "images"), "--labels", str(truth))
    assert found["images"] == 67
    assert round(found["top1"] * 67) >= CLASSIFIERS[name]
    assert found["top5"] >= found["top1"]


@pytest.fixture(scope="module")
def digits(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every tenth column of the sheet of handwritten digits: 50 rows of 20x20 cells, five rows a digit, padded by 4."""
    folder = tmp_path_factory.mktemp("digits")
    sheet = cv2.imread(str(assets / "pictures" / "digits.png"), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    lines = []
    for row in range(sheet.shape[0] // 20):
        for column in range(0, sheet.shape[1] // 20, 10):
            cell = sheet[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20]
            cv2.imwrite(str(folder / f"{row}-{column}.png"), np.pad(cell, 4))
            lines.append(f"{row}-{column}.png,{row // 5}")
    (folder / "truth.csv").write_text("file,label\n" + "\n".join(lines))
    return folder


@pytest.mark.parametrize("name", SEQUENCES)
def test_an_lstm_reads_handwritten_digits(name: str, assets: Path, digits: Path) -> None:
    model = str(assets / "classifiers" / name)
    found = evaluated(model, "--images", str(digits), "--labels", str(digits / "truth.csv"))
    assert found["images"] == 500
    assert found["top1"] >= 0.89
