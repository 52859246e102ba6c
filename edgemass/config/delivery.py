"""How events wait for a broker."""

from __future__ import annotations

import msgspec

from edgemass.config.ranges import check_ranges

YEAR_S = 366 * 86_400.0


class DeliveryConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events wait for a broker.

    max_bytes: of the queue on disk, for each broker; when it is full the oldest events are dropped and counted.
    max_age_s: older events are dropped and counted, by a clock that cannot jump.
    memory_bytes: of the queue while the disk takes nothing.
    rate: events a second that are sent out of the queue after an outage.
    settle_s: after a connection is back, subscribers get so long to come back too before the queue goes out.
    commit_s: an event that no broker has acknowledged by then is made to survive a power cut.
    account_s: between two accounts of what became of the events.
    daily_bytes: what may be written to the disk in 24 hours, to spare an SD card; beyond it events wait in memory.
    """

    max_bytes: int = 64 << 20
    max_age_s: float = 14 * 86_400.0
    memory_bytes: int = 2 << 20
    rate: float = 50.0
    settle_s: float = 3.0
    commit_s: float = 1.0
    account_s: float = 60.0
    daily_bytes: int | None = 256 << 20

    def __post_init__(self) -> None:
        check_ranges(
            "delivery",
            ("max_bytes", self.max_bytes, 1 << 20, 4 << 30),
            ("max_age_s", self.max_age_s, 1.0, YEAR_S),
            ("memory_bytes", self.memory_bytes, 1 << 16, 1 << 30),
            ("rate", self.rate, 0.1, 1e5),
            ("settle_s", self.settle_s, 0.0, 600.0),
            ("commit_s", self.commit_s, 0.0, 1.0),
            ("account_s", self.account_s, 1.0, 86_400.0),
            ("daily_bytes", self.daily_bytes, 1 << 20, 1 << 40),
        )
