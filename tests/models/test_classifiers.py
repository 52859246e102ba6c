"""Classifiers from folders to a bundle, as a user makes them: what the tool reports is what a device finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from edgemass import cli as device
from edgemass.frame import Image
from edgemass_tools import checkpoint, cli

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.timeout(600),  # PyTorch alone takes its time on a busy machine
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's, of its ONNX exporter
]

QUICK = ("--threads", "1", "--workers", "0", "--precision", "fp32", "--batch", "16")
SHAPES = ("ball", "bar", "box")


def draw(shape: str, rng: np.random.Generator) -> Image:
    """A light figure on a dark ground, (40, 48, 3)."""
    image = np.full((40, 48, 3), rng.integers(0, 60), np.uint8)
    x, y = int(rng.integers(16, 32)), int(rng.integers(14, 26))
    color = tuple(int(value) for value in rng.integers(150, 256, 3))
    if shape == "ball":
        cv2.circle(image, (x, y), 9, color, -1)
    elif shape == "bar":
        cv2.rectangle(image, (x - 14, y - 2), (x + 14, y + 2), color, -1)
    else:
        cv2.rectangle(image, (x - 9, y - 9), (x + 9, y + 9), color, 2)
    return image


def folders(root: Path, shapes: tuple[str, ...], count: int) -> Path:
    rng = np.random.default_rng(0)
    for shape in shapes:
        (root / shape).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / shape / f"{number}.png"), draw(shape, rng))
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A trained run, and the folder that it learnt from."""
    root = tmp_path_factory.mktemp("classifier")
    data = folders(root / "shapes", SHAPES[:2], 40)
    train(
        "--net", "cnn", "--option", "widths=[8,16]", "--size", "32x32", "--folders", data, "--epochs", 6, root / "run"
    )
    return root / "run", data


def train(*arguments: object) -> None:
    *given, output = map(str, arguments)
    assert cli.main(["train", *given, *QUICK, "--lr", "1e-2", "-o", output]) == 0


def test_eval_of_the_bundle_says_what_the_tool_reported(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = run
    reported = checkpoint.load(folder / "model.pt").record[-1].results
    golden = str(data / "bar" / "0.png")
    assert cli.main(["export", str(folder / "model.pt"), "-o", str(tmp_path / "shapes"), "--golden", golden]) == 0
    capsys.readouterr()
    truth = str(folder / "held.csv")
    assert device.main(["eval", str(tmp_path / "shapes"), "--images", str(data), "--labels", truth, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 16
    assert (found["top1"], found["top5"]) == pytest.approx((reported["top1"], reported["top5"]), abs=1e-9)
    assert found["top1"] > 0.8


def test_new_classes_begin_with_the_weights_of_old_ones_and_it_is_said_which(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = folders(tmp_path / "more", SHAPES, 10)
    train("--from", run[0] / "model.pt", "--folders", data, "--epochs", 1, tmp_path / "moved")
    said = capsys.readouterr().err
    assert re.search(r"18 of 20 tensors are taken over from .*, which knows ball, bar; new are classes\.", said)
    moved = checkpoint.load(tmp_path / "moved" / "model.pt")
    assert moved.labels == SHAPES
    assert (moved.width, moved.height) == (32, 32)
    assert [step.verb for step in moved.record] == ["train", "train"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--net", "cnn"], "a classifier learns from --folders DIR"),
        (["--net", "cnn", "--annotations", "a.json", "--images", "i"], "it learns from --folders, not from"),
        (["--folders", "{data}"], "--folders is for classifiers"),
        (["--net", "cnn", "--folders", "{data}", "--val-folders", "{other}"], "has classes that"),
        (["--net", "cnn", "--folders", "{data}", "--augment", "mosaic=1"], "--augment: Object contains unknown field"),
        (["--net", "cnn", "--folders", "{data}", "--loss", "smoothing=much"], "--loss: Expected `float`"),
        (["--net", "cnn", "--folders", "{broken}"], "cannot be read as a picture"),
        (["--net", "cnn", "--folders", "{data}", "--size", "32"], "a size is WxH in pixels"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    arguments: list[str], told: str, run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = folders(tmp_path / "other", SHAPES, 2)
    (other / "box" / "0.png").write_bytes(b"no picture")
    places = {"data": run[1], "other": other, "broken": other}
    given = [item.format(**places) for item in arguments]
    assert cli.main(["train", *given, *QUICK, "--epochs", "1", "-o", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("edgemass-tools: error: ")
    assert told in said


def test_a_run_does_not_go_on_with_other_classes(run: tuple[Path, Path], tmp_path: Path) -> None:
    data = folders(tmp_path / "others", ("bar", "box"), 3)
    before = (run[0] / "model.pt").read_bytes()
    given = ["--net", "cnn", "--option", "widths=[8,16]", "--size", "32x32", "--folders", str(data), "--epochs", "6"]
    assert cli.main(["train", *given, *QUICK, "--lr", "1e-2", "-o", str(run[0])]) == 2
    assert (run[0] / "model.pt").read_bytes() == before
