"""Which accounts a broker is told of, and when."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemass.messages.health import Account, AccountMessage
from edgemass.spool.telling import KEPT, Telling
from edgemass.spool.topics import Topics
from tests.unit.spool.queues import Opened, now


class Told:
    """What was published, and who waits for an acknowledgement."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, AccountMessage | None]] = []
        self.waiting: list[Callable[[str], None]] = []

    def __call__(self, topic: str, payload: bytes, settled: Callable[[str], None]) -> None:
        message = msgspec.json.decode(payload, type=AccountMessage) if payload else None
        self.messages.append((topic.removeprefix("base/account/"), message))
        self.waiting.append(settled)

    def acknowledge(self, reason: str = "") -> None:
        for settled in self.waiting:
            settled(reason)
        self.waiting.clear()

    @property
    def last(self) -> AccountMessage:
        message = self.messages[-1][1]
        assert message is not None
        return message


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def telling(told: Told) -> Telling:
    return Telling(Topics("base", str), "pi-7f3a", told)


def test_an_open_account_is_told_at_once_then_every_so_often_where_it_changed(
    tmp_path: Path, told: Told, telling: Telling
) -> None:
    opened = Opened(tmp_path)
    opened.put(2)
    assert telling.tell(opened.queue, now(0), 60) == now(1).mono_ns  # most are acknowledged by then
    assert not told.messages
    assert telling.tell(opened.queue, now(1), 60) == float("inf")
    assert (told.last.final, told.last.cameras) == (False, {"door": 2})
    assert told.last.classes["events"] == Account(produced=2, queued=2)
    opened.send()
    assert telling.tell(opened.queue, now(10), 60) == now(61).mono_ns
    assert len(told.messages) == 1
    telling.tell(opened.queue, now(61), 60)
    assert told.last.classes["events"] == Account(produced=2, delivered=2)
    telling.tell(opened.queue, now(600), 60)
    assert len(told.messages) == 2


def test_the_account_of_a_run_that_was_killed_is_final_when_its_last_event_is_out(
    tmp_path: Path, told: Told, telling: Telling
) -> None:
    first = Opened(tmp_path)
    first.put(2)
    first.kill()
    second = Opened(tmp_path, run_id="b")
    telling.tell(second.queue, now(), 60)
    telling.tell(second.queue, now(1), 60)
    assert not told.last.final
    second.send()
    telling.tell(second.queue, now(), 60)
    assert (told.last.final, told.last.interrupted) == (True, True)
    telling.tell(second.queue, now(), 60)
    assert len(told.messages) == 2  # one is on its way
    told.acknowledge()
    telling.tell(second.queue, now(), 60)
    assert not second.queue.accounts.runs
    assert second.queue.told == ("a",)


def test_a_final_account_that_did_not_leave_is_told_again(tmp_path: Path, told: Told, telling: Telling) -> None:
    opened = Opened(tmp_path)
    opened.put(1)
    opened.send()
    opened.queue.close_runs(opened.queue.own)
    telling.tell(opened.queue, now(), 60)
    assert (told.last.final, told.last.interrupted) == (True, False)
    told.acknowledge("closed")
    assert telling.owes(opened.queue)
    assert telling.tell(opened.queue, now(), 60) == now(1).mono_ns
    assert len(told.messages) == 1
    telling.tell(opened.queue, now(1), 60)
    assert len(told.messages) == 2
    told.acknowledge()
    telling.tell(opened.queue, now(1), 60)
    assert not telling.owes(opened.queue)


def test_a_new_connection_is_told_all_anew(tmp_path: Path, told: Told, telling: Telling) -> None:
    opened = Opened(tmp_path)
    opened.put(1)
    telling.tell(opened.queue, now(0), 60)
    telling.tell(opened.queue, now(1), 60)
    telling.anew()
    telling.tell(opened.queue, now(2), 60)
    telling.tell(opened.queue, now(3), 60)
    assert len(told.messages) == 2


def test_only_the_last_final_accounts_stay_on_the_broker(tmp_path: Path, told: Told, telling: Telling) -> None:
    for number in range(KEPT + 2):
        opened = Opened(tmp_path, run_id=f"run{number}")
        opened.put(1)
        opened.send()
        opened.queue.close_runs(opened.queue.own)
        telling.tell(opened.queue, now(), 60)
        told.acknowledge()
        telling.tell(opened.queue, now(), 60)
        opened.queue.keep(now(), force=True)
        opened.kill()
    assert [topic for topic, message in told.messages if message is None] == ["run0", "run1"]


def test_what_was_told_of_is_not_forgotten_in_a_power_cut(tmp_path: Path, told: Told, telling: Telling) -> None:
    opened = Opened(tmp_path)
    opened.put(3)
    telling.tell(opened.queue, now(0), 60)
    telling.tell(opened.queue, now(1), 60)
    assert opened.log is not None
    assert opened.log._synced == opened.log.segments[-1].size
    assert told.last.classes["events"].produced == 3
