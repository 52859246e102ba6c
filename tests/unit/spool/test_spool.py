"""The spool's thread, between cameras that do not wait and a broker that comes and goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemass.clock import SystemClock
from edgemass.config.delivery import DeliveryConfig
from edgemass.spool import Spool, Topics
from edgemass.spool import spool as module
from edgemass.spool.log import Log
from tests.documents import event
from tests.simulators.broker import wait_until
from tests.simulators.manual_clock import ManualClock
from tests.unit.spool.queues import BOOT

TOPIC = "edgemass/v1/pi-7f3a/camera/door/events"


class FakeBroker:
    """Takes what it is given. connected: as the connection says. refuses: says "full". silent: acknowledges nothing."""

    def __init__(self, *, connected: bool = True) -> None:
        self.connected = connected
        self.hopeful = connected
        self.refuses = False
        self.silent = False
        self.payloads: list[tuple[str, dict[str, Any]]] = []
        self.waiting: list[Callable[[str], None]] = []
        self._lock = threading.Lock()

    def publish(self, topic: str, payload: bytes, *, settled: Callable[[str], None], **_: object) -> bool:
        with self._lock:
            if self.refuses:
                settled("full")
                return False
            self.payloads.append((topic, json.loads(payload) if payload else {}))
            if self.silent:
                self.waiting.append(settled)
            else:
                settled("")
            return True

    def events(self) -> list[dict[str, Any]]:
        with self._lock:
            return [payload for topic, payload in self.payloads if topic == TOPIC]

    def accounts(self) -> list[dict[str, Any]]:
        with self._lock:
            return [payload for topic, payload in self.payloads if topic != TOPIC]

    def comes(self, spool: Spool) -> None:
        self.connected = self.hopeful = True
        spool.wake()


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


def opened(folder: Path | None, broker: FakeBroker, config: DeliveryConfig | None = None) -> Spool:
    made = Spool(
        folder,
        broker,
        device="pi-7f3a",
        topics=Topics("edgemass/v1/pi-7f3a", str),
        config=config or DeliveryConfig(settle_s=0.0),
        clock=SystemClock(),
        synced=lambda: True,
        boot=BOOT,
    )
    made.start()
    return made


@pytest.fixture
def spool(tmp_path: Path, broker: FakeBroker) -> Iterator[Spool]:
    made = opened(tmp_path, broker)
    yield made
    made.close(0)


def test_an_event_leaves_at_once_as_it_was_made(spool: Spool, broker: FakeBroker) -> None:
    spool.put(event(1))
    wait_until(broker.events, "the event")
    assert "replayed" not in broker.events()[0]
    wait_until(lambda: (health := spool.queue()) is not None and health.messages == 0, "acknowledged")


def test_what_waited_leaves_in_order_when_the_broker_comes(tmp_path: Path) -> None:
    broker = FakeBroker(connected=False)
    spool = opened(tmp_path, broker)
    for seq in range(1, 21):
        spool.put(event(seq))
    wait_until(lambda: (health := spool.queue()) is not None and health.messages == 20, "queued")
    assert not broker.events()
    broker.comes(spool)
    wait_until(lambda: len(broker.events()) == 20, "all")
    spool.close(30)
    assert [document["seq"] for document in broker.events()] == list(range(1, 21))
    assert broker.accounts()[-1]["final"]
    assert broker.accounts()[-1]["classes"]["events"]["delivered"] == 20


def test_the_next_process_sends_what_the_last_could_not_flagged_as_replayed(tmp_path: Path) -> None:
    absent = FakeBroker(connected=False)
    first = opened(tmp_path, absent)
    first.put(event(1))
    first.close(0)
    broker = FakeBroker()
    second = opened(tmp_path, broker)
    wait_until(broker.events, "the event")
    second.close(30)
    assert broker.events()[0]["replayed"]
    assert "duplicate_possible" not in broker.events()[0]
    assert broker.accounts()[-1]["classes"]["events"] == {"produced": 1, "delivered": 1, "queued": 0, "dropped": {}}


def test_what_was_not_acknowledged_is_sent_again_by_the_next_process_and_flagged(tmp_path: Path) -> None:
    silent = FakeBroker()
    silent.silent = True
    first = opened(tmp_path, silent)
    first.put(event(1))
    wait_until(silent.events, "sent")
    first.close(0)
    broker = FakeBroker()
    second = opened(tmp_path, broker)
    wait_until(broker.events, "sent again")
    second.close(30)
    assert broker.events()[0]["duplicate_possible"]


def test_an_event_made_before_the_clock_was_set_leaves_with_its_true_time(tmp_path: Path) -> None:
    known: list[bool] = []
    broker = FakeBroker(connected=False)
    spool = Spool(
        tmp_path,
        broker,
        device="pi-7f3a",
        topics=Topics("edgemass/v1/pi-7f3a", str),
        config=DeliveryConfig(settle_s=0.0),
        clock=ManualClock(),
        synced=lambda: bool(known),
        boot=BOOT,
    )
    spool.start()
    made = msgspec.structs.replace(
        event(1, synced=False), time="1970-01-01T00:10:00.000Z", started="1970-01-01T00:09:00Z"
    )
    spool.put(made)
    wait_until(lambda: (health := spool.queue()) is not None and health.messages == 1, "queued")
    known.append(True)
    broker.comes(spool)
    wait_until(broker.events, "the event")
    spool.close(30)
    document = broker.events()[0]
    assert (document["time"], document["started"]) == (event(1).time, "2026-11-22T01:59:00.000Z")
    assert (document["time_stamped"], document["time_corrected"]) == ("1970-01-01T00:10:00.000Z", True)


def test_a_connection_without_room_is_tried_again_in_order(
    spool: Spool, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    broker.refuses = True
    for seq in range(1, 6):
        spool.put(event(seq))
    wait_until(lambda: (health := spool.queue()) is not None and health.messages == 5, "queued")
    broker.refuses = False
    spool.wake()
    wait_until(lambda: len(broker.events()) == 5, "all")
    assert [document["seq"] for document in broker.events()] == [1, 2, 3, 4, 5]


def test_events_that_come_faster_than_there_is_memory_are_counted(
    tmp_path: Path, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Event()
    monkeypatch.setattr(Spool, "_open", _after(start, Spool._open))
    spool = opened(tmp_path, broker, DeliveryConfig(settle_s=0.0, memory_bytes=1 << 16))
    for seq in range(1, 501):
        spool.put(event(seq))
    start.set()
    spool.close(20)
    account = broker.accounts()[-1]["classes"]["events"]
    assert account["dropped"]["full"] > 100
    assert account["delivered"] == len(broker.events())
    assert account["delivered"] + account["dropped"]["full"] == account["produced"] == 500


@pytest.mark.parametrize(
    "name", ["²³.seg", "١٢٣٤٥٦٧٨٩٠١٢.seg", "1.seg", "-00000000001.seg", "0000000000001.seg", "x.seg"]
)
def test_a_file_that_the_queue_never_wrote_is_no_part_of_it(
    tmp_path: Path, broker: FakeBroker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / name).write_bytes(b"somebody else's")
    spool = opened(tmp_path, broker)
    spool.put(event(1))
    wait_until(broker.events, "the event")
    health = spool.queue()
    spool.close(30)
    assert health is not None
    assert not health.in_memory
    assert (tmp_path / name).read_bytes() == b"somebody else's"
    assert not caplog.records


def test_a_folder_that_fails_as_nobody_foresaw_leaves_events_to_memory_and_a_trace(
    tmp_path: Path, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Log) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Log, "open", fails)
    spool = opened(tmp_path, broker)
    spool.put(event(1))
    wait_until(broker.events, "the event")
    health = spool.queue()
    spool.close(30)
    assert health is not None
    assert health.in_memory
    assert [record.exc_info is not None for record in caplog.records] == [True]


def _after(start: threading.Event, done: Callable[[Spool], Any]) -> Callable[[Spool], Any]:
    def wait(spool: Spool) -> Any:
        start.wait(20)
        return done(spool)

    return wait


def test_a_folder_that_cannot_be_made_is_said_once_and_events_go_on(
    tmp_path: Path, broker: FakeBroker, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    spool = opened(tmp_path / "file" / "spool", broker)
    spool.put(event(1))
    wait_until(broker.events, "the event")
    health = spool.queue()
    spool.close(30)
    assert health is not None
    assert health.in_memory
    assert len(caplog.records) == 1
    assert "in memory only" in caplog.text
