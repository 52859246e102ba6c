"""`edgemass-tools evaluate` as a user runs it: networks of random weights, and real models on real pictures."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from edgemass.bundles import open_detector, resolve
from edgemass.detections import Classification, Detections
from edgemass.detector import Thresholds, made_up_picture
from edgemass.sources.images import read
from tests.simulators.daemon import edgemass
from tests.simulators.tiny_detectors import BINS, yolo_v8
from tests.simulators.tiny_models import onnx_classifier

pytestmark = [pytest.mark.runtime, pytest.mark.timeout(300)]

COMMAND = (sys.executable, "-m", "edgemass_tools")


def tools(*arguments: object, timeout_s: float = 250.0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)


def evaluated(*arguments: object) -> dict[str, Any]:
    done = tools("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*arguments: object, code: int = 2) -> str:
    done = tools("evaluate", *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("edgemass-tools: error: ")
    return last


def shrunk(path: Path) -> Path:
    """The detector with boxes of a tenth: those of random weights fill the picture, whatever the weights."""
    import onnx

    model = onnx.load(path)
    for constant in model.graph.initializer:
        value = onnx.numpy_helper.to_array(constant)
        if value.shape == (1, BINS, 1, 1):
            constant.CopyFrom(onnx.numpy_helper.from_array(value / 10, constant.name))
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A detector of small boxes, one of large ones, and truth: four pictures with the three surest of the first."""
    folder = tmp_path_factory.mktemp("detectors")
    one, other = shrunk(yolo_v8(folder / "one.onnx")), yolo_v8(folder / "other.onnx")
    detector, _ = open_detector(resolve(str(one)), threads=1, variant="onnx-fp32")
    stream = detector.stream()
    images, boxes = [], []
    for number in range(1, 5):
        name = f"{number}.png"
        cv2.imwrite(str(folder / name), made_up_picture(number))
        images.append({"id": number, "file_name": name, "width": 640, "height": 480})
        found = stream.detect(read(folder / name), Thresholds(0.01)).found
        assert isinstance(found, Detections)
        best = found.take(slice(3))
        for (left, top, right, bottom), class_id in zip(best.xyxy.tolist(), best.class_id.tolist(), strict=True):
            bbox = [left, top, right - left, bottom - top]
            boxes.append({"image_id": number, "category_id": class_id + 1, "bbox": bbox})
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(("ant", "bee", "cat"))]
    truth = folder / "instances.json"
    truth.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    return one, other, truth


def truth_of(annotations: Path) -> tuple[object, ...]:
    return "--images", annotations.parent, "--annotations", annotations


