"""Times frames of two models in turns, so that drift of the machine hits both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgemass.detector import Stream, Thresholds
from edgemass.frame import Image

WARM_UP_RUNS = 3
LEAST_RUNS = 20  # below it a p95 is the slowest run
TURN_S = 0.25  # long enough that caches are warm again, short enough that drift hits both sides


def in_turns(
    streams: Sequence[Stream],
    pictures: Sequence[Image],
    thresholds: Sequence[Thresholds],
    seconds: float,
    *,
    most_runs: int | None = None,
    before_turn: Callable[[int], object] = lambda _: None,
) -> list[list[float]]:
    """Milliseconds of every frame of each side.

    thresholds: of each side. seconds: for all together; each has at least LEAST_RUNS. most_runs: of each.
    before_turn: called with the number of the side whose turn it is.
    """
    times: list[list[float]] = [[] for _ in streams]
    for side, (stream, threshold) in enumerate(zip(streams, thresholds, strict=True)):
        before_turn(side)
        for _ in range(WARM_UP_RUNS):
            stream.detect(pictures[0], threshold)
    most = most_runs or float("inf")
    started = time.perf_counter()
    while len(times[0]) < most and (time.perf_counter() - started < seconds or len(times[0]) < LEAST_RUNS):
        block = max(1, min(LEAST_RUNS, round(TURN_S * 1e3 / times[0][-1]))) if times[0] else 1
        for side, (stream, threshold, taken) in enumerate(zip(streams, thresholds, times, strict=True)):
            before_turn(side)
            for _ in range(block):
                picture = pictures[len(taken) % len(pictures)]
                begun = time.perf_counter()
                stream.detect(picture, threshold)
                taken.append((time.perf_counter() - begun) * 1e3)
    return times
