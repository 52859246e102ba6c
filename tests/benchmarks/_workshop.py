"""What the benchmarks of the workshop share: its commands, run in this process, and the accuracy of what they leave."""

from __future__ import annotations

import os
from pathlib import Path

from edgemass import evaluate
from edgemass.detector import Detector
from edgemass_tools import checkpoint, cli
from edgemass_tools.torch_backend import TorchBackend
from edgemass_tools.training.detection import named, torch_manifest
from tests.benchmarks._harness import REPOSITORY, skip

ASSETS = Path(os.environ.get("EDGEMASS_ASSETS", REPOSITORY.parent / "shared" / "assets"))
TRAIN, VAL = ASSETS / "train", ASSETS / "coco-val"


def need_assets() -> None:
    """Skip where there are no pictures to learn from."""
    if not (TRAIN / "train.json").is_file():
        skip(f"no pictures to learn from in {TRAIN}; set EDGEMASS_ASSETS")


def tool(*arguments: str) -> None:
    """Run a command of edgemass-tools; ends where it fails."""
    if code := cli.main(arguments):
        raise SystemExit(code)


def ap50(path: Path) -> dict[str, float]:
    """AP 50 of a checkpoint of a detector, by the device's own path, on the pictures that nothing is learnt from.

    heldout: labels of YOLOv8n-640. coco: those of people.
    """
    body = checkpoint.load(path)
    manifest = torch_manifest(body.labels, (body.width, body.height))
    stream = Detector(manifest, TorchBackend(checkpoint.module(body), manifest, named)).stream()
    truths = {"heldout": (TRAIN / "images", TRAIN / "heldout.json"), "coco": (VAL / "images", VAL / "instances.json")}
    return {
        name: evaluate.detection(stream, manifest.labels, images, file, lambda _done, _total: None).map_50
        for name, (images, file) in truths.items()
    }
