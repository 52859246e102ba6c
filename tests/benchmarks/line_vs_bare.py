"""The whole line against the bare runtime: frame -> detections -> JSON -> MQTT beside `session.run` of the stock file.

    python tests/benchmarks/line_vs_bare.py [MODEL ...] [--bare FILE ...] [--cores 0] [--rounds N] [--seconds S]
    python tests/benchmarks/line_vs_bare.py --video [CLIP] --cores 0,1

line   720p frames (from memory, or decoded from H.264 with --video), resize, inference, decoding and NMS of 30 made-up
       objects from about 300 candidates, document, JSON, MQTT QoS 0 to a real mosquitto, which runs on the cores that
       are left
       (the time to write that scene into the runtime's outputs is taken off)
bare   the stock fp32 file, the runtime's own defaults but for the threads, one prepared tensor

MODEL: what `--model` takes: a bare file, a bundle; --variant runs that one of its variants instead of the one that
edgemass chooses. --bare: the stock file of each MODEL where it is not its own reference variant (an int8 file).
Both take turns in one process that is pinned to --cores. The ratio is the median over the rounds of line / bare;
ratio_cpu is the same by CPU time, which other work on the machine hardly touches (of use on one core only:
with a second one it counts the decoder too).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgemass import bundles
from edgemass.bench import Bare, endless
from edgemass.bundles import Bundle
from edgemass.frame import Frame
from edgemass.imaging import leave_cores_to_the_runtime
from tests.benchmarks import _clip
from tests.benchmarks._harness import MODELS, Row, arguments, finish, need_models, pin, ratios, spread, take_turns
from tests.benchmarks._line import SCORE, camera_line, frames_from_memory, load, model_size, mqtt_sink
from tests.benchmarks.synthetic_load import SyntheticLoad
from tests.simulators.broker import Broker, wait_until

DEFAULT_MODELS = tuple(MODELS / f"{net}_{size}.onnx" for size in (320, 640) for net in ("yolov8n", "yolo11n"))


@dataclass(frozen=True)
class Wanted:
    """How to run a pair. clip: a video file, None = pictures in memory. seconds: of a turn."""

    threads: int
    variant: str | None
    clip: str | None
    rounds: int
    seconds: float


class Pair:
    """Line and bare runtime of one model."""

    def __init__(self, bundle: Bundle, stock: Bundle, frames: Iterator[Frame], wanted: Wanted, broker_url: str) -> None:
        self._frames = frames
        first = next(frames)
        detector, self.variant = load(bundle, wanted.threads, synthetic=True, variant=wanted.variant)
        self._mqtt, self._counters = mqtt_sink(broker_url)
        self._line = camera_line(bundle, detector, self.variant, [self._mqtt], SCORE)
        self._bare = Bare(stock, first, wanted.threads)
        self.bundle: Bundle = bundle
        assert isinstance(detector.backend, SyntheticLoad)
        self.backend = detector.backend
        self.found = 0
        self.cpu_s: dict[str, list[float]] = {"bare": [], "line": []}

    def bare(self, times: int) -> float:
        """Runs a second."""
        started = time.process_time()
        rate = self._bare.run(times)
        self.cpu_s["bare"].append((time.process_time() - started) / times)
        return rate

    def line(self, times: int) -> float:
        """Frames a second."""
        self._line.process(next(self._frames))  # lets a capture thread go on before the clock starts
        started, started_cpu = time.perf_counter(), time.process_time()
        copied_s = self.backend.copying_s
        for _ in range(times):
            message = self._line.process(next(self._frames))
        copied_s = self.backend.copying_s - copied_s
        seconds = time.perf_counter() - started - copied_s
        self.cpu_s["line"].append((time.process_time() - started_cpu - copied_s) / times)
        self.found = len(getattr(message, "detections", ()))
        return times / seconds

    def warm_up(self) -> None:
        """Returns once the broker takes documents."""
        self.line(5)
        wait_until(lambda: self._counters["published"] > 0, "the broker to take a document")
        self.bare(5)

    @property
    def dropped(self) -> int:
        return sum(count for name, count in self._counters.snapshot().items() if "dropped" in name)

    def close(self) -> None:
        self._mqtt.close(5.0)
        self.backend.close()


def measure(pair: Pair, rounds: int, seconds: float) -> Row:
    pair.warm_up()
    times = max(3, round(pair.bare(5) * seconds))
    found = take_turns({"bare": lambda: pair.bare(times), "line": lambda: pair.line(times)}, rounds)
    ratio = ratios(found["line"], found["bare"])
    by_cpu = ratios(pair.cpu_s["bare"][-rounds:], pair.cpu_s["line"][-rounds:])
    row: Row = {
        "model": pair.bundle.manifest.name,
        "size": model_size(pair.bundle),
        "variant": pair.variant,
        "bare_fps": round(statistics.median(found["bare"]), 2),
        "line_fps": round(statistics.median(found["line"]), 2),
        "objects": pair.found,
        "dropped": pair.dropped,
    }
    return (
        row
        | {f"ratio_{key}": value for key, value in spread(ratio).items()}
        | {"ratio_cpu": round(statistics.median(by_cpu), 3)}
    )


def main() -> int:
    parser = arguments(__doc__, "line_vs_bare", rounds=15)
    parser.add_argument("models", nargs="*", default=[str(path) for path in DEFAULT_MODELS], metavar="MODEL")
    parser.add_argument("--bare", nargs="*", default=[], metavar="FILE", help="the stock file of each MODEL")
    parser.add_argument("--video", nargs="?", const="", metavar="CLIP", help="decode a file (default: a made 720p one)")
    parser.add_argument("--cores", default="0", help='pin to these ("0,1"), "all" for none (default: 0)')
    parser.add_argument("--threads", type=int, default=1, metavar="T", help="of the runtime (default: 1)")
    parser.add_argument("--seconds", type=float, default=0.7, metavar="S", help="of a turn (default: 0.7)")
    parser.add_argument("--variant", metavar="NAME", help="of each MODEL (default: what edgemass chooses)")
    options = parser.parse_args()
    if options.bare and len(options.bare) != len(options.models):
        parser.error(f"--bare names {len(options.bare)} files for {len(options.models)} models; wanted one each")
    need_models(options.models)
    leave_cores_to_the_runtime()
    clip = None if options.video is None else options.video or str(_clip.video())
    wanted = Wanted(options.threads, options.variant, clip, options.rounds, options.seconds)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)) as broker:
        pin(None if options.cores == "all" else options.cores)  # the broker stays where it was
        for index, model in enumerate(options.models):
            bundle = bundles.resolve(model)
            stock = bundles.resolve(options.bare[index]) if options.bare else bundle
            rows.append(_one(bundle, stock, wanted, broker.url))
            print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    figures = {}
    for size in sorted({int(row["size"] or 0) for row in rows}):
        mine = [row for row in rows if row["size"] == size]
        for key in ("ratio_median", "ratio_min", "ratio_cpu"):
            figures[f"{size}_mean_{key}"] = statistics.mean(float(row[key] or 0) for row in mine)
    finish(options.json.stem, options.json, rows=rows, figures=figures)
    return 0


def _one(bundle: Bundle, stock: Bundle, wanted: Wanted, broker_url: str) -> Row:
    clip = wanted.clip
    frames: Iterator[Frame] | Generator[Frame, None, None] = frames_from_memory() if clip is None else endless(clip)
    pair = Pair(bundle, stock, frames, wanted, broker_url)
    try:
        row = measure(pair, wanted.rounds, wanted.seconds)
    finally:
        pair.close()
        if isinstance(frames, Generator):
            frames.close()
    return row


if __name__ == "__main__":
    sys.exit(main())
