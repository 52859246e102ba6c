"""What the embedded person detector finds, beside detectors of its size and beside a larger one.

    python tests/benchmarks/person_detector.py [--model MODEL] [--assets FOLDER] [--json FILE]

Three measurements, each of every variant, through the device's own Detector:

coco-val  AP50 of person on the pictures of COCO val2017, and of SSD MobileNet and FastestDet measured the same way.
vtest     pedestrians from above, at the model's default score: which share of the people that YOLOv8n-640 finds at 0.4
          it finds (IoU 0.5), and which share of its boxes is none of YOLOv8n's (at 0.4; and at 0.2, for what YOLOv8n
          doubts). From frame 470 on nothing was trained on.
empty     300 frames without a person: the background of vtest (median over time) with noise and changing light, and
          frames of the other clip in which YOLOv8n sees nobody at 0.1. Every box is a false one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemass import bundles, evaluate, sources
from edgemass.clock import SystemClock
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.frame import Image
from edgemass.sources import CaptureOptions
from edgemass_tools.agreement import iou_table
from tests.benchmarks._harness import Row, arguments, finish, skip

BESIDE = ("ssd_mobilenet_v1_coco_nms.onnx", "fastestdet.onnx")
JUDGE = "yolov8n_640_int8w_floatio.tflite"
JUDGE_SCORE, DOUBT, NOTHING = 0.4, 0.2, 0.1
UNSEEN_FROM = 470
EMPTY_FRAMES = 300
EMPTY_CLIP, PEOPLE_CLIP = "one-by-one-person-detection.mp4", "vtest.avi"
IOU = 0.5


@dataclass(frozen=True)
class Subject:
    """One variant. person: its class id. score: the default threshold of its model."""

    name: str
    stream: Stream
    person: int
    score: float
    labels: Sequence[str]


def main() -> int:
    parser = arguments(__doc__, "person_detector")
    parser.add_argument("--model", default="edgemass-person", metavar="MODEL")
    parser.add_argument("--assets", type=Path, default=os.environ.get("EDGEMASS_ASSETS"), metavar="FOLDER")
    options = parser.parse_args()
    if options.assets is None or not Path(options.assets).is_dir():
        skip("no models, pictures and videos; set EDGEMASS_ASSETS to their folder")
    assets = Path(options.assets)
    own = subjects(options.model)
    (judge,) = subjects(str(assets / "detectors" / JUDGE))[:1]
    rows: list[Row] = []
    for subject in (*own, *(item for name in BESIDE for item in subjects(str(assets / "detectors" / name))[:1])):
        rows.append({"model": subject.name, "person AP50, coco-val": ap50(subject, assets)})
        print(rows[-1], flush=True)
    clip = list(frames(assets / "videos" / PEOPLE_CLIP))
    found = on_people(own, judge, clip)
    figures = on_nothing(own, "vtest's background", background(clip))
    figures |= on_nothing(own, "empty frames", empty(judge, frames(assets / "videos" / EMPTY_CLIP)))
    finish("person_detector", options.json, rows=rows, more_rows=found, figures=figures)
    return 0


def subjects(model: str) -> list[Subject]:
    """Every variant of a model that runs here, on one thread."""
    bundle = bundles.resolve(model)
    labels = bundle.manifest.labels
    person = labels.index("person")
    found = []
    for variant in bundle.manifest.variants:
        detector, _ = bundles.open_detector(bundle, threads=1, variant=variant.name)
        name = f"{bundle.manifest.name}/{variant.name}"
        found.append(Subject(name, detector.stream(), person, bundle.manifest.score, labels))
    return found


def ap50(subject: Subject, assets: Path) -> float:
    found = evaluate.detection(
        subject.stream,
        subject.labels,
        assets / "coco-val" / "images",
        assets / "coco-val" / "instances.json",
        lambda _done, _total: None,
    )
    return round(found.per_class["person"]["map_50"], 4)


def on_people(own: Sequence[Subject], judge: Subject, clip: Sequence[Image]) -> list[Row]:
    truth = [people(judge, image, DOUBT) for image in clip]
    rows: list[Row] = []
    for subject in own:
        found = [people(subject, image, subject.score) for image in clip]
        for part, first in (("all", 0), ("unseen", UNSEEN_FROM)):
            rows.append({"vtest": part, "model": subject.name, **counted(truth[first:], found[first:])})
            print(rows[-1], flush=True)
    return rows


def counted(truth: Sequence[Detections], found: Sequence[Detections]) -> Row:
    """recall: of what the judge is sure of. false: share of the boxes that are none of those; undoubted: none even of
    those that the judge doubts.
    """
    wanted = hit = boxes = false = undoubted = 0
    for judged, ours in zip(truth, found, strict=True):
        sure = judged.take(np.flatnonzero(judged.score >= JUDGE_SCORE))
        overlap = iou_table(sure.xyxy, ours.xyxy) >= IOU
        wanted, hit = wanted + len(sure.score), hit + int(overlap.any(axis=1).sum())
        boxes, false = boxes + len(ours.score), false + int((~overlap.any(axis=0)).sum())
        undoubted += int((~(iou_table(judged.xyxy, ours.xyxy) >= IOU).any(axis=0)).sum())
    return {
        "frames": len(truth),
        "wanted": wanted,
        "recall": round(hit / max(wanted, 1), 4),
        "boxes": boxes,
        "false": round(false / max(boxes, 1), 4),
        "undoubted": round(undoubted / max(boxes, 1), 4),
    }


def on_nothing(own: Sequence[Subject], what: str, scene: Sequence[Image]) -> dict[str, float]:
    """False boxes, and the highest score of every tenth frame, by name."""
    figures: dict[str, float] = {}
    for subject in own:
        place = f"{what} ({len(scene)} frames), {subject.name}"
        figures[f"{place}: boxes"] = sum(len(people(subject, image, subject.score).score) for image in scene)
        scores = [float(people(subject, image, 0.01).score.max(initial=0)) for image in scene[::10]]
        figures[f"{place}: highest score"] = round(max(scores, default=0.0), 3)
    return figures


def background(clip: Sequence[Image]) -> list[Image]:
    """The scene without those who walk through it, with sensor noise and light that changes by a third."""
    still = np.median(np.stack(clip[::20]), axis=0)
    rng = np.random.default_rng(0)
    light = 1 + np.sin(np.linspace(0, 4 * np.pi, EMPTY_FRAMES)) / 3
    return [
        np.clip(still * gain + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8)
        for gain in light.astype(np.float32)
    ]


def empty(judge: Subject, clip: Iterator[Image]) -> list[Image]:
    return [image for image in clip if not len(people(judge, image, NOTHING).score)][:EMPTY_FRAMES]


def people(subject: Subject, image: Image, score: float) -> Detections:
    found = subject.stream.detect(image, Thresholds(score)).found
    assert isinstance(found, Detections)
    return found.take(np.flatnonzero(found.class_id == subject.person))


def frames(path: Path) -> Iterator[Image]:
    for frame in sources.open(str(path), CaptureOptions(), SystemClock()).frames():
        yield frame.image


if __name__ == "__main__":
    sys.exit(main())
