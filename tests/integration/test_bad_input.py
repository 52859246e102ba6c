"""What a user may get wrong: one line that says what to do, the designed exit code, no traceback."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon, edgemass
from tests.simulators.tiny_models import onnx_add, onnx_external

pytestmark = [pytest.mark.assets, pytest.mark.runtime]

FAILURE, USAGE, CONFIG = 1, 2, 78

Make = Callable[[Path, Path], list[str]]
"""(folder of the test, assets) -> the command line."""


def told(arguments: list[str]) -> tuple[int, str]:
    """Exit code and the error line of a command that must fail."""
    done = edgemass(*arguments, timeout_s=60)
    assert "Traceback" not in done.stderr, done.stderr
    errors = [line for line in done.stderr.splitlines() if "error" in line]
    assert len(errors) == 1, done.stderr
    assert done.stderr.strip().splitlines()[-1] == errors[0] or "camera done" in done.stderr
    return done.returncode, errors[0]


def model(assets: Path) -> str:
    return str(assets / "detectors" / "face_detection_short_range.tflite")


def run(camera: object, assets: Path, *more: str) -> list[str]:
    return ["run", "--camera", str(camera), "--model", model(assets), "--sink", "jsonl:-", *more]


def with_model(path: object) -> list[str]:
    return ["run", "--camera", "synthetic:?frames=3", "--model", str(path), "--sink", "jsonl:-"]


def file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def truncated(folder: Path, assets: Path, name: str) -> Path:
    whole = (assets / "detectors" / name).read_bytes()
    return file(folder, Path(name).name, whole[: len(whole) // 2])


def huge_png(folder: Path) -> Path:
    """A picture of 40,000 x 40,000 pixels in a file of some kilobytes: only its header is true."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    return file(folder, "huge.png", b"\x89PNG\r\n\x1a\n" + body)


def labels(folder: Path, count: int) -> Path:
    return file(folder, "labels.txt", "\n".join(f"thing{i}" for i in range(count)).encode())


def import_with_labels(folder: Path, assets: Path, name: str, count: int) -> list[str]:
    source, out = assets / "detectors" / name, folder / "bundle"
    return ["model", "import", str(source), "-o", str(out), "--labels", str(labels(folder, count))]


HUGE_TRUTH = b"""{
    "images": [{"id": 1, "file_name": "huge.png", "width": 40000, "height": 40000}],
    "categories": [{"id": 1, "name": "face"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}]
}"""

