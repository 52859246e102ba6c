"""edgemass beside Ultralytics' `predict`, Roboflow's `inference` and OpenCV's DNN: same ONNX file, same threads.

    python tests/benchmarks/peers_env.py          (once: their environments and the files)
    python tests/benchmarks/peers.py [MODEL ...] [--bundle DIR ...] [--cores 0] [--rounds N] [--seconds S]

Each contender is a process of its own in its own environment, and they take turns: A B C, C B A, ... All run the
network for real; its answers are then replaced by the same 30 made-up objects from about 300 candidates
(synthetic_load.py), so that decoding and NMS have the same to do, at score 0.25 and IoU 0.6, which is what edgemass
assumes. cpu_ms is the CPU time of one frame, all threads together: what else runs on the machine hardly touches it.

array  pictures in memory, 720p BGR, one call each: boxes come back
video  a 720p H.264 file, from its first frame to boxes (edgemass: to JSON documents); --video-cores gives the decoder a
       core of its own where the peer knows how to use it
cold   a fresh process: from its start to the boxes of one JPEG picture, files in the disk cache; rss is its peak
       (edgemass: `edgemass run --sink jsonl:-`)

MODEL: a stock ONNX file. --bundle: of the same models in the same order, for edgemass alone (optimized); without it
edgemass gets the bare file too, and its first start pays for the import.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks._fresh_process import environment, start_to_first_line
from tests.benchmarks._harness import (
    MODELS,
    REPOSITORY,
    RESULTS,
    Row,
    arguments,
    finish,
    need_models,
    pin,
    ratios,
    take_turns,
)
from tests.benchmarks.peers_env import INFERENCE, ULTRALYTICS, ULTRALYTICS_CPU, Peer

WORKER = Path(__file__).with_name("peers") / "worker.py"
DEFAULT_MODELS = tuple(MODELS / f"{net}_{size}.onnx" for size in (320, 640) for net in ("yolov8n", "yolo11n"))
IOU = "0.6"
PATIENCE_S = 120.0
_QUIET = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "OFFLINE_MODE": "True"}
_FILES = """
import sys
from pathlib import Path
import numpy as np
from tests.benchmarks import _clip
from tests.benchmarks.synthetic_load import scene
for path in (_clip.arrays(), _clip.video(), _clip.picture()):
    print(path)
for size in map(int, sys.argv[2:]):
    target = Path(sys.argv[1], f"head_{size}.npy")
    np.save(target, scene(size, size).stock()[None])
"""


@dataclass(frozen=True)
class Files:
    """What all contenders get."""

    arrays: str
    video: str
    picture: str
    heads: Path


@dataclass
class Contender:
    """One way to detect: a module of peers/ in an environment."""

    name: str
    python: Path
    module: str
    versions: dict[str, str] = field(default_factory=dict)
    cold_only: bool = False


class Worker:
    """A contender's process, waiting for its turn."""

    def __init__(self, contender: Contender, model: Path, bundle: str, files: Files, threads: int) -> None:
        """Start and wait until it has loaded and warmed up.

        Raises:
            RuntimeError: it did not.
        """
        self.name = contender.name
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        head = files.heads / f"head_{size_of(model)}.npy"
        command = [*_command(contender, model, bundle, threads), "--frames", files.arrays, "--head", str(head)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment(_QUIET)
        )
        self._answer()

    def turn(self, kind: str, seconds: float, video: str) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"kind": kind, "seconds": seconds, "video": video}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def cpus(self, cores: str) -> None:
        """Pin every thread of it."""
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), {int(core) for core in cores.split(",")})

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            self._log.seek(0)
            said = self._log.read().strip().splitlines()[-3:] or ["nothing"]
            self.close()
            raise RuntimeError(f"{self.name} gave no answer within {PATIENCE_S:.0f} s; it said: {' / '.join(said)}")
        answer: dict[str, float] = json.loads(line)
        return answer


def size_of(model: Path) -> int:
    """Of the picture, from names like yolov8n_320.onnx."""
    return int(model.stem.rpartition("_")[2])


