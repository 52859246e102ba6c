"""The tracker beside supervision's ByteTrack: who keeps whom apart, at all frames and at fewer, and what a frame costs.

    python tests/benchmarks/tracking.py [--assets FOLDER] [--json FILE] [--frames N]

Runs itself in the environment that `peers_env.py tracking` makes. Both trackers get the same published detections of
two sequences of MOT15 and are scored by motmetrics (IoU >= 0.5) on what a user would be given: for edgemass tracks that
are believed and have a detection in the frame, where the tracker holds them to be. Truth and detections are thinned
alike, to every frame, half and a fifth of them, beginning with each of the frames there are to begin with; the mean of
these. edgemass runs with its defaults throughout; ByteTrack with its own, and with the frame rate told.

Time: discs that drift at random, found nine times of ten, with scores from 0.3 to 0.95; one thread, the same
detections for both, by turns.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgemass.config.tracking import TrackConfig
from edgemass.detections import Detections
from edgemass.scene.tracker import Tracker
from tests.benchmarks._harness import REPOSITORY, Row, arguments, finish, skip, take_turns
from tests.benchmarks.peers_env import TRACKING

Floats = NDArray[np.float64]
Follow: TypeAlias = "Callable[[int, Floats, Floats], tuple[NDArray[np.int64], Floats]]"
"""Number of the frame (from 1), boxes xyxy in pixels, scores -> numbers of the tracks and their boxes."""

SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")
SIZE, FPS = (640, 480), 25.0
STEPS = (1, 2, 5)
BAR = {"TUD-Campus": (0.627, 0.666), "TUD-Stadtmitte": (0.717, 0.735)}  # MOTA, IDF1: the better of SORT and ByteTrack
OBJECTS = (10, 30, 100, 200)
SECOND_NS = 1_000_000_000


def ours() -> Follow:
    tracker = Tracker(TrackConfig())
    scale = np.array([*SIZE, *SIZE], np.float64)

    def follow(number: int, xyxy: Floats, score: Floats) -> tuple[NDArray[np.int64], Floats]:
        found = Detections((xyxy / scale).astype(np.float32), score.astype(np.float32), np.zeros(len(score), np.int64))
        tracks = tracker.update(found, round((number - 1) / FPS * SECOND_NS))
        shown = tracks.confirmed & (tracks.row >= 0)
        return tracks.track_id[shown], tracks.xyxy[shown] * scale

    return follow


def byte_track(fps: float | None) -> Follow:
    """fps: told to it, as its documentation asks; None = its defaults."""
    import supervision

    tracker: Any = supervision.ByteTrack() if fps is None else supervision.ByteTrack(frame_rate=fps)

    def follow(_: int, xyxy: Floats, score: Floats) -> tuple[NDArray[np.int64], Floats]:
        found = supervision.Detections(xyxy=xyxy, confidence=score, class_id=np.zeros(len(score), int))
        tracks = tracker.update_with_detections(found)
        return tracks.tracker_id, tracks.xyxy

    return follow


def contenders(step: int) -> dict[str, Callable[[], Follow]]:
    return {
        "edgemass": ours,
        "ByteTrack": lambda: byte_track(None),
        "ByteTrack, rate told": lambda: byte_track(FPS / step),
    }


def score(folder: Path, follow: Follow, frames: Sequence[int]) -> tuple[float, float, float]:
    """MOTA, IDF1 and the number of switches over some frames."""
    import motmetrics

    truth, found = (np.loadtxt(folder / name, delimiter=",")[:, :7] for name in ("gt.txt", "det.txt"))
    events = motmetrics.MOTAccumulator(auto_id=True)
    for number in frames:
        known, boxes = truth[truth[:, 0] == number], found[found[:, 0] == number]
        xyxy = np.hstack([boxes[:, 2:4], boxes[:, 2:4] + boxes[:, 4:6]])
        ids, held = follow(number, xyxy, boxes[:, 6])
        there = np.hstack([known[:, 2:4], known[:, 2:4] + known[:, 4:6]])
        events.update(known[:, 1].astype(int), ids.astype(int), distances(there, held))
    metrics = ["mota", "idf1", "num_switches"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = motmetrics.metrics.create().compute(events, metrics=metrics).iloc[0]
    return float(told["mota"]), float(told["idf1"]), float(told["num_switches"])


def distances(one: Floats, other: Floats) -> Floats:
    """1 - IoU, NaN above 0.5. motmetrics' own does not run on NumPy 2."""
    low = np.maximum(one[:, None, :2], other[:, :2])
    high = np.minimum(one[:, None, 2:], other[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    area, area_other = ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other))
    away = 1 - shared / (area[:, None] + area_other - shared)
    return np.where(away > 0.5, np.nan, away)


