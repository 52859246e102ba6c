"""Who speaks, and when: what every document of a camera says of its origin."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone

from edgemass import RELEASED
from edgemass.clock import clock_synced, rfc3339
from edgemass.scene.rules import LocalTime

_RELEASED_S = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc).timestamp()


@dataclass(frozen=True)
class Identity:
    """What every document of one process says of its origin."""

    device: str
    boot_id: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Moment:
    """mono_ns, time_ns: the same instant on the monotonic clock and as Unix time. synced: whether time can be believed.

    local: on the wall, for rules.
    """

    mono_ns: int
    time_ns: int
    synced: bool
    local: LocalTime

    @classmethod
    def of(cls, mono_ns: int, time_ns: int) -> Moment:
        """An instant as this board's clock and time zone have it."""
        wall = time.localtime(time_ns / 1e9)
        known = time_ns / 1e9 >= _RELEASED_S  # before this edgemass was made it cannot be now
        return cls(mono_ns, time_ns, clock_synced(), LocalTime(wall.tm_wday, wall.tm_hour * 60 + wall.tm_min, known))

    @property
    def text(self) -> str:
        return rfc3339(self.time_ns)

    def at(self, mono_ns: int) -> str:
        """Another instant of the monotonic clock, as RFC 3339."""
        return rfc3339(self.time_ns - (self.mono_ns - mono_ns))
