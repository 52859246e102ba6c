"""First in, first out, on disk as long as that can be written; used by one thread at a time.

Every document that comes is written (not yet synced) before it may leave, so that a process that is killed loses none.
One that no broker has acknowledged within `commit_s` is synced: a power cut loses none that is older. What leaves at
once needs no sync.
"""

from __future__ import annotations

import logging
import math
from collections import Counter

from edgemass.config.delivery import DeliveryConfig
from edgemass.errors import EdgemassError
from edgemass.messages import EventMessage
from edgemass.messages.health import QueueHealth
from edgemass.spool.accounts import MAX_RUNS, Accounts
from edgemass.spool.ahead import Ahead
from edgemass.spool.flights import Flights
from edgemass.spool.leaving import Now
from edgemass.spool.log import Log, Segment, told
from edgemass.spool.pacing import NS, Wear
from edgemass.spool.records import Document, State
from edgemass.spool.row import Row

logger = logging.getLogger(__name__)

STATE_NS = 5 * NS
"""What was acknowledged is written down so often at most; a crash sends again what was acknowledged since, flagged."""
RETRY_NS = 10 * NS
"""A disk that took nothing is tried again so often."""
MAX_EVENT_BYTES = 256 << 10
SEGMENTS = 16
REGAINED = 0.02
"""Of a day's budget: so much must have come back before the disk is used again."""