MISTAKES: dict[str, tuple[Make, int, str]] = {
    "a truncated TFLite file": (
        lambda f, a: with_model(truncated(f, a, "yolov5n-int8.tflite")),
        FAILURE,
        "yolov5n-int8.tflite",
    ),
    "a truncated ONNX file": (lambda f, a: with_model(truncated(f, a, "fastestdet.onnx")), FAILURE, "fastestdet.onnx"),
    "a text file as model": (lambda f, _: with_model(file(f, "m.onnx", b"<html>404</html>")), FAILURE, "m.onnx"),
    "an empty file as model": (lambda f, _: with_model(file(f, "m.tflite", b"")), FAILURE, "empty"),
    "a model that is not there": (lambda f, _: with_model(f / "none.onnx"), USAGE, "none.onnx"),
    "too few labels": (lambda f, a: import_with_labels(f, a, "fastestdet.onnx", 79), FAILURE, "79"),
    "too many labels": (lambda f, a: import_with_labels(f, a, "yolov5n_640.onnx", 81), FAILURE, "81"),
    "an unknown family": (
        lambda f, _: with_model(onnx_add(f / "add.onnx", (1, 3, 64, 64))),
        FAILURE,
        "no family knows",
    ),
    "external data outside its folder": (
        lambda f, _: with_model(onnx_external(f / "ext.onnx", "../../../../../etc/passwd")),
        FAILURE,
        "passwd",
    ),
    "a video that is not there": (lambda f, a: run(f / "none.mp4", a), FAILURE, "none.mp4"),
    "a text file as video": (lambda f, a: run(file(f, "v.mp4", b"hello" * 100), a), FAILURE, "v.mp4"),
    "a folder without pictures": (run, FAILURE, "picture"),
    "a picture of 40,000 x 40,000 pixels": (lambda f, a: run(huge_png(f), a), FAILURE, "huge.png"),
    "an unknown scheme": (lambda _, a: run("ftp://host/x", a), USAGE, "ftp"),
    "an unknown sink": (lambda _, a: [*run("synthetic:?frames=1", a), "--sink", "kafka://x"], USAGE, "kafka"),
    "an output that cannot be written": (
        lambda f, a: [*run("synthetic:?frames=1", a), "--sink", f"jsonl:{f}/no/such/folder/x"],
        FAILURE,
        "no/such/folder",
    ),
    "pictures into a file": (
        lambda f, a: [*run("synthetic:?frames=1", a), "--sink", f"snapshots:{file(f, 'x', b'')}"],
        FAILURE,
        "x",
    ),
    "a bundle into a file": (
        lambda f, a: ["model", "import", str(a / "detectors" / "fastestdet.onnx"), "-o", str(file(f, "x", b""))],
        USAGE,
        "x",
    ),
    "a backend the model has no file for": (
        lambda _, a: [*run("synthetic:?frames=1", a), "--backend", "onnx"],
        USAGE,
        "onnx",
    ),
    "a password file that is not there": (
        lambda f, a: [*run("synthetic:?frames=1", a), "--mqtt", f"mqtt://u@127.0.0.1:1?password_file={f}/none"],
        CONFIG,
        "none",
    ),
    "a bad configuration": (lambda f, _: ["run", "--config", str(file(f, "c.toml", b"camras = 1"))], CONFIG, "cameras"),
    "a picture of 40,000 x 40,000 pixels to evaluate": (
        lambda f, a: [
            *("eval", model(a), "--images", str(huge_png(f).parent)),
            *("--annotations", str(file(f, "a.json", HUGE_TRUTH))),
        ],
        FAILURE,
        "huge.png",
    ),
    "annotations that are none": (
        lambda f, a: ["eval", model(a), "--images", str(f), "--annotations", str(file(f, "a.json", b"[]"))],
        USAGE,
        "instances.json",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(mistake: str, tmp_path: Path, assets: Path) -> None:
    make, code, named = MISTAKES[mistake]
    found, line = told(make(tmp_path, assets))
    assert found == code, line
    assert named in line


def test_a_video_that_ends_in_garbage_gives_its_good_frames_and_says_so(tmp_path: Path, assets: Path) -> None:
    whole = (assets / "videos" / "vtest.avi").read_bytes()
    path = file(tmp_path, "cut.avi", whole[: len(whole) // 40] + np.random.default_rng(0).bytes(50_000))
    done = edgemass(*run(path, assets), timeout_s=60)
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\n") > 5
    assert "cut.avi" in done.stderr.replace("camera online", "")


def test_broken_pictures_are_skipped_and_named(tmp_path: Path, assets: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 32, 3), np.uint8))
    file(tmp_path, "b.png", b"not a picture")
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((32, 32, 3), np.uint8))
    done = edgemass(*run(tmp_path, assets), timeout_s=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 2
    assert "b.png" in done.stderr


def test_standard_output_that_cannot_be_written_does_not_stop_a_camera(tmp_path: Path, assets: Path) -> None:
    path = tmp_path / "documents"
    arguments = run("synthetic:?frames=9", assets, "--sink", "console:", "--sink", f"jsonl:{path}")
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "edgemass", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert "No space left" in done.stderr
    assert len(path.read_text().splitlines()) == 9
    assert done.returncode == 1, "whoever waited for the documents must know that some are missing"


def test_closed_standard_output_does_not_stop_a_camera(tmp_path: Path, assets: Path) -> None:
    path = tmp_path / "documents"
    arguments = run("synthetic:?frames=9", assets, "--sink", "console:", "--sink", f"jsonl:{path}")
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "edgemass", *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert len(path.read_text().splitlines()) == 9


def test_a_file_that_breaks_beside_a_live_camera_is_told_at_once(tmp_path: Path, assets: Path) -> None:
    broken = file(tmp_path, "v.mp4", b"hello" * 100)
    arguments = ["--camera", str(broken), "--camera", "synthetic:", "--model", model(assets), "--sink", "jsonl:-"]
    with Daemon(tmp_path, *arguments) as daemon:
        wait_until(lambda: "v.mp4" in daemon.err, "the file's error, while the other camera runs")
        assert daemon.running
        assert daemon.end() == FAILURE
    assert daemon.err.count("v.mp4") == 1


@pytest.fixture
def unknown(assets: Path, tmp_path: Path) -> Path:
    """A model file that nothing is kept of yet."""
    return Path(shutil.copy(assets / "detectors" / "yolov8n_640_int8dyn.onnx", tmp_path))


def test_ctrl_c_while_a_model_is_read_is_a_good_end(unknown: Path) -> None:
    """A terminal sends it to every process of the group, also to the one that tries the file out."""
    command = [sys.executable, "-m", "edgemass", *with_model(unknown)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().strip(), "the process that tries the file out")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_ctrl_c_while_a_model_is_rewritten_is_a_good_end(assets: Path, tmp_path: Path) -> None:
    source = shutil.copy(assets / "detectors" / "picodet_s_320_coco.onnx", tmp_path / "mine.onnx")
    command = [sys.executable, "-m", "edgemass", *with_model(source)]
    place = {**os.environ, "EDGEMASS_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=place) as process:
        assert process.stderr is not None
        assert "optimizing mine" in process.stderr.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().strip(), "the process that rewrites the file")
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")


def test_sigterm_ends_every_verb_well_and_its_child_too(unknown: Path) -> None:
    command = [sys.executable, "-m", "edgemass", "model", "inspect", str(unknown)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text().strip(), "the process that tries the file out")
        child = Path("/proc", children.read_text().strip())
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    wait_until(lambda: not child.exists(), "the child's end")


def test_a_reader_that_has_seen_enough_ends_the_run_quietly(assets: Path) -> None:
    command = [sys.executable, "-m", "edgemass", *run("synthetic:", assets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
