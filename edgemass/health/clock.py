"""Whether the time can be believed, and how often it was set."""

from __future__ import annotations

from edgemass.health import Place, Read
from edgemass.messages.health import ClockReading

STEP_NS = 500_000_000
"""Slewing, at most 500 ppm, makes 15 ms in half a minute; a jump of half a second is a step."""
TIMESYNC_MARK = "run/systemd/timesync/synchronized"
_DAEMONS = {  # by what they leave while they run
    "run/chrony/chronyd.pid": "chrony",
    "run/chronyd.pid": "chrony",
    "run/ntpd.pid": "ntpd",
    "run/ntpsec/ntpd.pid": "ntpd",
}


class Timekeeping:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._steps = 0
        self._offset_ns = self._now()

    def read(self) -> ClockReading:
        """The wall clock is compared with the one that never jumps."""
        offset_ns = self._now()
        if abs(offset_ns - self._offset_ns) >= STEP_NS:
            self._steps += 1
        self._offset_ns = offset_ns
        marked = self._place.tree.exists(TIMESYNC_MARK)
        synced = marked or self._place.synced()
        return ClockReading(synced, self._source(marked=marked) if synced else "", self._steps)

    def _source(self, *, marked: bool) -> str:
        if marked:
            return "systemd-timesyncd"
        return next((name for mark, name in _DAEMONS.items() if self._place.tree.exists(mark)), "kernel")

    def _now(self) -> int:
        clock = self._place.clock
        return clock.time_ns() - clock.monotonic_ns()


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return Timekeeping(place).read
