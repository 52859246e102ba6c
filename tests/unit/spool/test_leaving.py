"""What is added to an event that leaves late, and the time that it gets when the clock is known."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from edgemass.messages import EventMessage, SnapshotRef, to_json
from edgemass.spool.leaving import Now, stamped
from edgemass.spool.records import Document
from tests.documents import event
from tests.simulators.manual_clock import START_MONO_NS, START_UNIX_NS
from tests.unit.spool.queues import BOOT, NEXT_BOOT, now

YEARS_S = 50 * 365 * 86_400.0


def document(made: EventMessage) -> Document:
    return Document(
        0,
        made.run_id,
        made.boot_id,
        made.camera,
        made.seq,
        START_MONO_NS,
        START_UNIX_NS,
        synced=made.clock_synced,
        payload=to_json(made),
    )


def left(made: EventMessage, at: Now, *, replayed: bool = False, duplicate: bool = False) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(stamped(document(made), at, replayed=replayed, duplicate=duplicate))
    return read


def test_an_event_that_leaves_at_once_leaves_as_it_was_made() -> None:
    made = event()
    assert stamped(document(made), now(), replayed=False, duplicate=False) == to_json(made)


def test_flags_are_added_and_nothing_else_changes() -> None:
    made = event()
    flagged = left(made, now(), replayed=True, duplicate=True)
    assert flagged == json.loads(to_json(made)) | {"replayed": True, "duplicate_possible": True}
    assert msgspec.convert(flagged, EventMessage).replayed


@pytest.mark.parametrize("jump_s", [YEARS_S, -20 * 365 * 86_400.0, 0.5])
def test_an_event_made_before_the_clock_was_set_gets_its_true_time(jump_s: float) -> None:
    picture = SnapshotRef(64, 48, 999, "2026-11-22T02:00:00.000Z")
    made = msgspec.structs.replace(event(at_s=10, synced=False), snapshot=picture, started="2026-11-22T02:00:04.000Z")
    corrected = left(made, now(60, jump_s=jump_s))
    true = event(at_s=10 + jump_s)
    assert corrected["time"] == true.time
    assert (corrected["time_stamped"], corrected["time_corrected"]) == (made.time, True)
    assert corrected["clock_synced"] is True
    assert corrected["started"] == event(at_s=4 + jump_s).time
    assert corrected["snapshot"]["time"] == event(at_s=jump_s).time
    assert corrected["mono_ns"] == made.mono_ns


def test_as_long_as_nobody_knows_the_time_it_stays() -> None:
    made = event(synced=False)
    assert left(made, now(60, synced=False, jump_s=YEARS_S)) == json.loads(to_json(made))


def test_the_time_of_another_boot_cannot_be_known() -> None:
    made = event(synced=False)
    assert left(made, now(60, boot=NEXT_BOOT, jump_s=YEARS_S))["clock_synced"] is False


def test_a_time_that_was_believed_is_not_touched_when_the_clock_jumps() -> None:
    made = event()
    assert left(made, now(60, jump_s=YEARS_S))["time"] == made.time


def test_age_counts_by_the_clock_of_the_boot() -> None:
    assert now(5, jump_s=YEARS_S).age_ns(document(event())) == 5 * 10**9
    assert now(5, boot=NEXT_BOOT, synced=False).age_ns(document(event())) is None
    assert document(event()).boot_id == BOOT