def test_every_variant_and_model_is_measured_beside_the_reference(
    detectors: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, other, truth = detectors
    report = tmp_path / "report.html"
    found = evaluated(one, other, *truth_of(truth), "--report", report)
    first, last = found["variants"][0], found["variants"][-1]
    assert (first["model"], first["variant"], first["loss"], first["held"]) == ("one", "onnx-fp32", None, False)
    assert (last["model"], last["held"]) == ("other", True)
    assert first["map_50"] > last["map_50"]
    assert last["loss"] == pytest.approx(first["map_50_95"] - last["map_50_95"])
    assert all(0 < item["run_ms"] <= item["frame_ms"] for item in found["variants"])
    shown = " ".join(ET.parse(report).getroot().itertext())  # noqa: S314 (our own page)
    assert f"{first['map_50_95']:.3f}" in shown
    assert f"{last['map_50_95']:.3f}" in shown


def test_accuracy_is_that_of_eval(detectors: tuple[Path, Path, Path]) -> None:
    one, _, truth = detectors
    done = edgemass("eval", str(one), *map(str, truth_of(truth)), "--variant", "onnx-fp32", "--json", timeout_s=100)
    assert done.returncode == 0, done.stderr
    wanted = json.loads(done.stdout)
    found = evaluated(one, *truth_of(truth), "--variant", "onnx-fp32")["variants"]
    assert [item["variant"] for item in found] == ["onnx-fp32"]
    assert found[0]["map_50_95"] == pytest.approx(wanted["map_50_95"])
    assert found[0]["map_50"] == pytest.approx(wanted["map_50"])


def test_a_gate_that_is_missed_is_exit_1_with_every_miss(detectors: tuple[Path, Path, Path]) -> None:
    one, other, truth = detectors
    bounds = ("--min-map", 0.999, "--max-loss", 0.0001, "--max-ms", 0.000001)
    done = tools("evaluate", one, other, *truth_of(truth), *bounds)
    assert done.returncode == 1
    missed = [line for line in done.stderr.splitlines() if line.startswith("edgemass-tools: missed: ")]
    assert all(line.startswith("edgemass-tools: missed: other ") for line in missed)
    for told in ("mAP 50-95", "loses", "a frame takes"):
        assert sum(told in line for line in missed) == 1
    assert "mAP 50-95" in done.stdout


def test_a_gate_that_is_kept_is_exit_0(detectors: tuple[Path, Path, Path]) -> None:
    one, _, truth = detectors
    done = tools("evaluate", one, *truth_of(truth), "--variant", "onnx-fp32", "--min-map", 0.0, "--max-ms", 1e6)
    assert done.returncode == 0, done.stderr
    assert "gate passed by onnx-fp32: mAP 50-95 at least 0, a frame at most 1e+06 ms" in done.stdout


def test_what_does_not_fit_is_refused_in_one_line(detectors: tuple[Path, Path, Path], tmp_path: Path) -> None:
    one, _, truth = detectors
    network = onnx_classifier(tmp_path / "net.onnx")
    table = tmp_path / "truth.csv"
    table.write_text("file,label\n1.png,class_0\n")
    assert "give --annotations instances.json" in refused(one, "--images", truth.parent, "--labels", table)
    assert "give --labels truth.csv or --folders" in refused(network, *truth_of(truth))
    assert "is a classification model" in refused(one, network, *truth_of(truth))
    assert "no variant 'int8'" in refused(one, *truth_of(truth), "--variant", "int8")
    assert "--min-top1 is no bound" in refused(one, *truth_of(truth), "--min-top1", 0.5)
    compared = refused(one, *truth_of(truth), "--variant", "onnx-fp32", "--max-loss", 0.1)
    assert "--max-loss compares with a reference" in compared
    assert "given twice" in refused(one, one, *truth_of(truth))
    assert "is not a file" in refused(one, "--images", truth.parent, "--annotations", tmp_path / "none.json")
    strange = json.loads(truth.read_bytes())
    strange["categories"] = [{**item, "name": f"x{item['id']}"} for item in strange["categories"]]
    (truth.parent / "strange.json").write_text(json.dumps(strange))
    assert "no label of the model" in refused(one, *truth_of(truth.parent / "strange.json"))


def test_an_unreadable_picture_is_an_error_or_is_left_out_and_counted(
    detectors: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    one, _, truth = detectors
    folder = tmp_path / "pictures"
    shutil.copytree(truth.parent, folder)
    (folder / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    arguments = (one, *truth_of(folder / "instances.json"), "--variant", "onnx-fp32")
    assert "2.png" in refused(*arguments, code=1)
    (folder / "3.png").unlink()
    assert "1 of 4 pictures" in refused(*arguments)
    found = evaluated(*arguments, "--skip-broken")
    assert found["variants"][0]["images"] == 2
    assert any("2 pictures were missing or could not be read" in note for note in found["notes"])


@pytest.fixture(scope="module")
def classifiers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle with an int8 variant, and pictures in folders of the classes that its float variant names."""
    folder = tmp_path_factory.mktemp("classifiers")
    network = onnx_classifier(folder / "net.onnx")
    stream = open_detector(resolve(str(network)), threads=1)[0].stream()
    rng = np.random.default_rng(0)
    for number in range(20):
        picture = cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (64, 48))
        found = stream.detect(np.asarray(picture, np.uint8), Thresholds(0.0)).found
        assert isinstance(found, Classification)
        place = folder / "pictures" / f"class_{found.class_id[0]}"
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{number}.png"), picture)
    calibration = folder / "calibration"
    calibration.mkdir()
    for path in (folder / "pictures").rglob("*.png"):
        shutil.copy(path, calibration)
    done = tools("quantize", network, "--images", calibration, "-o", folder / "bundle")
    assert done.returncode == 0, done.stderr
    return folder / "bundle", folder / "pictures"


def test_the_compressed_variant_of_a_classifier_is_held(classifiers: tuple[Path, Path]) -> None:
    bundle, pictures = classifiers
    found = evaluated(bundle, "--images", pictures, "--folders", "--max-loss", 1)
    stock, int8 = found["variants"]
    assert (stock["variant"], stock["top1"], stock["held"]) == ("onnx-fp32", 1.0, False)
    assert (int8["variant"], int8["held"]) == ("int8", True)
    assert int8["loss"] == pytest.approx(1 - int8["top1"])
    assert stock["macro"]["f1"] == 1.0
    assert sum(count for _, _, count in stock["confusion"]) == stock["images"] == 20


def test_a_class_that_the_model_does_not_know_is_named(classifiers: tuple[Path, Path], tmp_path: Path) -> None:
    bundle, pictures = classifiers
    shutil.copytree(pictures, tmp_path / "pictures")
    next((tmp_path / "pictures").iterdir()).rename(tmp_path / "pictures" / "unicorn")
    assert "unicorn" in refused(bundle, "--images", tmp_path / "pictures", "--folders")


@pytest.mark.assets
def test_real_detectors_reach_their_reference_as_eval_says(assets: Path) -> None:
    reference = json.loads((assets / "reference.json").read_text())["detectors"]
    names = ("ssd_mobilenet_v1_coco_quant_postprocess.tflite", "yolo-fastest-1.1.onnx")
    models = [assets / "detectors" / name for name in names]
    truth = (
        "--images",
        assets / "coco-val" / "images",
        "--annotations",
        assets / "coco-val" / "instances.json",
    )
    found = evaluated(*models, *truth)["variants"]
    for model in models:
        mine = next(item for item in found if item["model"] == model.stem)  # the stock file comes first
        done = edgemass("eval", str(model), *map(str, truth), "--variant", mine["variant"], "--json", timeout_s=280)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        for key in ("map_50_95", "map_50"):
            assert mine[key] == pytest.approx(said[key])
            assert mine[key] >= reference[model.name][key] - 0.005
        assert mine["per_class"]["person"]["map_50"] == pytest.approx(said["per_class"]["person"]["map_50"])
