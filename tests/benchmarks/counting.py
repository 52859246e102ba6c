"""How many cross a line: detectors with the tracker, beside a count by eye.

    python tests/benchmarks/counting.py [MODEL ...] [--assets FOLDER] [--json FILE] [--high S] [--low S] [--every N]

Each model runs once over each clip, and its detections are kept in build/bench/counting/; what follows them takes
seconds. A crossing counts once a track that was surely on one side is surely on the other; a margin on both sides of
the line belongs to neither, so that a box that trembles on the line does not count. Where a track was before it was
believed counts too, as soon as it is believed: what is fast is over the line by then.

The truth was counted by eye, on strips of frames around the line. MODEL: names or files; without, those of `MODELS`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemass import bundles, sources
from edgemass.clock import SystemClock
from edgemass.config.tracking import TrackConfig
from edgemass.detections import Detections
from edgemass.detector import Thresholds
from edgemass.scene.tracker import Tracker
from edgemass.sources import CaptureOptions
from tests.benchmarks._harness import RESULTS, Row, arguments, finish, skip

MODELS = (
    "edgemass-person",
    "yolov8n_640_int8w_floatio.tflite",
    "yolov8n_full_integer_quant.tflite",
    "yolo26n_e2e_640_int8.onnx",
    "yolov5n_640.onnx",
    "yolo11n_full_integer_quant_416.tflite",
    "picodet_s_320_coco.onnx",
    "ssd_mobilenet_v1_coco_quant_postprocess.tflite",
)
LEAST = 0.1  # scores that are kept
MARGINS = (0.0, 0.1, 0.25)  # of the box's side across the line, on each side of it
ANCHORS = {"centre": (0.5, 0.5), "foot": (0.5, 1.0)}


@dataclass(frozen=True)
class Clip:
    """What crosses a line of a clip.

    axis: 0 = the line is upright at x = `at`, 1 = it lies at y = `at`. forth, back: by eye, towards greater numbers
    and smaller ones.
    """

    file: str
    labels: tuple[str, ...]
    axis: int
    at: float
    forth: int
    back: int


CLIPS = (
    # 30 people, and a woman who steps over the line at frame 614 and back at 626.
    Clip("vtest.avi", ("person",), 0, 0.5, forth=14, back=18),
    # 21 cars and vans and one lorry, all going away. Those that come leave the picture by its left edge when their
    # wheels are on the line: eight more for whoever takes the foot of the box.
    Clip("highway_video2.avi", ("car", "truck", "bus"), 1, 0.6, forth=0, back=22),
)
ROOM = Clip("one-by-one-person-detection.mp4", ("person",), 0, 0.5, forth=0, back=0)
CAME_IN = 6  # one after the other, to the table and out again


@dataclass(frozen=True)
class Seen:
    """The detections of every frame of a clip: xyxy in fractions of the frame."""

    frames: list[Detections]
    mono_ns: list[int]


def seen(model: str, clip: Clip, assets: Path) -> Seen:
    """From the file of an earlier run, or by running the model."""
    kept = RESULTS / "counting" / f"{Path(model).stem}-{Path(clip.file).stem}.npz"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        _run(model, clip, assets, kept)
    with np.load(kept) as stored:
        parts = np.split(np.arange(len(stored["score"])), np.cumsum(stored["count"])[:-1])
        found = Detections(stored["xyxy"], stored["score"], stored["class_id"])
        return Seen([found.take(part) for part in parts], stored["mono_ns"].tolist())


def knows(model: str, clip: Clip, assets: Path) -> bool:
    """Whether a model has a word for what is counted."""
    return any(label in clip.labels for label in _bundle(model, assets).manifest.labels)


def _bundle(model: str, assets: Path) -> bundles.Bundle:
    file = assets / "detectors" / model
    return bundles.resolve(str(file) if file.is_file() else model)


def _run(model: str, clip: Clip, assets: Path, target: Path) -> None:
    bundle = _bundle(model, assets)
    wanted = [n for n, label in enumerate(bundle.manifest.labels) if label in clip.labels]
    detector, _ = bundles.open_detector(bundle, threads=1)
    stream = detector.stream()
    found: list[Detections] = []
    times: list[int] = []
    for frame in sources.open(str(assets / "videos" / clip.file), CaptureOptions(), SystemClock()).frames():
        boxes = stream.detect(frame.image, Thresholds(score=LEAST)).found
        assert isinstance(boxes, Detections)
        boxes = boxes.take(np.flatnonzero(np.isin(boxes.class_id, wanted)))
        size = np.array([frame.width, frame.height] * 2, np.float32)
        found.append(Detections(boxes.xyxy / size, boxes.score, boxes.class_id))
        times.append(frame.mono_ns)
    detector.backend.close()
    np.savez_compressed(
        target,
        xyxy=np.concatenate([one.xyxy for one in found]),
        score=np.concatenate([one.score for one in found]),
        class_id=np.concatenate([one.class_id for one in found]),
        count=np.array([len(one) for one in found]),
        mono_ns=np.array(times),
    )


@dataclass(frozen=True)
class Crossing:
    """One track that went over the line. frame: in which it was surely on the other side. forth: to greater numbers."""

    frame: int
    track_id: int
    forth: bool
    across: float  # where along the line, 0 to 1


def crossings(
    what: Seen, clip: Clip, options: TrackConfig, *, anchor: tuple[float, float], margin: float, every: int = 1
) -> list[Crossing]:
    """What the tracker makes of the detections."""
    tracker = Tracker(options)
    side: dict[int, bool] = {}
    over: dict[int, list[Crossing]] = {}  # of tracks that are not believed yet
    made: list[Crossing] = []
    for number in range(0, len(what.frames), every):
        tracks = tracker.update(what.frames[number], what.mono_ns[number])
        for track_id, box, row, confirmed in zip(
            tracks.track_id.tolist(), tracks.xyxy, tracks.row, tracks.confirmed, strict=True
        ):
            if row < 0:
                continue
            if confirmed:
                made += over.pop(track_id, [])
            size = box[2:] - box[:2]
            point = box[:2] + size * anchor
            beyond = float(point[clip.axis]) - clip.at
            if abs(beyond) <= margin * float(size[clip.axis]):
                continue
            was = side.get(track_id)
            side[track_id] = beyond > 0
            if was is not None and was != (beyond > 0):
                crossing = Crossing(number, track_id, beyond > 0, float(point[1 - clip.axis]))
                (made if confirmed else over.setdefault(track_id, [])).append(crossing)
    return made


def believed(what: Seen, options: TrackConfig, *, every: int = 1) -> int:
    """How many tracks there are in all that were seen often enough."""
    tracker = Tracker(options)
    known: set[int] = set()
    for number in range(0, len(what.frames), every):
        tracks = tracker.update(what.frames[number], what.mono_ns[number])
        known.update(tracks.track_id[tracks.confirmed].tolist())
    return len(known)


def main() -> int:
    parser = arguments(__doc__, "counting")
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--assets", type=Path, default=os.environ.get("EDGEMASS_ASSETS"), metavar="FOLDER")
    parser.add_argument("--high", type=float, default=TrackConfig().high_score, metavar="S", help="begins a track")
    parser.add_argument("--low", type=float, default=TrackConfig().low_score, metavar="S", help="goes on with one")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every so many-th frame")
    options = parser.parse_args()
    if options.assets is None or not Path(options.assets).is_dir():
        skip("no models and videos; set EDGEMASS_ASSETS to their folder")
    track = TrackConfig(high_score=options.high, low_score=min(options.low, options.high), across_classes=True)
    rows: list[Row] = []
    for clip in CLIPS:
        for model in options.models:
            if not knows(model, clip, Path(options.assets)):
                continue
            what = seen(model, clip, Path(options.assets))
            for name, anchor in ANCHORS.items():
                for margin in MARGINS:
                    made = crossings(what, clip, track, anchor=anchor, margin=margin, every=options.every)
                    forth = sum(crossing.forth for crossing in made)
                    rows.append(
                        {
                            "clip": Path(clip.file).stem,
                            "model": Path(model).stem,
                            "anchor": name,
                            "margin": margin,
                            "forth": forth,
                            "back": len(made) - forth,
                            "by eye": f"{clip.forth}, {clip.back}",
                        }
                    )
    came: list[Row] = [
        {
            "clip": Path(ROOM.file).stem,
            "model": Path(model).stem,
            "came in": believed(seen(model, ROOM, Path(options.assets)), track, every=options.every),
            "by eye": CAME_IN,
        }
        for model in options.models
    ]
    finish("counting", options.json, rows=rows, more_rows=came, figures={})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
