"""What it costs to know how a device is: for every frame, and for every document.

    python tests/benchmarks/health_cost.py [--rounds N] [--json FILE]

Microseconds. frame: what a camera's line does to count a run's duration (`Durations.add`), beside merely keeping it
(`deque.append`), in turns. document: all collectors on this very machine, the document as JSON, and as Prometheus text.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgemass.clock import SystemClock
from edgemass.health import Place
from edgemass.health.collecting import Collectors
from edgemass.health.prometheus import render
from edgemass.messages import to_json
from edgemass.pipeline.durations import Durations
from tests.benchmarks import _harness
from tests.documents import health_message

FRAMES = 20_000
KEPT = 1000


def per_frame_us(add: Callable[[float], None], times: list[float]) -> float:
    began = time.perf_counter_ns()
    for milliseconds in times:
        add(milliseconds)
    return (time.perf_counter_ns() - began) / 1000 / len(times)


def main() -> None:
    options = _harness.arguments(__doc__, "health_cost", rounds=30).parse_args()
    draw = random.Random(1)
    times = [draw.lognormvariate(3, 0.5) for _ in range(FRAMES)]
    collectors = Collectors(Place(clock=SystemClock(), state=Path.cwd()))
    message = health_message(system=collectors.collect())

    def once_us(work: Callable[[], object]) -> Callable[[], float]:
        return lambda: _harness.times_ms(work, 1)[0] * 1000

    contenders = {
        "frame: counted": lambda: per_frame_us(Durations(KEPT).add, times),
        "frame: kept": lambda: per_frame_us(deque[float](maxlen=KEPT).append, times),
        "document: collected": once_us(collectors.collect),
        "document: JSON": once_us(lambda: to_json(message)),
        "document: Prometheus": once_us(lambda: render(message)),
    }
    found = _harness.take_turns(contenders, options.rounds)
    rows: list[_harness.Row] = [{"what": name, **_harness.spread(values)} for name, values in found.items()]
    more = _harness.ratios(found["frame: counted"], found["frame: kept"])
    figures = {
        "frame_us": float(np.median(found["frame: counted"])),
        "frame_ratio": float(np.median(more)),
        "document_ms": sum(float(np.median(found[name])) for name in found if name.startswith("document")) / 1000,
        "json_bytes": float(len(to_json(message))),
    }
    _harness.finish("health_cost", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