def _command(contender: Contender, model: Path, bundle: str, threads: int) -> list[str]:
    command = [str(contender.python), str(WORKER), contender.module, "--model", str(model), "--size"]
    command += [str(size_of(model)), "--threads", str(threads), "--iou", IOU]
    return [*command, "--bundle", bundle] if bundle and contender.module == "with_edgemass" else command


def contenders(wanted: Sequence[str]) -> tuple[list[Contender], list[str]]:
    """Those that can run here, and why the others cannot."""
    ours = Path(sys.executable)
    found = [Contender("edgemass", ours, "with_edgemass")]
    missing = []
    peers: tuple[tuple[Peer, str, bool], ...] = (
        (ULTRALYTICS, "with_ultralytics", False),
        (ULTRALYTICS_CPU, "with_ultralytics_cpu", True),
        (INFERENCE, "with_inference", False),
    )
    for peer, module, cold_only in peers:
        if peer.complete():
            found.append(Contender(peer.name, peer.python, module, peer.versions, cold_only))
        else:
            missing.append(f"{peer.name}: no environment; `python tests/benchmarks/peers_env.py {peer.name}` makes it")
    found.append(Contender("opencv", ours, "with_opencv"))
    return [contender for contender in found if not wanted or contender.name in (*wanted, "edgemass")], missing


def speed(
    candidates: Sequence[Contender], model: Path, bundle: str, files: Files, options: argparse.Namespace
) -> Iterator[Row]:
    """Frames a second of all that could be started, in turns."""
    workers = []
    try:
        for contender in candidates:
            try:
                workers.append(Worker(contender, model, bundle, files, options.threads))
            except RuntimeError as reason:
                print(f"skipped: {reason}", flush=True)
        for kind, cores, seconds in (
            ("array", options.cores, options.seconds),
            ("video", options.video_cores, options.video_seconds),
        ):
            if seconds > 0:
                yield from _speed_of_kind(workers, kind, cores, seconds, model, files, options.rounds)
    finally:
        for worker in workers:
            worker.close()


def _speed_of_kind(
    workers: Sequence[Worker], kind: str, cores: str, seconds: float, model: Path, files: Files, rounds: int
) -> Iterator[Row]:
    found: dict[str, float] = {}
    cpu_ms: dict[str, list[float]] = {worker.name: [] for worker in workers}
    for worker in workers:
        worker.cpus(cores)

    def turn(worker: Worker) -> float:
        answer = worker.turn(kind, seconds, files.video)
        found[worker.name] = answer["found"]
        cpu_ms[worker.name].append(answer["cpu_ms"])
        return answer["fps"]

    fps = take_turns({worker.name: (lambda worker=worker: turn(worker)) for worker in workers}, rounds)  # type: ignore[misc]
    for name, rates in fps.items():
        ours_over = ratios(fps["edgemass"], rates)
        yield {
            "model": model.stem,
            "kind": kind,
            "contender": name,
            "fps_median": round(statistics.median(rates), 2),
            "fps_max": round(max(rates), 2),
            "cpu_ms": round(statistics.median(cpu_ms[name]), 2),
            "found": round(found[name], 1),
            "edgemass_over_it": round(statistics.median(ours_over), 3),
            "edgemass_over_it_min": round(min(ours_over), 3),
        }


