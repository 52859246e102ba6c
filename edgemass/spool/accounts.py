"""Where every event of every run went. Rules only.

produced = delivered + queued + the sum of dropped: queued is never counted but follows from the others, and what a
search through the queue finds missing is dropped as "damaged".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from edgemass.messages.health import Account

EVENTS = "events"
"""The one class of documents that is accounted for so far."""
MAX_RUNS = 500
"""Of a board that restarts for ever without a broker."""


class Run(msgspec.Struct, array_like=True):
    """What became of one run's events so far. cameras: camera -> last seq. closed: it ended in order."""

    boot_id: str
    cameras: dict[str, int] = {}
    produced: int = 0
    delivered: int = 0
    dropped: dict[str, int] = {}
    closed: bool = False

    @property
    def queued(self) -> int:
        return self.produced - self.delivered - sum(self.dropped.values())

    def account(self) -> Account:
        return Account(produced=self.produced, delivered=self.delivered, queued=self.queued, dropped=dict(self.dropped))

    def drop(self, reason: str, count: int = 1) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


class Accounts:
    """The runs that are not closed yet, oldest first."""

    def __init__(self, runs: Mapping[str, Run] | None = None) -> None:
        self.runs: dict[str, Run] = dict(runs or {})
        self.delivered = 0
        self.dropped: Counter[str] = Counter()
        """Of all runs, since these accounts were opened."""

    def produce(self, run_id: str, boot_id: str, camera: str, seq: int, *, unseen: str = "unseen") -> None:
        """Count one event, and with it those before it that never came here, as dropped for the reason `unseen`."""
        run = self.runs.setdefault(run_id, Run(boot_id))
        missed = max(0, seq - run.cameras.get(camera, 0) - 1)
        run.cameras[camera] = max(seq, run.cameras.get(camera, 0))
        run.produced += 1 + missed
        run.drop(unseen, missed)
        self.dropped.update({unseen: missed} if missed else {})

    def deliver(self, run_id: str) -> None:
        self.runs[run_id].delivered += 1
        self.delivered += 1

    def drop(self, run_id: str, reason: str, count: int = 1) -> None:
        self.runs[run_id].drop(reason, count)
        self.dropped.update({reason: count} if count else {})

    def reconcile(self, found: Mapping[str, int]) -> int:
        """After a search that found so many queued events of each run; how many are damaged."""
        damaged = 0
        for run_id, run in self.runs.items():
            missing = run.queued - found.get(run_id, 0)
            if missing > 0:
                run.drop("damaged", missing)
                self.dropped.update({"damaged": missing})
                damaged += missing
            else:  # found again, though it could not be read before
                again = min(-missing, run.dropped.get("damaged", 0))
                run.drop("damaged", -again)
                run.produced += -missing - again
        return damaged

    def over(self, own: Iterable[str]) -> list[str]:
        """Runs whose account is final: nothing of theirs waits, and nothing can come. own: runs of this process."""
        mine = set(own)
        return [name for name, run in self.runs.items() if not run.queued and (run.closed or name not in mine)]

    def forget(self, run_id: str) -> None:
        """Its final account is with a broker."""
        self.runs.pop(run_id, None)

    def copy(self) -> dict[str, Run]:
        """As they are now, for a record."""
        return {
            name: msgspec.structs.replace(run, cameras=dict(run.cameras), dropped=dict(run.dropped))
            for name, run in self.runs.items()
        }
