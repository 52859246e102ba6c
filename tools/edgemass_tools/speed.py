"""How long files take beside each other, on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgemass import backends
from edgemass.backends import Backend, Options
from edgemass.detector import made_up_inputs
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray

RUNS = 20
WARM_UP_RUNS = 2


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
