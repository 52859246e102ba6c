"""ONNX Runtime's OpenVINO and GPU builds: each in an environment of its own, since they install the same module.

The environments are made under build/runtimes when they are missing (some 600 MB from the package index).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulators import tiny_models

pytestmark = [pytest.mark.slow, pytest.mark.runtime]

REPOSITORY = Path(__file__).resolve().parents[2]
COMMON = ("av", "msgspec", "numpy", "onnx", "opencv-python-headless", "paho-mqtt", "pycocotools", "pyserial", "tomli-w")
OPENVINO_MODELS = (
    "fastestdet.onnx",
    "picodet_s_320_coco.onnx",
    "ssd_mobilenet_v1_coco_nms.onnx",
    "ssd_mobilenet_v1_coco_rawheads.onnx",
    "yolo-fastest-1.1.onnx",
    "yolo-fastestv2.onnx",
    "yolov5n_640.onnx",
    "yolox_nano_416.onnx",
)


def python_with(package: str) -> Path:
    """The interpreter of an environment that has one build of ONNX Runtime."""
    folder = REPOSITORY / "build" / "runtimes" / package
    python = folder / "bin" / "python"
    done = folder / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [str(python), "-m", "pip", "--quiet", "install", package, *COMMON, "tomli"]
        tried = subprocess.run(install, capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"{package} cannot be installed: {tried.stderr.strip().splitlines()[-1:]}")
        done.touch()
    return python


@pytest.fixture(scope="module")
def openvino() -> Path:
    return python_with("onnxruntime-openvino")


@pytest.fixture(scope="module")
def gpu_build() -> Path:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has an NVIDIA driver; the test is about one that has none")
    return python_with("onnxruntime-gpu")


def start(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [python, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=1800
    )


def run(python: Path, model: Path, backend: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = ("-m", "edgemass", "run", "--camera", "synthetic:", "--model", str(model), "--backend", backend)
    return start(python, *command, "--sink", "jsonl:-", "--frames", "2", *more)


def backends_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["backend"] for line in done.stdout.splitlines()]


@pytest.mark.assets
def test_openvino_runs_and_says_so(openvino: Path, assets: Path) -> None:
    done = run(openvino, assets / "detectors" / "yolo-fastest-1.1.onnx", "onnx:openvino", "--strict")
    assert backends_of(done) == ["onnxruntime/openvino"] * 2


@pytest.mark.assets
def test_a_model_that_openvino_cannot_compile_runs_on_the_cpu_with_its_reason(openvino: Path, assets: Path) -> None:
    done = run(openvino, assets / "detectors" / "nanodet_m_416_int8.onnx", "onnx:openvino")
    assert backends_of(done) == ["onnxruntime/cpu"] * 2
    assert "CPU plug-in doesn't support Parameter operation with dynamic rank" in done.stderr


@pytest.mark.assets
def test_openvino_is_as_accurate_as_the_reference(openvino: Path, assets: Path) -> None:
    benchmark = str(REPOSITORY / "tests" / "benchmarks" / "accuracy.py")
    done = start(openvino, benchmark, "--assets", str(assets), "--backend", "onnx:openvino", *OPENVINO_MODELS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_gpu_build_without_a_gpu_lists_what_it_cannot_run(gpu_build: Path) -> None:
    told = start(gpu_build, "-c", "import onnxruntime as o; print(o.get_available_providers())").stdout
    assert "CUDAExecutionProvider" in told
    assert "TensorrtExecutionProvider" in told


@pytest.mark.assets
@pytest.mark.parametrize("backend", ["onnx:cuda", "onnx:tensorrt,cuda,cpu"])
def test_the_gpu_build_without_a_gpu_is_reported_as_the_cpu(gpu_build: Path, assets: Path, backend: str) -> None:
    model = assets / "detectors" / "yolo-fastest-1.1.onnx"
    done = run(gpu_build, model, backend)
    assert backends_of(done) == ["onnxruntime/cpu"] * 2
    assert "onnxruntime/cuda was asked for, the session runs on onnxruntime/cpu" in done.stderr
    assert "cannot open shared object file" in done.stderr
    strict = run(gpu_build, model, backend, "--strict")
    assert (strict.returncode, strict.stdout) == (1, "")
    assert strict.stderr.rstrip().endswith("leave out --strict to run on something else")


def test_even_without_the_ladder_the_adapter_names_the_cpu(gpu_build: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edgemass import backends; "
        "options = backends.Options(provider='cuda'); "
        "opened = backends.load('onnx').open(Path(sys.argv[1]), options); print(opened.name, opened.requested)"
    )
    done = start(gpu_build, "-c", program, str(tiny_models.onnx_add(tmp_path / "model")))
    assert done.stdout.split() == ["onnxruntime/cpu", "onnxruntime/cuda"]