class Queue:
    """The documents on their way to one broker, and the accounts of their runs.

    log: opened; None = nothing is kept on disk. recovered: what `log.open` found.
    """

    def __init__(self, log: Log | None, wear: Wear, config: DeliveryConfig, now: Now) -> None:
        self.accounts = Accounts()
        self.told: tuple[str, ...] = ()
        self.in_memory = log is None
        self._log = log
        self._wear = wear
        self._config = config
        self._own: set[str] = set()
        self._next = 0
        """Index of the next document that comes."""
        self._sent = 0
        """All below this index have been handed over, or are gone."""
        self._ahead = Ahead(None, 0)
        self._memory = Row()
        self._flights = Flights()
        self._unsynced: dict[int, int] = {}
        self._doubtful = 0
        """Documents below this index may have been sent by an earlier process."""
        self._changed = False
        self._state_ns = -STATE_NS
        self._retry_ns = 0
        if log is not None:
            self._recover(log, now)

    def _recover(self, log: Log, now: Now) -> None:
        recovery = log.open()
        if recovery is None:
            raise EdgemassError(f"another process uses {log.folder}")
        self.accounts = recovery.accounts
        self.told = recovery.state.told
        self._next = recovery.next_index
        self._sent = recovery.state.settled
        self._ahead = Ahead(log, self._sent)
        self._doubtful = self._next if recovery.torn else log.left(self._next)
        since_ns = recovery.state.day_ns if recovery.state.boot_id == now.boot_id else now.mono_ns
        self._wear.resume(recovery.state.day_bytes, since_ns, now.mono_ns)
        found: Counter[str] = Counter()
        for segment in log.segments:
            found.update(segment.count(self._sent))
        damaged = self.accounts.reconcile(found)
        if damaged:
            logger.warning("%d events that waited in %s are damaged and lost", damaged, log.folder)
        if found:
            logger.info("%d events of earlier runs wait in %s", found.total(), log.folder)
        self._changed = bool(damaged)

    # Coming

    def put(self, event: EventMessage, payload: bytes, now: Now, *, away: bool) -> None:
        """Take in one document. away: there is no connection that it could leave by."""
        document = Document(
            self._next, event.run_id, event.boot_id, event.camera, event.seq, now.mono_ns, now.time_ns, now.synced,
            payload,
        )  # fmt: skip
        self._own.add(event.run_id)
        if len(payload) > MAX_EVENT_BYTES:
            self.miss(event, "too_large")
            return
        written = self._write(document, now, away=away)
        self._next += 1
        self.accounts.produce(event.run_id, event.boot_id, event.camera, event.seq)
        if not written:
            self._remember(document)
            return
        self._unsynced[document.index] = now.mono_ns
        self._ahead.written(document)
        assert self._log is not None
        while self._log.size_bytes > self._config.max_bytes and self._evict("full"):
            pass

    def miss(self, event: EventMessage, reason: str) -> None:
        """Count one that was dropped before it came here, and those of its camera before it that never came."""
        self._own.add(event.run_id)
        self.accounts.produce(event.run_id, event.boot_id, event.camera, event.seq, unseen=reason)
        self.accounts.drop(event.run_id, reason)
        self._changed = True

    def _write(self, document: Document, now: Now, *, away: bool) -> bool:
        """Whether the disk has it."""
        log = self._log
        if log is None or self.in_memory:
            return False
        if self._wear.spent(now.mono_ns):
            self._fall_back(f"the {self._config.daily_bytes} bytes that may be written in a day are used up", now)
            return False
        if away:
            log.hold(max(self._sent, self._doubtful))
        try:
            log.append(document, lambda: self.state(now), now.mono_ns)
        except OSError as error:
            self._fall_back(told(error), now)
            return False
        return True

    def _remember(self, document: Document) -> None:
        self._memory.add(document)
        while self._memory.size_bytes > self._config.memory_bytes:
            self.accounts.drop(self._memory.pop().run_id, "full")

    # Leaving

    def take(self, now: Now) -> Document | None:
        """The next one to send; None where there is none. It is in flight until `settle`."""
        while True:
            if self._flights.returned is not None:
                return self._flights.take_returned()
            if self.peek() is None:
                return None
            document = (self._ahead or self._memory).pop()
            self._sent = document.index + 1
            self._flights.add(document)
            age_ns = now.age_ns(document)
            if age_ns is None or age_ns <= self._config.max_age_s * NS:
                if self._log is not None:
                    self._log.release()
                return document
            self.settle(document.index, "expired")

    def peek(self) -> Document | None:
        """What `take` would give next, if it is not too old."""
        if self._flights.returned is not None:
            return self._flights.returned
        if not self._ahead:
            self._lose(self._ahead.refill())
        return self._ahead.first or self._memory.first

    def is_doubtful(self, document: Document) -> bool:
        """Whether an earlier process may have sent it."""
        return document.index < self._doubtful

    def is_inherited(self, document: Document) -> bool:
        return document.run_id not in self._own

    def settle(self, index: int, reason: str) -> None:
        """A document in flight was delivered (""), or is dropped for this reason."""
        for document, outcome in self._flights.settle(index, reason):
            self._unsynced.pop(document.index, None)
            if outcome:
                self.accounts.drop(document.run_id, outcome)
            else:
                self.accounts.deliver(document.run_id)
            self._changed = True

    def put_back(self, index: int) -> None:
        """One in flight has not left after all; it is the next again."""
        self._flights.put_back(index)

    @property
    def in_flight(self) -> int:
        return self._flights.out

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return not self._flights and self.peek() is None

    def _lose(self, unreadable: Counter[str]) -> None:
        """Count what cannot be read. unreadable: run -> how many."""
        for run_id, count in unreadable.items():
            self.accounts.drop(run_id, "damaged", count)
            self._changed = True

    # Keeping

    def due_ns(self) -> float:
        """When `keep` has something to do next, monotonic; infinity where it has not."""
        due = [math.inf]
        if self.in_memory:
            due += [self._retry_ns] if self._log is not None else []
        elif self._unsynced:
            due.append(next(iter(self._unsynced.values())) + self._config.commit_s * NS)
        if self._changed and not self.in_memory:
            due.append(self._state_ns + STATE_NS)
        return min(due)

    def keep(self, now: Now, *, force: bool = False) -> None:
        """Write and sync what is due; force: all there is."""
        log = self._log
        if log is None:
            return
        if self.in_memory and (force or now.mono_ns >= self._retry_ns):
            self._return(log, now, anyway=force)
        if self.in_memory:
            return
        try:
            if self._changed and (force or now.mono_ns >= self._state_ns + STATE_NS):
                self._write_state(log, now)
            waited_ns = now.mono_ns - next(iter(self._unsynced.values()), now.mono_ns)
            if force or (self._unsynced and waited_ns >= self._config.commit_s * NS):
                log.sync()
                self._unsynced.clear()
            self._trim(log, now)
            log.tick(now.mono_ns)
        except OSError as error:
            self._fall_back(told(error), now)

    def _write_state(self, log: Log, now: Now) -> None:
        self._forget_runs()
        log.append(self.state(now), lambda: self.state(now), now.mono_ns)
        self._state_ns = now.mono_ns
        self._changed = False

    def state(self, now: Now) -> State:
        """What a later process has to know."""
        return State(
            settled=self._settled,
            next_index=self._next,
            runs=self.accounts.copy(),
            told=self.told,
            day_bytes=self._wear.used_bytes(now.mono_ns),
            day_ns=now.mono_ns,
            boot_id=now.boot_id,
        )

    @property
    def _settled(self) -> int:
        """All below this index have been delivered or dropped."""
        first = self._flights.first
        return first.index if first is not None else self._sent

    def _trim(self, log: Log, now: Now) -> None:
        """Remove what is settled, and what is too old to be sent."""
        done = [segment for segment in log.segments[:-1] if segment.last < self._settled]
        if done:
            self._write_state(log, now)  # before what else told of it goes
            log.sync()
            self._unsynced.clear()
            for segment in done:
                log.remove(segment)
        while (oldest := self._evictable()) is not None and self._is_over(oldest, now) and self._evict("expired"):
            pass

    def _is_over(self, segment: Segment, now: Now) -> bool:
        age_ns = now.age_ns(segment.newest) if segment.newest is not None else None
        return age_ns is not None and age_ns > self._config.max_age_s * NS

    def _evictable(self) -> Segment | None:
        """The oldest segment of which nothing is in flight."""
        assert self._log is not None
        for segment in self._log.segments[:-1]:
            if not any(segment.holds(document.index) for document in self._flights):
                return segment
        return None

    def _evict(self, reason: str) -> bool:
        """Drop the oldest segment that can be; False where none can."""
        segment = self._evictable()
        if segment is None or self._log is None:
            return False
        lost = segment.count(self._sent)
        try:
            self._log.remove(segment)
        except OSError as error:
            logger.debug("cannot remove %s: %s", segment.path, error)
            return False
        for run_id, count in lost.items():
            self.accounts.drop(run_id, reason, count)
        self._ahead.forget(segment)
        if not self._flights:
            self._sent = max(self._sent, segment.last + 1)
        self._changed = True
        return True

    # A disk that takes nothing

    def _fall_back(self, why: str, now: Now) -> None:
        """Go on in memory."""
        assert self._log is not None
        logger.warning("events wait in memory and would not survive this process: %s; trying again", why)
        self.in_memory = True
        self._retry_ns = now.mono_ns + RETRY_NS
        nameless = self._log.nameless
        rescued, lost = self._ahead.rescue(nameless, self._sent) if nameless is not None else ([], Counter[str]())
        self._log.abandon()
        if nameless is not None:
            self._log.segments.remove(nameless)
        self._lose(lost)
        for document in rescued:
            self._remember(document)
        self._unsynced.clear()

    def _return(self, log: Log, now: Now, *, anyway: bool) -> None:
        """Put what waits in memory on the disk, if that can be written again. anyway: whatever a day's budget is."""
        self._retry_ns = now.mono_ns + RETRY_NS
        if not anyway and self._wear.spent(now.mono_ns, margin=REGAINED):
            return
        on_disk = {index for segment in log.segments for own in segment.indices.values() for index in own}
        flying = [document for document in self._flights if document.index not in on_disk]
        state = self.state(now)
        before = list(log.segments)
        try:
            log.append(state, lambda: state, now.mono_ns)
            for document in (*flying, *self._memory):
                log.append(document, lambda: state, now.mono_ns)
            log.sync()
        except OSError as error:
            logger.debug("the disk takes nothing yet: %s", error)
            log.abandon()
            for segment in [new for new in log.segments if new not in before]:
                log.forget(segment)
            return
        self.in_memory = False
        self._ahead.come_back(self._sent, self._memory)
        self._memory.clear()
        logger.info("events wait on the disk again, in %s", log.folder)

    # Runs

    def close_runs(self, runs: set[str]) -> None:
        """These runs end in order: nothing of theirs will come."""
        for run_id in runs & self.accounts.runs.keys():
            self.accounts.runs[run_id].closed = True
            self._changed = True

    @property
    def own(self) -> set[str]:
        """Runs that events came from in this process."""
        return set(self._own)

    def tell(self, run_id: str, told: tuple[str, ...]) -> None:
        """A broker keeps the final account of this run. told: the runs of which it keeps one."""
        self.accounts.forget(run_id)
        self.told = told
        self._changed = True

    def _forget_runs(self) -> None:
        """Bound what is known of runs that no broker could be told of."""
        over = self.accounts.over(self._own)
        for run_id in over[: max(0, len(self.accounts.runs) - MAX_RUNS)]:
            self.accounts.forget(run_id)

    def health(self) -> tuple[QueueHealth, Document | None]:
        """How full it is, and the first that waits."""
        first = self._flights.first or self.peek()
        size = self._memory.size_bytes + (self._log.size_bytes if self._log is not None else 0)
        health = QueueHealth(
            messages=sum(run.queued for run in self.accounts.runs.values()),
            size_bytes=size,
            limit_bytes=self._config.memory_bytes if self.in_memory else self._config.max_bytes,
            in_memory=self.in_memory,
            delivered=self.accounts.delivered,
            dropped=dict(self.accounts.dropped),
            written_bytes=self._wear.written_bytes,
            budget_bytes=self._wear.daily_bytes,
        )
        return health, first

    def close(self) -> int:
        """Let go of the files; how many documents are lost with the memory."""
        lost = len(self._memory)
        if self._log is not None:
            self._log.close()
        return lost
