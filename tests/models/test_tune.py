"""`edgemass-tools tune` as a user runs it, on drawn pictures."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")
pytest.importorskip("optuna", reason="needs the extra train of edgemass-tools")

from edgemass.bundles import load_bundle
from edgemass_tools import checkpoint, cli, nets
from edgemass_tools.checkpoint import Checkpoint
from edgemass_tools.data import drawn

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.timeout(600),  # PyTorch alone takes its time on a busy machine
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's, of its ONNX exporter
]

QUICK = ("--threads", "1", "--workers", "0", "--precision", "fp32")
NET = {"widths": [8, 8, 16, 16, 16], "depths": [1, 1, 1], "neck": 16, "head_depth": 1}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Annotations and the folder of twelve drawn pictures."""
    folder = tmp_path_factory.mktemp("drawn")
    return drawn.write(folder, 12, 1, (96, 64)), folder / "images"


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a detector that has learnt nothing."""
    import torch

    torch.manual_seed(0)
    weights = nets.build("edge-detector", NET, 1).state_dict()
    path = tmp_path_factory.mktemp("untrained") / "person" / "model.pt"
    body = Checkpoint(net="edge-detector", options=NET, labels=("person",), width=96, height=64, weights=weights)
    checkpoint.save(body, path)
    return path


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Light and dark pictures, 12 of each."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for name, light in (("dark", 60), ("light", 190)):
        (root / name).mkdir()
        for number in range(12):
            cv2.imwrite(str(root / name / f"{number}.png"), rng.integers(light - 50, light + 50, (24, 24, 3)))
    return root


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def best(folder: Path) -> dict[str, object]:
    found: dict[str, object] = msgspec.toml.decode((folder / "best.toml").read_bytes())
    return found


def test_a_training_is_searched_resumed_and_can_be_gone_on_with(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def tune(trials: int, output: Path) -> list[str]:
        given = ["--net", "cnn", "--option", "widths=[8,8]", "--size", "24x24", "--folders", str(shapes), *QUICK]
        given += ["--epochs", "2", "--measure-every", "1", "--batch", "8", "--over", "lr,recolor,smoothing"]
        assert cli.main(["tune", "training", *given, "--trials", str(trials), "-o", str(output)]) == 0
        return capsys.readouterr().out.splitlines()

    tune(2, tmp_path / "parts")
    said = tune(4, tmp_path / "parts")
    tune(4, tmp_path / "whole")
    parts, whole = rows(tmp_path / "parts"), rows(tmp_path / "whole")
    assert len(parts) == 4
    assert (parts[0]["lr"], parts[0]["recolor"], parts[0]["smoothing"]) == ("0.0025", "0.8", "0.1")
    assert [(row["lr"], row["value"]) for row in parts] == [(row["lr"], row["value"]) for row in whole]
    command = shlex.split(said[-1])
    assert command[:2] == ["edgemass-tools", "train"]
    assert best(tmp_path / "parts")["command"] == said[-1].strip()
    assert cli.main(command[1:]) == 0
    assert (tmp_path / "parts" / "train" / "model.pt").is_file()


@pytest.fixture(scope="module")
def bundle(untrained: Path, pictures: tuple[Path, Path]) -> Path:
    folder = untrained.parent / "bundle"
    assert cli.main(["export", str(untrained), "-o", str(folder), "--golden", str(next(pictures[1].iterdir()))]) == 0
    return folder


@pytest.mark.parametrize("metric", ["f1", "map_50"])
def test_thresholds_are_confirmed_on_other_pictures_before_they_are_written(
    metric: str, pictures: tuple[Path, Path], bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations, images = pictures
    given = ["--images", str(images), "--annotations", str(annotations), "--trials", "5", "-o", str(tmp_path / "out")]
    assert cli.main(["tune", "thresholds", str(bundle), "--metric", metric, *given]) == 0
    said = capsys.readouterr().out
    told = best(tmp_path / "out")
    assert "confirmed on 6 other pictures" in said
    assert len(rows(tmp_path / "out")) == 5
    nms = load_bundle(bundle).manifest.output.nms
    assert nms is not None
    assert float(rows(tmp_path / "out")[0]["iou"]) == nms.iou
    changed = (tmp_path / "out" / "bundle").is_dir()
    assert changed == (float(str(told["confirmed"])) > float(str(told["confirmed_default"])))
    if changed:
        assert load_bundle(tmp_path / "out" / "bundle").manifest != load_bundle(bundle).manifest


def test_a_compression_keeps_within_the_latency_and_writes_a_bundle(
    pictures: tuple[Path, Path], untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotations, images = pictures
    given = [str(untrained), "--calibrate", str(images), "--images", str(images), "--annotations", str(annotations)]
    given += ["--size", "96x64", "--size", "64x64", "--samples", "2"]
    out = tmp_path / "out"
    assert cli.main(["tune", "compression", *given, "--max-ms", "1000", "--trials", "2", "-o", str(out)]) == 0
    found = rows(out)
    assert [row["state"] for row in found] == ["done"] * 2
    assert (found[0]["method"], found[0]["size"]) == ("percentile", "96x64")
    assert all(float(row["ms"]) > 0 and float(row["mb"]) > 0 for row in found)
    assert load_bundle(out / "bundle").manifest.input.width == 96
    capsys.readouterr()
    hopeless = ["--max-ms", "0.000001", "--trials", "1", "-o", str(tmp_path / "none")]
    assert cli.main(["tune", "compression", *given, "--over", "budget", *hopeless]) == 1
    assert "nothing is good enough" in capsys.readouterr().out
    assert {row["state"] for row in rows(tmp_path / "none")} == {"pruned"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["training", "--net", "cnn", "--folders", "{shapes}", "--trials", "0"], "--trials must be at least 1"),
        (["training", "--net", "cnn", "--folders", "{shapes}", "--over", "colour"], "colour cannot be searched"),
        (["training", "--net", "cnn", "--folders", "none"], "none is not a folder"),
        (["training", "--annotations", "{truth}", "--images", "{images}"], "needs --val-annotations"),
        (["thresholds", "none", "--images", "{images}", "--annotations", "{truth}"], "no model 'none'"),
        (["compression", "none", "--calibrate", "i", "--images", "i"], "give --annotations for a detector"),
        (
            ["compression", "none", "--calibrate", "i", "--images", "i", "--labels", "c", "--size", "64x64"],
            "is a bundle, whose size is fixed",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    arguments: list[str],
    told: str,
    pictures: tuple[Path, Path],
    shapes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    places = {"shapes": shapes, "truth": pictures[0], "images": pictures[1]}
    given = [item.format(**places) for item in arguments]
    assert cli.main(["tune", *given, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("edgemass-tools: error: ")
    assert told in said
