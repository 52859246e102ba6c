"""Opens a camera as `edgemass run` does and watches its first frames. Runs in a child process."""

from __future__ import annotations

import time

import msgspec

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.doctor.answers import Trial
from edgemass.sources import CaptureOptions

FRAMES = 30
WATCH_S = 5.0
BLACK = 16  # of 255: video black, with nothing in it that is brighter


def trial(address: str) -> object:
    """Read up to FRAMES frames for WATCH_S after the first, as JSON has it.

    Raises:
        UsageError: an address that no source can read.
        SourceError: it cannot be opened, or broke.
    """
    clock = SystemClock()
    source = sources.open(address, CaptureOptions(), clock)
    began_s = time.monotonic()
    times_ns: list[int] = []
    width = height = brightest = 0
    first_s = 0.0
    for frame in source.frames():
        now_s = time.monotonic()
        first_s = first_s or now_s - began_s
        times_ns.append(frame.mono_ns)
        width, height = frame.width, frame.height
        brightest = max(brightest, int(frame.image.max()))
        if len(times_ns) == FRAMES or now_s - began_s - first_s > WATCH_S:
            break
    source.close()
    lasted_ns = times_ns[-1] - times_ns[0] if times_ns else 0
    fps = (len(times_ns) - 1) * 1e9 / lasted_ns if lasted_ns > 0 else 0.0
    return msgspec.to_builtins(Trial(len(times_ns), width, height, fps, first_s, brightest <= BLACK))