def quality(assets: Path) -> list[Row]:
    """Every tracker on every sequence at every step; loss: against the same tracker at all frames."""
    rows: list[Row] = []
    for sequence in SEQUENCES:
        folder = assets / "tracking" / sequence
        last = int(np.loadtxt(folder / "gt.txt", delimiter=",")[:, 0].max())
        whole: dict[str, tuple[float, float]] = {}
        for step in STEPS:
            for name, begin in contenders(step).items():
                runs = [score(folder, begin(), range(1 + first, last + 1, step)) for first in range(step)]
                mota, idf1, switches = (float(statistics.fmean(column)) for column in zip(*runs, strict=True))
                whole.setdefault(name, (mota, idf1))
                rows.append(
                    {
                        "sequence": sequence,
                        "frames": f"1/{step}",
                        "tracker": name,
                        "MOTA": mota,
                        "IDF1": idf1,
                        "switches": switches,
                        "MOTA, first": runs[0][0],
                        "IDF1, first": runs[0][1],
                        "loss of MOTA": whole[name][0] - mota,
                        "loss of IDF1": whole[name][1] - idf1,
                    }
                )
    return rows


def crowd(objects: int, frames: int) -> Iterator[tuple[Floats, Floats]]:
    """Boxes and scores of each frame."""
    random = np.random.default_rng(objects)
    height = random.uniform(0.08, 0.25, objects) * (1 if objects < 150 else 0.6) * SIZE[1]
    place, drift = random.random((objects, 2)), random.normal(0, 0.06, (objects, 2))
    for number in range(frames):
        corner = (place + drift * number / FPS) % 1.0 * SIZE
        boxes = np.hstack([corner, corner + np.stack([height / 2.5, height], axis=1)])
        boxes += random.normal(0, 1.0, boxes.shape)
        found = random.random(objects) > 0.1
        yield boxes[found], random.uniform(0.3, 0.95, int(found.sum()))


def cost(frames: int, rounds: int) -> list[Row]:
    """Milliseconds a frame, median of the rounds' medians: from the detections to the tracks."""
    import supervision

    rows: list[Row] = []
    for objects in OBJECTS:
        scene = list(crowd(objects, frames))
        scale = np.array([*SIZE, *SIZE], np.float64)
        labels = [np.zeros(len(scores), np.int64) for _, scores in scene]
        own = [
            Detections((boxes / scale).astype(np.float32), scores.astype(np.float32), label)
            for (boxes, scores), label in zip(scene, labels, strict=True)
        ]
        peers = [
            supervision.Detections(xyxy=boxes, confidence=scores, class_id=label)
            for (boxes, scores), label in zip(scene, labels, strict=True)
        ]

        def edgemass(own: list[Detections] = own) -> float:
            tracker = Tracker(TrackConfig())
            return _median_ms(lambda n: tracker.update(own[n], round(n / FPS * SECOND_NS)), len(own))

        def byte_track(peers: list[Any] = peers) -> float:
            tracker: Any = supervision.ByteTrack()
            return _median_ms(lambda n: tracker.update_with_detections(peers[n]), len(peers))

        found = take_turns({"edgemass": edgemass, "ByteTrack": byte_track}, rounds)
        ours_ms, peer_ms = (statistics.median(found[name]) for name in ("edgemass", "ByteTrack"))
        rows.append(
            {
                "objects": objects,
                "edgemass, ms": ours_ms,
                "least": min(found["edgemass"]),
                "ByteTrack, ms": peer_ms,
                "ratio": peer_ms / ours_ms,
            }
        )
    return rows


def _median_ms(work: Callable[[int], object], count: int) -> float:
    times = []
    for number in range(count):
        started = time.perf_counter_ns()
        work(number)
        times.append((time.perf_counter_ns() - started) / 1e6)
    return statistics.median(times)


def main() -> int:
    parser = arguments(__doc__, "tracking", rounds=5)
    parser.add_argument("--assets", type=Path, default=os.environ.get("EDGEMASS_ASSETS"), metavar="FOLDER")
    parser.add_argument("--frames", type=int, default=200, metavar="N", help="of a timed round (default: 200)")
    options = parser.parse_args()
    if options.assets is None or not (Path(options.assets) / "tracking").is_dir():
        skip("no sequences; set EDGEMASS_ASSETS to their folder")
    if importlib.util.find_spec("supervision") is None:
        if not TRACKING.complete():
            skip("no environment with ByteTrack; `python tests/benchmarks/peers_env.py tracking` makes it")
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        os.execve(TRACKING.python, [str(TRACKING.python), __file__, *sys.argv[1:]], environment)  # noqa: S606
    warnings.simplefilter("ignore", DeprecationWarning)
    rows, times = quality(Path(options.assets)), cost(options.frames, options.rounds)
    figures = {
        f"{row['sequence']} {name} above the bar": float(row[name] or 0) - BAR[str(row["sequence"])][number]
        for row in rows
        if row["tracker"] == "edgemass" and row["frames"] == "1/1"
        for number, name in enumerate(("MOTA", "IDF1"))
    }
    figures |= {f"ms a frame, {row['objects']} objects": float(row["edgemass, ms"] or 0) for row in times}
    finish("tracking", options.json, rows=rows, more_rows=times, figures=figures, extra_versions=TRACKING.versions)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
