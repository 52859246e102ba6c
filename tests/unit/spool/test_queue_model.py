"""The queue against a model: whatever happens in whatever order, every event is sent or counted, once or flagged."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edgemass.config.delivery import DeliveryConfig
from edgemass.messages import to_json
from edgemass.spool.leaving import Now
from edgemass.spool.log import Log
from edgemass.spool.pacing import Wear
from edgemass.spool.queue import Queue
from edgemass.spool.records import Document
from tests.documents import event
from tests.unit.spool.queues import now

SEGMENT_BYTES = 4096  # a handful of documents
CONFIG = DeliveryConfig(memory_bytes=1 << 20, daily_bytes=None)


class FillingLog(Log):
    """A log on a disk that can be full. synced_bytes: file -> what a power cut leaves of it for sure."""

    full = False

    def _write(self, record: Any) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super()._write(record)

    def sync(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().sync()


class QueueMachine(RuleBasedStateMachine):
    """One device, many processes and boots, two cameras."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.at_s = 0.0
        self.boot = 0
        self.runs = 0
        self.full = False
        self.cut_off: set[str] = set()
        """Runs of which the disk need not know the end: they ended in a power cut, or while the disk was full."""
        self.put: dict[str, dict[str, int]] = {}
        self.received: set[tuple[str, str, int]] = set()
        self.accounts: dict[str, Any] = {}
        self._open()

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self.log.close()
            shutil.rmtree(self.folder)

    def _now(self) -> Now:
        return now(self.at_s, boot=f"{self.boot:08d}-0000-0000-0000-000000000000")

    def _open(self) -> None:
        at = self._now()
        wear = Wear(None, at.mono_ns)
        self.log = FillingLog(self.folder, segment_bytes=SEGMENT_BYTES, wear=wear, boot_id=at.boot_id)
        self.log.full = self.full
        self.queue = Queue(self.log, wear, CONFIG, at)
        self.runs += 1
        self.run_id = f"run{self.runs}"
        self.seq = {"door": 0, "yard": 0}
        self.flying: dict[int, Document] = {}
        self.boot_of_run = self.boot

    @rule(camera=st.sampled_from(["door", "yard"]), away=st.booleans(), count=st.integers(1, 5))
    def events_come(self, camera: str, away: bool, count: int) -> None:
        away = away and not self.flying
        for _ in range(count):
            self.seq[camera] += 1
            made = event(self.seq[camera], camera=camera, run_id=self.run_id)
            self.queue.put(made, to_json(made), self._now(), away=away)
            self.put.setdefault(self.run_id, {})[camera] = self.seq[camera]

    @rule(count=st.integers(1, 8))
    def events_leave(self, count: int) -> None:
        for _ in range(count):
            document = self.queue.take(self._now())
            if document is None:
                return
            assert document.index not in self.flying
            self.flying[document.index] = document
            key = (document.run_id, document.camera, document.seq)
            assert key not in self.received or self.queue.is_doubtful(document), f"{key} came twice, unflagged"
            self.received.add(key)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def one_is_acknowledged(self, data: st.DataObject) -> None:
        index = data.draw(st.sampled_from(sorted(self.flying)))
        del self.flying[index]
        self.queue.settle(index, "")

    @rule(seconds=st.sampled_from([0.1, 1.0, 12.0]))
    def time_passes(self, seconds: float) -> None:
        self.at_s += seconds
        self.queue.keep(self._now())

    @rule(full=st.booleans())
    def disk_is_full(self, full: bool) -> None:
        self.full = self.log.full = full

    @rule()
    def killed(self) -> None:
        if self.queue.in_memory or self.full:
            self.cut_off.add(self.run_id)
        self.log.close()
        self._open()

    @rule(data=st.data())
    def power_is_cut(self, data: st.DataObject) -> None:
        """What was not synced may be there up to any byte."""
        synced = self.log._synced if self.log.writing else None
        path = self.log.segments[-1].path if self.log.writing else None
        self.cut_off.add(self.run_id)
        self.log.close()
        if path is not None and synced is not None:
            os.truncate(path, data.draw(st.integers(synced, path.stat().st_size)))
        self.boot += 1
        self._open()

    @invariant()
    def accounts_close(self) -> None:
        for run in self.queue.accounts.runs.values():
            assert run.queued >= 0
            assert run.produced == run.delivered + run.queued + sum(run.dropped.values())
            assert run.produced == sum(run.cameras.values())

    @rule()
    def all_is_sent_and_every_event_is_accounted_for(self) -> None:
        while (document := self.queue.take(self._now())) is not None:
            self.flying[document.index] = document
            self.received.add((document.run_id, document.camera, document.seq))
        for index in sorted(self.flying):
            self.queue.settle(index, "")
        self.flying.clear()
        assert self.queue.empty
        for run_id, run in self.queue.accounts.runs.items():
            assert run.queued == 0, run_id
            received = sum(seq <= run.cameras.get(camera, 0) for name, camera, seq in self.received if name == run_id)
            if run_id not in self.cut_off:
                assert run.cameras == self.put[run_id]
                assert (received, run.dropped) == (run.produced, {})
            assert received + sum(run.dropped.values()) >= run.produced
            assert run.delivered <= received


def test_the_queue_keeps_its_promises_whatever_happens() -> None:
    run_state_machine_as_test(
        QueueMachine, settings=settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
    )


@pytest.mark.slow
def test_the_queue_keeps_its_promises_in_a_long_campaign() -> None:
    run_state_machine_as_test(QueueMachine, settings=settings(max_examples=5000, stateful_step_count=60, deadline=None))
