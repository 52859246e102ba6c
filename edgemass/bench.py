"""How fast the whole line is beside the bare runtime, measured in one process, turn by turn.

bare: a plain run of the stock file with the runtime's own defaults and the same threads, on one prepared tensor.
pipeline: capture, conversion, resize, run, decoding, NMS, document, JSON; the sink only counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from edgemass import backends, bundles, sources
from edgemass.bundles import Bundle, open_detector
from edgemass.clock import SystemClock, boot_id
from edgemass.counters import Counters
from edgemass.detector import Detector, Feed
from edgemass.errors import BackendError, ConfigError, EdgemassError, SourceError, UsageError
from edgemass.frame import Frame
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, ModelRef, to_json
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.sources import CaptureOptions

ROUND_S = 0.5
MIN_ROUNDS = 3
WARM_UP_RUNS = 5
COLD_START_FRAMES = 30
COLD_START_S = 180
_ERRORS: dict[int, type[EdgemassError]] = {2: UsageError, 78: ConfigError}  # by exit code of `edgemass run`


@dataclass(frozen=True)
class Benchmark:
    """ratio: median over the rounds of pipeline_fps / bare_fps. rss_bytes: peak of a fresh `edgemass run`.
    first_detection_s: from the start of that process to its first document.
    """

    model: str
    variant: str
    backend: str
    runtime_version: str
    threads: int
    frame_width: int
    frame_height: int
    bare_fps: float
    pipeline_fps: float
    ratio: float
    ratio_min: float
    ratio_max: float
    rounds: int
    first_detection_s: float
    rss_bytes: int


class CountingSink:
    """Takes every document as bytes and throws it away."""

    name = "count"

    def __init__(self) -> None:
        self.size_bytes = 0

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002
        self.size_bytes += len(to_json(message))

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        pass

    def counts(self, counts: CountsMessage) -> None:
        pass

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


def measure(model: str, camera: str, *, threads: int | None, seconds: float, variant: str | None = None) -> Benchmark:
    """Measure one model on the frames of one source for about `seconds`.

    variant: in the whole line; the bare runtime always runs the stock file.

    Raises:
        EdgemassError: the model or the source cannot be opened.
    """
    leave_cores_to_the_runtime()
    threads = threads or max(1, (os.cpu_count() or 1) - 1)
    first_detection_s, rss_bytes = cold_start(model, camera, threads, variant)
    bundle = bundles.resolve(model)
    line, detector, running = _line(bundle, threads, variant)
    frames = endless(camera)
    try:
        first = next(frames)
        bare = Bare(bundle, first, threads)
        _warm_up(line, bare, frames)
        rounds = _rounds(line, bare, frames, seconds)
    finally:
        frames.close()
    ratios = [pipeline / plain for plain, pipeline in rounds]
    return Benchmark(
        model=bundle.manifest.name,
        variant=running,
        backend=detector.backend.name,
        runtime_version=detector.backend.version,
        threads=threads,
        frame_width=first.width,
        frame_height=first.height,
        bare_fps=statistics.median(plain for plain, _ in rounds),
        pipeline_fps=statistics.median(pipeline for _, pipeline in rounds),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        rounds=len(rounds),
        first_detection_s=first_detection_s,
        rss_bytes=rss_bytes,
    )


class Bare:
    """The stock file, the plain runtime, one prepared tensor."""

    def __init__(self, bundle: Bundle, first: Frame, threads: int) -> None:
        variant = bundle.manifest.reference
        options = backends.Options(threads=threads, plain=True)
        self._backend = backends.load(variant.runtime).open(bundle.path(variant), options)
        inputs, _ = Feed(bundle.manifest).prepare(first.image)
        self._inputs = {name: array.copy() for name, array in inputs.items()}

    def run(self, times: int) -> float:
        """Runs per second."""
        started = time.perf_counter()
        for _ in range(times):
            self._backend.run(self._inputs)
        return times / (time.perf_counter() - started)


def _line(bundle: Bundle, threads: int, variant: str | None) -> tuple[CameraLine, Detector, str]:
    detector, running = open_detector(bundle, threads=threads, variant=variant)
    manifest = bundle.manifest
    line = CameraLine(
        "bench",
        LoadedModel(detector, ModelRef(manifest.name, manifest.version, bundle.digest, running.name)),
        [CountingSink()],
        identity=Identity("bench", boot_id(), "bench"),
        score=manifest.score,
        clock=SystemClock(),
        counters=Counters(),
    )
    return line, detector, running.name


def endless(camera: str) -> Generator[Frame, None, None]:
    """The frames of a source through its capture thread, from the beginning again when it ends."""
    clock = SystemClock()
    while True:
        source = sources.open(camera, CaptureOptions(), clock)
        capture = Capture("bench", source, clock=clock, counters=Counters())
        capture.start()
        given = 0
        try:
            while not capture.slot.closed or given == 0:
                frame = capture.slot.get(1.0)
                if frame is not None:
                    given += 1
                    yield frame
                elif capture.slot.closed:
                    break
        finally:
            capture.stop()
        if capture.error is not None or given == 0:
            raise capture.error or SourceError(f"{source.name} gave no frames")


def _warm_up(line: CameraLine, bare: Bare, frames: Iterator[Frame]) -> None:
    bare.run(WARM_UP_RUNS)
    for _ in range(WARM_UP_RUNS):
        line.process(next(frames))


def _rounds(line: CameraLine, bare: Bare, frames: Iterator[Frame], seconds: float) -> list[tuple[float, float]]:
    """(bare fps, pipeline fps) of each round; they take turns so that drift of the machine hits both."""
    times = max(1, round(bare.run(WARM_UP_RUNS) * ROUND_S))
    rounds: list[tuple[float, float]] = []
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(rounds) < MIN_ROUNDS:
        plain = bare.run(times)
        line.process(next(frames))  # lets the capture thread go on before the clock starts
        started = time.perf_counter()
        for _ in range(times):
            line.process(next(frames))
        rounds.append((plain, times / (time.perf_counter() - started)))
    return rounds


def cold_start(model: str, camera: str, threads: int, variant: str | None = None) -> tuple[float, int]:
    """Seconds to the first document of a fresh `edgemass run`, and its peak resident set in bytes.

    Raises:
        EdgemassError: it gave no document; the error that it ended with.
    """
    command = [sys.executable, "-m", "edgemass", "run", "--camera", camera, "--model", model, "--sink", "jsonl:-"]
    command += ["--frames", str(COLD_START_FRAMES), "--threads", str(threads)]
    command += ["--variant", variant] if variant else []
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        deadline = threading.Timer(COLD_START_S, process.kill)
        deadline.start()
        try:
            line = process.stdout.readline()
            first_s = time.perf_counter() - started
            process.stdout.read()
            trouble = process.stderr.read().decode(errors="replace").strip()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            deadline.cancel()
            process.kill()  # nothing where it has ended; else it is this process that is told to end
    if not line:
        last = trouble.splitlines()[-1] if trouble else "it said nothing"
        _, _, told = last.partition("edgemass: error: ")
        kind = _ERRORS.get(process.returncode, BackendError)
        raise kind(told or f"`edgemass run` gave no detections: {last}")
    return first_s, usage.ru_maxrss * 1024
