"""The pictures that candidates are measured on."""

from __future__ import annotations

import time

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.detector import made_up_picture
from edgemass.errors import SourceError
from edgemass.frame import Image
from edgemass.pipeline.capture import Capture
from edgemass.sources import CaptureOptions

MOST = 8
APART_S = 0.5
LONGEST_S = 30.0


def made_up() -> list[Image]:
    """Drawn ones, the same every time."""
    return [made_up_picture(seed) for seed in range(MOST)]


def of_camera(address: str) -> list[Image]:
    """Up to eight frames of a source, half a second apart by their own time; fewer where it ends or goes silent.

    Raises:
        UsageError: an address that nothing can read.
        SourceError: it gave no frame.
    """
    clock = SystemClock()
    source = sources.open(address, CaptureOptions(), clock)
    capture = Capture("bench", source, clock=clock, counters=Counters())
    capture.start()
    pictures: list[Image] = []
    next_ns: int | None = None
    deadline = time.monotonic() + LONGEST_S
    try:
        while len(pictures) < MOST and time.monotonic() < deadline:
            frame = capture.slot.get(1.0)
            if frame is None:
                if capture.slot.closed:
                    break
                continue
            if next_ns is None or frame.mono_ns >= next_ns:
                pictures.append(frame.image)
                next_ns = frame.mono_ns + round(APART_S * 1e9)
    finally:
        capture.stop()
    if not pictures:
        raise capture.error or SourceError(f"{source.name} gave no frames within {LONGEST_S:.0f} s")
    return pictures
