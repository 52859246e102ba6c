"""The whole road of a model: from a drawn data set to what a device finds, every step a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra train of edgemass-tools")

from edgemass.bundles import load_bundle
from edgemass_tools import checkpoint, road
from edgemass_tools.pruning import operations

pytestmark = [pytest.mark.runtime, pytest.mark.timeout(1800)]


def walked(folder: Path, *options: str) -> Path:
    command = [sys.executable, "-m", "edgemass_tools", "road", "-o", str(folder), *options]
    alone = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
    }  # nets this small gain nothing by a second, and lose much beside others
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1700, env=alone)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder


def held_to_its_promises(folder: Path, budget: road.Budget) -> None:
    bundle = load_bundle(folder / "bundle")
    variants = {variant.name: variant for variant in bundle.manifest.variants}
    assert list(variants) == ["onnx", "tflite", "int8", "int8-tflite"]
    assert variants["int8"].size_bytes < 0.7 * variants["onnx"].size_bytes
    assert variants["int8-tflite"].size_bytes < 0.6 * variants["tflite"].size_bytes
    assert [sample.labels for sample in bundle.manifest.golden]
    steps = [step.verb for step in checkpoint.load(folder / "pruned" / "model.pt").record]
    assert steps == ["label", "distill", "prune", "fine-tune"]
    before, after = (_operations(folder / name / "model.pt", budget) for name in ("student", "pruned"))
    assert after <= 0.65 * before
    card = (folder / "bundle" / "card.md").read_text(encoding="utf-8")
    assert card.count("### ") == 6
    assert "| int8-tflite | tflite | int8 |" in card
    documents = [json.loads(line) for line in (folder / "found.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(documents) == budget.held
    assert {document["schema"] for document in documents} == {"edgemass.detection/1"}
    assert (folder / "report.html").stat().st_size > 10_000


def _operations(path: Path, budget: road.Budget) -> float:
    return operations.count(checkpoint.module(checkpoint.load(path)), (budget.width, budget.height))


def test_the_short_road_leads_to_a_device_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    folder = walked(tmp_path / "road", "--short")
    held_to_its_promises(folder, road.SHORT)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/last.pt")}
    walked(folder, "--short")
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/last.pt")} == before


@pytest.mark.slow
def test_the_whole_road_makes_a_detector_that_passes_its_gate(tmp_path: Path) -> None:
    held_to_its_promises(walked(tmp_path / "road"), road.WHOLE)
