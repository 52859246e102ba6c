"""What changes in an event that did not leave when it was made, and when one is too old to. Rules only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec

from edgemass.clock import rfc3339
from edgemass.spool.records import Document

REPLAY_NS = 1_000_000_000
"""An event that leaves so long after it came is a replay, and so is one of an earlier run."""


@dataclass(frozen=True)
class Now:
    """This instant. boot_id: of the boot that mono_ns counts in. synced: whether time_ns can be believed."""

    mono_ns: int
    time_ns: int
    synced: bool
    boot_id: str

    def age_ns(self, document: Document) -> int | None:
        """How long a document has waited; None where no clock can tell.

        Within one boot by the clock that does not jump; between boots only where both could believe their time.
        """
        if document.boot_id == self.boot_id:
            return max(0, self.mono_ns - document.mono_ns)
        if document.synced and self.synced:
            return max(0, self.time_ns - document.time_ns)
        return None


def stamped(document: Document, now: Now, *, replayed: bool, duplicate: bool) -> bytes:
    """The event as it leaves now.

    replayed, duplicate: flags to add, see EventMessage. An event of this boot whose time could not be believed gets its
    true time as soon as there is one; `time_stamped` keeps what it said before.
    """
    correct = now.synced and document.boot_id == now.boot_id and b'"clock_synced":false' in document.payload
    if not (replayed or duplicate or correct):
        return document.payload
    event = msgspec.json.decode(document.payload)
    if correct and event.get("clock_synced") is False:
        _correct(event, now.time_ns - now.mono_ns)
    if replayed:
        event["replayed"] = True
    if duplicate:
        event["duplicate_possible"] = True
    return msgspec.json.encode(event)


def _correct(event: dict[str, Any], offset_ns: int) -> None:
    """offset_ns: Unix time less the boot's clock, as it is now known."""
    said_ns = _unix_ns(event["time"])
    moved_ns = event["mono_ns"] + offset_ns - said_ns
    event["time_stamped"] = event["time"]
    event["time"] = rfc3339(said_ns + moved_ns)
    event["started"] = rfc3339(_unix_ns(event["started"]) + moved_ns)
    if isinstance(snapshot := event.get("snapshot"), dict):
        snapshot["time"] = rfc3339(_unix_ns(snapshot["time"]) + moved_ns)
    event["time_corrected"] = event["clock_synced"] = True


def _unix_ns(time: str) -> int:
    """Of RFC 3339 in UTC, to the microsecond."""
    whole, _, rest = time.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 1_000_000_000 + int(rest[:9].ljust(9, "0"))
