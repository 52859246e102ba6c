"""Two threads of the runtime while a foreign process keeps one of their cores busy, over one thread alone.

    python tests/benchmarks/contention.py [MODEL] [--rounds N] [--seconds S] [--cores 0,1]

A runtime whose workers spin while they wait falls far below one thread then; edgemass turns spinning off. Three cases
take turns: edgemass's own session with one thread and nothing else running; with two threads and a busy process on
the first core; and, for comparison, the runtime's defaults with two threads and the same busy process.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time

from edgemass import backends, bundles
from edgemass.backends import Backend, Options
from edgemass.detector import made_up_inputs
from tests.benchmarks._harness import MODELS, Row, arguments, finish, need_models, pin, ratios, skip, spread, take_turns

DEFAULT_MODEL = MODELS / "yolov8n_320.onnx"
ALONE = "1 thread alone"
OURS = "2 threads, a core busy"
PLAIN = "runtime's defaults, 2 threads, a core busy"
_LONGEST_TURN_S = 60


class BusyProcess:
    """A foreign process that computes on one core, in a `with`."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._pid = 0

    def __enter__(self) -> None:
        self._pid = os.fork()
        if self._pid == 0:
            signal.alarm(_LONGEST_TURN_S)  # should nobody be left to end it
            os.sched_setaffinity(0, {self._core})
            number = 0
            while True:
                number += 1

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def main() -> int:
    parser = arguments(__doc__, "contention", rounds=9)
    parser.add_argument("model", nargs="?", default=str(DEFAULT_MODEL))
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S", help="of a turn (default: 1)")
    parser.add_argument("--cores", default="0,1", help="pin to these; the first one is kept busy (default: 0,1)")
    options = parser.parse_args()
    cores = pin(options.cores)
    if len(cores) < 2:
        skip(f"wants two cores, found {len(cores)}")
    need_models([options.model])
    bundle = bundles.resolve(options.model)
    variant = bundle.manifest.reference
    inputs = made_up_inputs(bundle.manifest)
    module = backends.load(variant.runtime)
    sessions = {
        ALONE: module.open(bundle.path(variant), Options(threads=1)),
        OURS: module.open(bundle.path(variant), Options(threads=2)),
        PLAIN: module.open(bundle.path(variant), Options(threads=2, plain=True)),
    }

    def rate(backend: Backend) -> float:
        backend.run(inputs)
        done = 0
        started = time.perf_counter()
        while (now := time.perf_counter()) < started + options.seconds:
            backend.run(inputs)
            done += 1
        return done / (now - started)

    def beside(backend: Backend) -> float:
        with BusyProcess(cores[0]):
            return rate(backend)

    turns = {
        ALONE: lambda: rate(sessions[ALONE]),
        OURS: lambda: beside(sessions[OURS]),
        PLAIN: lambda: beside(sessions[PLAIN]),
    }
    fps = take_turns(turns, options.rounds)
    rows: list[Row] = [
        {"case": name, "runs_per_s": round(statistics.median(rates), 2), **spread(ratios(rates, fps[ALONE]))}
        for name, rates in fps.items()
    ]
    figures = {f"{name}, over one thread alone": float(row["median"] or 0) for name, row in zip(fps, rows, strict=True)}
    finish("contention", options.json, rows=rows, figures=figures)
    for session in sessions.values():
        session.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