def cold(
    candidates: Sequence[Contender], model: Path, bundle: str, files: Files, options: argparse.Namespace
) -> Iterator[Row]:
    """Start-up and peak memory of fresh processes, in turns; the first turn fills the disk cache only."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in candidates}
    rss: dict[str, list[float]] = {contender.name: [] for contender in candidates}
    for turn in range(options.cold_rounds + 1):
        for contender in [contender for contender in candidates if contender.name in seconds]:
            command = _cold_command(contender, model, bundle, files, options.threads)
            try:
                start = start_to_first_line(command, _QUIET)
            except RuntimeError as reason:
                print(f"skipped: {contender.name}: {reason}", flush=True)
                del seconds[contender.name]
                continue
            if turn:
                seconds[contender.name].append(start.first_s)
                rss[contender.name].append(start.rss_bytes)
    for name, took_s in seconds.items():
        if took_s:
            yield {
                "model": model.stem,
                "contender": name,
                "first_detection_s": round(statistics.median(took_s), 3),
                "first_detection_s_min": round(min(took_s), 3),
                "rss_mb": round(statistics.median(rss[name]) / 1e6, 1),
                "edgemass_time_ratio": round(statistics.median(ratios(seconds["edgemass"], took_s)), 3),
                "edgemass_rss_ratio": round(statistics.median(ratios(rss["edgemass"], rss[name])), 3),
            }


def _cold_command(contender: Contender, model: Path, bundle: str, files: Files, threads: int) -> list[str]:
    if contender.module != "with_edgemass":
        return [*_command(contender, model, bundle, threads), "--once", files.picture]
    command = [
        str(contender.python),
        "-m",
        "edgemass",
        "run",
        "--camera",
        files.picture,
        "--model",
        bundle or str(model),
    ]
    return [*command, "--sink", "jsonl:-", "--threads", str(threads), "--score", "0.25"]


def make_files(models: Sequence[Path]) -> Files:
    """Made by another process: what it takes must not count as this one's memory."""
    sizes = sorted({str(size_of(model)) for model in models})
    RESULTS.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _FILES, str(RESULTS), *sizes]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    arrays, video, picture = done.stdout.split("\n")[:3]
    return Files(arrays, video, picture, RESULTS)


def main() -> int:
    parser = arguments(__doc__, "peers", rounds=7)
    parser.add_argument("models", nargs="*", type=Path, default=list(DEFAULT_MODELS), metavar="MODEL")
    parser.add_argument("--bundle", nargs="*", default=[], metavar="DIR", help="for edgemass, one for each MODEL")
    parser.add_argument("--only", nargs="*", default=[], metavar="PEER", help="compare with these alone")
    parser.add_argument("--threads", type=int, default=1, metavar="T", help="of every runtime (default: 1)")
    parser.add_argument("--cores", default="0", help="of pictures in memory and cold starts (default: 0)")
    parser.add_argument("--video-cores", default="0,1", help="of video files (default: 0,1)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, metavar="S", help="of a turn; 0 leaves it out (default: 2)"
    )
    parser.add_argument("--video-seconds", type=float, default=6.0, metavar="S", help="likewise (default: 6)")
    parser.add_argument("--cold-rounds", type=int, default=5, metavar="N", help="fresh processes of each (default: 5)")
    options = parser.parse_args()
    if options.bundle and len(options.bundle) != len(options.models):
        parser.error(f"--bundle names {len(options.bundle)} for {len(options.models)} models; wanted one each")
    need_models(options.models)
    files = make_files(options.models)
    candidates, missing = contenders(options.only)
    for reason in missing:
        print(f"skipped: {reason}")
    rows: list[Row] = []
    starts: list[Row] = []
    pin(options.cores)
    for index, model in enumerate(options.models):
        bundle = options.bundle[index] if options.bundle else ""
        running = [contender for contender in candidates if not contender.cold_only]
        for row in speed(running, model, bundle, files, options):
            rows.append(row)
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if options.cold_rounds > 0:
            starts += cold(candidates, model, bundle, files, options)
    versions = {name: version for contender in candidates for name, version in contender.versions.items()}
    figures = _figures(rows, starts)
    finish("peers", options.json, rows=rows, figures=figures, more_rows=starts, extra_versions=versions)
    return 0


def _figures(rows: Sequence[Row], starts: Sequence[Row]) -> dict[str, float]:
    """Means over the nets, by kind, size and peer."""
    gathered: dict[str, list[float]] = {}
    for row in rows:
        name = f"{row['kind']}_{str(row['model']).rpartition('_')[2]}_over_{row['contender']}"
        gathered.setdefault(name, []).append(float(row["edgemass_over_it"] or 0))
    for row in starts:
        for key in ("edgemass_time_ratio", "edgemass_rss_ratio"):
            gathered.setdefault(f"cold_{key}_to_{row['contender']}", []).append(float(row[key] or 0))
    return {name: statistics.mean(values) for name, values in gathered.items() if not name.endswith("edgemass")}


if __name__ == "__main__":
    sys.exit(main())
