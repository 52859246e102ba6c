"""`edgemass-tools quantize` as a user runs it: a network of random weights, and real models on real pictures."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.bundles import load_bundle, open_detector
from edgemass.manifest import Accuracy
from tests.simulators.tiny_models import onnx_classifier, tflite_add

pytestmark = [pytest.mark.runtime]

MAX_LOSS = 0.010
COMMAND = (sys.executable, "-m", "edgemass_tools", "quantize")


def quantize(*arguments: object, timeout_s: float = 100.0) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of coloured patches, and one file that is none."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(20):
        patches = rng.integers(0, 256, (6, 6, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(patches, (64, 48)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return onnx_classifier(tmp_path_factory.mktemp("network") / "net.onnx")


@pytest.fixture(scope="module")
def bundle(network: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "net"
    done = quantize(network, "--images", pictures, "-o", folder)
    assert done.returncode == 0, done.stderr
    assert "1 more could not be read" in done.stdout
    assert "1 of 21 pictures drawn cannot be read" in done.stderr
    return folder


def test_the_bundle_keeps_the_stock_file_and_gains_an_int8_variant(bundle: Path, network: Path) -> None:
    made = load_bundle(bundle)
    stock, int8 = made.manifest.variants
    assert made.path(stock).read_bytes() == network.read_bytes()
    assert (int8.name, int8.precision, int8.made_from) == ("int8", "int8", stock.name)
    assert any(sentence.startswith("int8: made from onnx-fp32, ") for sentence in made.manifest.assumed)


def test_the_int8_variant_answers_as_the_float_one(bundle: Path, pictures: Path) -> None:
    from edgemass.detections import Classification
    from edgemass.detector import Thresholds
    from edgemass.sources.images import find, read

    made = load_bundle(bundle)
    streams = [open_detector(made, variant=item.name)[0].stream() for item in made.manifest.variants]
    for path in find(str(pictures))[:10]:
        if path.stem == "broken":
            continue
        found = [stream.detect(read(path), Thresholds(0.0)).found for stream in streams]
        scores = []
        for item in found:
            assert isinstance(item, Classification)
            scores.append(item.score[np.argsort(item.class_id)])
        np.testing.assert_allclose(scores[0], scores[1], atol=0.02)


def test_its_convolutions_run_in_8_bits_but_the_first_and_the_one_that_they_would_spoil(bundle: Path) -> None:
    kinds = _operators_after_loading(load_bundle(bundle), "int8")
    assert kinds.count("QLinearConv") == 2
    assert sum(kind in ("Conv", "FusedConv") for kind in kinds) == 3


def _operators_after_loading(made: object, name: str) -> list[str]:
    import onnx
    import onnxruntime as ort

    from edgemass.bundles import Bundle

    assert isinstance(made, Bundle)
    path = made.path(made.variant(name))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path.parent / "loaded.onnx.part")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def test_the_same_seed_gives_the_same_file_to_the_byte(
    bundle: Path, network: Path, pictures: Path, tmp_path: Path
) -> None:
    done = quantize(network, "--images", pictures, "-o", tmp_path / "again")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again" / "net.int8.onnx").read_bytes() == (bundle / "net.int8.onnx").read_bytes()


@pytest.mark.parametrize("method", ["minmax", "entropy"])
def test_every_method_gives_a_file_that_agrees(method: str, network: Path, pictures: Path, tmp_path: Path) -> None:
    done = quantize(network, "--images", pictures, "-o", tmp_path / "net", "--method", method)
    assert done.returncode == 0, done.stderr
    assert "agreement  100.0% of 4 answers" in done.stdout


def test_a_bundle_is_quantized_where_it_lies_and_again(bundle: Path, pictures: Path) -> None:
    before = (bundle / "net.int8.onnx").read_bytes()
    done = quantize(bundle, "--images", pictures, "-o", bundle)
    assert done.returncode == 0, done.stderr
    assert [item.name for item in load_bundle(bundle).manifest.variants] == ["onnx-fp32", "int8"]
    assert (bundle / "net.int8.onnx").read_bytes() == before


def refused(arguments: Sequence[object], folder: Path, code: int) -> str:
    done = quantize(*arguments, "-o", folder / "out")
    assert done.returncode == code, done.stderr
    assert not (folder / "out").exists()
    assert not list(folder.glob(".*"))
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("edgemass-tools: error: ")
    assert "Traceback" not in done.stderr
    return last


def test_a_file_that_is_int8_already_is_refused(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    said = refused([bundle / "net.int8.onnx", "--images", pictures], tmp_path, 1)
    assert "int8 already" in said or "quantized already" in said
    assert "quantize from the float export" in said


def test_an_unknown_operator_is_named(pictures: Path, tmp_path: Path) -> None:
    model = onnx_classifier(tmp_path / "novel.onnx", unknown_operator=True)
    assert "Novelty" in refused([model, "--images", pictures], tmp_path, 1)


def test_a_tflite_model_in_halves_is_refused_with_the_way_out(pictures: Path, tmp_path: Path, assets: Path) -> None:
    model = assets / "detectors" / "face_detection_short_range.tflite"
    assert "has no float TFLite variant, only" in refused([model, "--images", pictures], tmp_path, 2)


def test_what_is_no_model_for_pictures_is_refused(pictures: Path, tmp_path: Path) -> None:
    refused([tflite_add(tmp_path / "add.tflite"), "--images", pictures], tmp_path, 1)


def test_too_much_loss_is_told_and_leaves_nothing_unless_it_is_forced(pictures: Path, tmp_path: Path) -> None:
    """All layers in 8 bits, the one that they spoil too."""
    order = [onnx_classifier(tmp_path / "net.onnx", seed=2), "--images", pictures, "--budget", "1e9"]
    assert "agrees with float on 50.0% of 4 answers" in refused(order, tmp_path, 1)
    done = quantize(*order, "-o", tmp_path / "out", "--force")
    assert done.returncode == 0, done.stderr
    assert "agrees with it on 50.0% of 4 answers" in load_bundle(tmp_path / "out").manifest.assumed[-1]


def test_an_interrupted_run_leaves_no_bundle(network: Path, pictures: Path, tmp_path: Path) -> None:
    command = [*COMMAND, str(network), "--images", str(pictures), "-o", str(tmp_path / "out"), "--samples", "16"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            process.wait(1.0)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    whole = (tmp_path / "out" / "manifest.toml").is_file()
    assert whole or not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.assets
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("yolo-fastestv2", 16),
        pytest.param("fastestdet", 16, marks=pytest.mark.slow),  # twice as long
        pytest.param("yolov5n_640", 64, marks=pytest.mark.slow),
        pytest.param("picodet_s_320_coco", 64, marks=pytest.mark.slow),
        pytest.param("yolox_nano_416", 64, marks=pytest.mark.slow),
    ],
)
def test_8_bits_cost_a_real_detector_at_most_a_hundredth_of_map(
    name: str, samples: int, assets: Path, tmp_path: Path
) -> None:
    done = quantize(
        assets / "detectors" / f"{name}.onnx",
        *("--images", assets / "train" / "images", "-o", tmp_path / name, "--samples", samples),
        *("--annotations", assets / "coco-val" / "instances.json", "--eval-images", assets / "coco-val" / "images"),
        timeout_s=800,
    )
    assert done.returncode == 0, done.stderr
    made = load_bundle(tmp_path / name)
    int8 = made.variant("int8")
    before = measured(made.variant(int8.made_from).accuracy or made.manifest.accuracy)
    assert before - measured(int8.accuracy) <= MAX_LOSS
    assert "QLinearConv" in _operators_after_loading(made, "int8")


def measured(accuracy: tuple[Accuracy, ...]) -> float:
    (only,) = accuracy
    assert only.images == 110
    assert only.map_50_95 is not None
    return only.map_50_95
