"""How long files take beside each other, on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemass import backends
from edgemass.backends import Backend, Options
from edgemass.detector import Stream, Thresholds, made_up_inputs
from edgemass.frame import Image
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray

RUNS = 20
WARM_UP_RUNS = 2
FRAMES = 40
"""Of each model, where medians of frames are compared."""


@dataclass(frozen=True)
class Latency:
    """Medians. frame_ms: preparation, run, decoding, NMS. run_ms: the runtime alone."""

    frame_ms: float
    run_ms: float


def frames(contestants: Sequence[tuple[Stream, float]], pictures: Sequence[Image]) -> list[Latency]:
    """The latency of streams, each with the score above which it reports, on the same pictures.

    They take turns picture by picture, another one first each time, so that drift of the machine hits all of them.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in contestants]
    for turn in range(WARM_UP_RUNS + FRAMES):
        picture = pictures[turn % len(pictures)]
        for place in range(len(contestants)):
            which = (place + turn) % len(contestants)
            stream, score = contestants[which]
            started = time.perf_counter_ns()
            ran = stream.detect(picture, Thresholds(score)).ran
            taken[which].append(((time.perf_counter_ns() - started) / 1e6, ran.infer_ns / 1e6))
            stream.forget()
    medians = [[statistics.median(column) for column in zip(*times[WARM_UP_RUNS:], strict=True)] for times in taken]
    return [Latency(frame, run) for frame, run in medians]


def run_s(files: Sequence[tuple[str, Path, Manifest]]) -> list[float]:
    """Seconds that one run of each file takes: one thread, turn by turn, the fastest of RUNS.

    files: runtime, path, and the manifest that has the file's input.
    """
    opened = [
        (backends.load(runtime).open(path, Options(threads=1)), made_up_inputs(manifest))
        for runtime, path, manifest in files
    ]
    try:
        rounds = [[_seconds(backend, inputs) for backend, inputs in opened] for _ in range(WARM_UP_RUNS + RUNS)]
    finally:
        for backend, _ in opened:
            backend.close()
    return [min(seconds[place] for seconds in rounds[WARM_UP_RUNS:]) for place in range(len(files))]


def _seconds(backend: Backend, inputs: Mapping[str, AnyArray]) -> float:
    started = time.perf_counter()
    backend.run(inputs)
    return time.perf_counter() - started
