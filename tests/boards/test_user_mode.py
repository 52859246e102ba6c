"""ARM builds of Python, NumPy, OpenCV and the runtimes on real pictures, instruction by instruction under QEMU."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.boards import roots, user_mode
from tests.simulators.daemon import edgemass

SSD = "ssd_mobilenet_v1_coco_quant_postprocess.tflite"
ONNX = "fastestdet.onnx"
CLEAR = 0.6  # quantized sums of two kernels differ by a few units: what is near the threshold may come or go
NEAR = 0.03  # of the picture's side
FRAMES = 3
TIMEOUT_S = 600.0

pytestmark = [pytest.mark.assets, pytest.mark.runtime, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Board:
    """machine: what `uname -m` says there. libraries: LD_LIBRARY_PATH, for what Debian's alternatives would link."""

    machine: str
    qemu: str
    build: Callable[[], Path]
    libraries: str = ""
    cores: str | None = None
    mounts: Mapping[Path, str] = field(default_factory=dict)


AARCH64 = Board("aarch64", "aarch64", roots.arm64, cores="0-1")
_LIB = "/usr/lib/arm-linux-gnueabihf"
ARMV7L = Board("armv7l", "arm", roots.armhf, libraries=f"{_LIB}/lapack:{_LIB}/blas")
arm64 = pytest.mark.arm64
armv7l = pytest.mark.armv7l


@pytest.fixture
def on_board(board_root: Callable[[Callable[[], Path], str], Path], assets: Path, tmp_path: Path) -> Callable[..., str]:
    """`on_board(board, *python_arguments)` -> standard output of that board's Python."""

    def run(board: Board, *arguments: str) -> str:
        root = board_root(board.build, user_mode.missing(board.qemu))
        mounts = {roots.REPOSITORY: "/repository", assets: "/assets"}
        if board.cores is not None:  # XNNPACK's cpuinfo reads these two; with all of /sys LiteRT crashes in user mode
            cores = tmp_path / "cpu"
            cores.mkdir(exist_ok=True)
            for name in ("possible", "present"):
                (cores / name).write_text(f"{board.cores}\n")
            mounts[cores] = "/sys/devices/system/cpu"
        environment = {"PYTHONPATH": f"/repository:/{roots.SITE}", "LD_LIBRARY_PATH": board.libraries}
        command = ["/usr/bin/python3", *arguments]
        done = user_mode.run(root, board.qemu, command, timeout_s=TIMEOUT_S, environment=environment, mounts=mounts)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def documents(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def clear(document: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """Label and box of what no rounding makes come or go."""
    return sorted((found["label"], found["box"]) for found in document["detections"] if found["score"] >= CLEAR)


@pytest.mark.parametrize(
    "board", [pytest.param(AARCH64, marks=arm64), pytest.param(ARMV7L, marks=armv7l)], ids=lambda board: board.machine
)
def test_the_board_runs_its_own_instructions(board: Board, on_board: Callable[..., str]) -> None:
    told = on_board(board, "-c", "import platform, struct; print(platform.machine(), struct.calcsize('P') * 8)").split()
    assert told == [board.machine, "32" if board.machine == "armv7l" else "64"]
    assert board.machine != platform.machine()


@pytest.mark.parametrize(
    ("board", "model", "backend"),
    [
        pytest.param(AARCH64, SSD, "litert/xnnpack", marks=arm64, id="aarch64-litert"),
        pytest.param(AARCH64, ONNX, "onnxruntime/cpu", marks=arm64, id="aarch64-onnxruntime"),
        pytest.param(ARMV7L, SSD, "litert/cpu", marks=armv7l, id="armv7l-tflite-runtime"),
    ],
)
def test_pictures_give_the_detections_of_a_pc(
    board: Board, model: str, backend: str, on_board: Callable[..., str], assets: Path
) -> None:
    def arguments(folder: str) -> list[str]:
        run = ["run", "--camera", f"{folder}/pictures", "--model", f"{folder}/detectors/{model}"]
        return [*run, "--sink", "jsonl:-", "--frames", str(FRAMES)]

    here = edgemass(*arguments(str(assets)))
    assert here.returncode == 0, here.stderr
    expected = documents(here.stdout)
    found = documents(on_board(board, "-m", "edgemass", *arguments("/assets")))
    assert [document["backend"] for document in found] == [backend] * FRAMES
    assert sum(len(clear(document)) for document in expected) >= FRAMES - 1, "the pictures show too little"
    for there, reference in zip(found, expected, strict=True):
        assert there["frame"] == reference["frame"]
        assert [label for label, _ in clear(there)] == [label for label, _ in clear(reference)]
        for (_, box), (_, wanted) in zip(clear(there), clear(reference), strict=True):
            assert box == pytest.approx(wanted, abs=NEAR)
