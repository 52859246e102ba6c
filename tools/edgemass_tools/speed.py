"""How long an 8-bit file takes beside the stock file, on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from edgemass import backends
from edgemass.backends import Backend, Options
from edgemass.detector import made_up_inputs
from edgemass.manifest import Manifest
from edgemass.tensors import AnyArray

RUNS = 15
WARM_UP_RUNS = 2


def ratio(file: Path, stock: Path, manifest: Manifest, stock_manifest: Manifest) -> float:
    """Time of a run over that of the stock file: one thread each, turn by turn, the fastest of RUNS.

    manifest, stock_manifest: with the input of either file.
    """
    both = [
        (backends.load("onnx").open(path, Options(threads=1)), made_up_inputs(made))
        for path, made in ((file, manifest), (stock, stock_manifest))
    ]
    try:
        seconds = [[_seconds(backend, inputs) for backend, inputs in both] for _ in range(WARM_UP_RUNS + RUNS)]
    finally:
        for backend, _ in both:
            backend.close()
    ours, theirs = (min(row[place] for row in seconds[WARM_UP_RUNS:]) for place in (0, 1))
    return ours / theirs


def _seconds(backend: Backend, inputs: Mapping[str, AnyArray]) -> float:
    started = time.perf_counter()
    backend.run(inputs)
    return time.perf_counter() - started
