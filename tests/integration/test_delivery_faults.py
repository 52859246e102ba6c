"""The queue of events on real file systems that are full, read-only, limited or gone."""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.broker import Broker, Listener, wait_until
from tests.simulators.event_source import EventSource
from tests.unit.spool.queues import Opened, now

DISK_BYTES = 512 << 10


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


def test_a_full_disk_is_said_and_nothing_is_lost(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    opened = Opened(disk / "spool")
    opened.put(20)
    filler = fill(disk)
    opened.put(40)
    health, _ = opened.queue.health()
    assert (health.in_memory, health.messages) == (True, 60)
    assert caplog.text.count("No space left on device") == 1
    assert [seq for _, _, seq in opened.send(10)] == list(range(1, 11))  # it goes on sending
    filler.unlink()
    opened.queue.keep(now(11))
    assert caplog.text.count("on the disk again") == 1
    opened.kill()
    again = Opened(disk / "spool")
    run = again.queue.accounts.runs["a"]
    assert (run.produced, run.delivered, run.dropped) == (60, 10, {})
    assert [seq for _, _, seq in again.send()] == list(range(11, 61))


def test_what_was_sent_from_a_full_disk_is_flagged_when_it_is_sent_again(disk: Path) -> None:
    opened = Opened(disk / "spool")
    opened.put(20)
    fill(disk)
    opened.put(5)
    opened.send(10)
    opened.kill()
    again = Opened(disk / "spool")
    documents = [document for _ in range(20) if (document := again.queue.take(now()))]
    assert len(documents) == 20
    assert all(again.queue.is_doubtful(document) for document in documents)


def test_a_disk_that_became_read_only_is_said_and_events_go_on(disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = Opened(disk / "spool")
    opened.put(20)
    opened.queue.keep(now(), force=True)
    assert opened.log is not None
    opened.log.abandon()  # a file that is open for writing keeps the disk from becoming read-only
    opened.log._stack.close()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    opened.put(20)
    assert opened.queue.in_memory
    assert "Read-only file system" in caplog.text
    assert [seq for _, _, seq in opened.send()] == list(range(1, 41))
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    opened.queue.keep(now(11))
    opened.kill()
    again = Opened(disk / "spool")
    assert again.queue.accounts.runs["a"].delivered == 40


def test_a_limit_to_the_size_of_files_is_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = Opened(tmp_path / "spool", segment_bytes=1 << 20)
    with files_of_at_most(1 << 16):
        opened.put(300)
        assert opened.queue.in_memory
        assert "File too large" in caplog.text
        assert len(list((tmp_path / "spool").glob("*.seg"))) == 1
    assert [seq for _, _, seq in opened.send()] == list(range(1, 301))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.broker
def test_a_process_with_a_full_disk_and_no_broker_lives_says_so_and_sends_all(disk: Path, tmp_path: Path) -> None:
    fill(disk)
    with Broker(tmp_path / "broker") as broker:
        broker.kill()
        with EventSource(broker.url, disk / "state", tmp_path / "out") as source:
            wait_until(lambda: len(source.told) >= 100, "events", 20)
            broker.start()
            with Listener(broker, "edgemass/v1/#") as listener:
                wait_until(lambda: listener.heard("edgemass/v1/pi-7f3a/camera/yard/events"), "events that waited")
                assert source.end() == 0, source.err
                wait_until(lambda: account(listener)["final"], "the last account")
                told = account(listener)
                events = [heard for heard in listener.heard() if heard.topic.endswith("/events")]
    assert "No space left on device" in source.err
    assert told["classes"]["events"]["delivered"] == len(events) == len(source.told)


def account(listener: Listener) -> dict[str, Any]:
    """As it was told last."""
    told = [heard.payload for heard in listener.heard() if "/account/" in heard.topic]
    return dict(json.loads(told[-1])) if told else {"final": False}
