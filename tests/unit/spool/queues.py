"""A queue that a test opens, kills and opens again, and the instants that it is told."""

from __future__ import annotations

from pathlib import Path

from edgemass.config.delivery import DeliveryConfig
from edgemass.messages import to_json
from edgemass.spool.leaving import Now
from edgemass.spool.log import Log
from edgemass.spool.pacing import NS, Wear
from edgemass.spool.queue import Queue
from edgemass.spool.records import Document
from tests.documents import event
from tests.simulators.manual_clock import START_MONO_NS, START_UNIX_NS

BOOT = "00000000-0000-0000-0000-000000000000"
NEXT_BOOT = "11111111-1111-1111-1111-111111111111"


def now(at_s: float = 0.0, *, boot: str = BOOT, synced: bool = True, jump_s: float = 0.0) -> Now:
    """at_s: after the start. jump_s: by which Unix time is off."""
    passed = round(at_s * NS)
    return Now(START_MONO_NS + passed, START_UNIX_NS + passed + round(jump_s * NS), synced, boot)


class Opened:
    """One process's queue in a folder. folder: None = in memory."""

    def __init__(
        self,
        folder: Path | None,
        config: DeliveryConfig | None = None,
        at: Now | None = None,
        *,
        segment_bytes: int = 1 << 20,
        run_id: str = "a",
    ) -> None:
        self.config = config or DeliveryConfig()
        self.run_id = run_id
        at = at or now()
        self.wear = Wear(self.config.daily_bytes, at.mono_ns)
        self.log = None
        if folder is not None:
            self.log = Log(folder, segment_bytes=segment_bytes, wear=self.wear, boot_id=at.boot_id)
        self.queue = Queue(self.log, self.wear, self.config, at)
        self.seq: dict[str, int] = {}

    def put(self, count: int = 1, at: Now | None = None, *, camera: str = "door", away: bool = True) -> None:
        """The next events of this run."""
        for _ in range(count):
            self.seq[camera] = self.seq.get(camera, 0) + 1
            made = event(self.seq[camera], camera=camera, run_id=self.run_id)
            self.queue.put(made, to_json(made), at or now(), away=away)

    def send(self, count: int = 10**9, at: Now | None = None) -> list[tuple[str, str, int]]:
        """Take and deliver so many; run, camera and seq of each."""
        sent: list[tuple[str, str, int]] = []
        while len(sent) < count and (document := self.queue.take(at or now())) is not None:
            self.queue.settle(document.index, "")
            sent.append(name(document))
        return sent

    def kill(self) -> None:
        """End as `kill -9` does: nothing more is written."""
        if self.log is not None:
            self.log.close()


def name(document: Document) -> tuple[str, str, int]:
    return document.run_id, document.camera, document.seq


def closes(queue: Queue) -> bool:
    """Whether what is queued by the accounts can be taken, and nothing else."""
    queued = {run_id: run.queued for run_id, run in queue.accounts.runs.items() if run.queued}
    found: dict[str, int] = {}
    while (document := queue.take(now())) is not None:
        found[document.run_id] = found.get(document.run_id, 0) + 1
    return found == queued
