"""Accounts as they go to the broker: one retained topic a run, `account/<run_id>`, until it is final."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial

from edgemass.clock import rfc3339
from edgemass.messages import to_json
from edgemass.messages.health import Account, AccountMessage
from edgemass.spool.accounts import EVENTS, Run
from edgemass.spool.leaving import Now
from edgemass.spool.pacing import NS
from edgemass.spool.queue import Queue
from edgemass.spool.topics import Topics

KEPT = 8
"""Final accounts that stay on the broker, for who comes later; older ones are taken back."""

PAUSE_NS = NS
"""Most events are acknowledged by then, and an account that says so is worth more."""

Publish = Callable[[str, bytes, Callable[[str], None]], None]
"""topic, payload, what to call with "" or the reason why it is lost."""


class Telling:
    """Which accounts a broker knows. Used by one thread; only what `publish` calls back may come from another."""

    def __init__(self, topics: Topics, device: str, publish: Publish) -> None:
        self._topics = topics
        self._device = device
        self._publish = publish
        self._told: dict[str, Account] = {}
        """Run -> its account as it was told last on this connection."""
        self._finals: set[str] = set()
        """Runs whose final account is on its way."""
        self._answers: deque[tuple[str, str]] = deque()
        self._told_ns = -math.inf
        self._room_ns = 0
        """Until then the connection's memory is taken to be full."""
        self._news_ns: int | None = None
        """Since when there is something to tell of open runs."""

    def anew(self) -> None:
        """The broker may have forgotten all."""
        self._told.clear()
        self._told_ns = -math.inf

    def owes(self, queue: Queue) -> bool:
        """Whether a final account is still to be acknowledged."""
        return bool(self._answers) or bool(queue.accounts.over(queue.own))

    def tell(self, queue: Queue, now: Now, every_s: float) -> float:
        """Publish what is due; returns when there is more to do, monotonic, infinity where there is not."""
        self._hear(queue, now)
        over = set(queue.accounts.over(queue.own))
        due_ns = self._tell_open(queue, now, every_s, over)
        finals = over - self._finals
        if finals and now.mono_ns < self._room_ns:
            return min(due_ns, self._room_ns)
        for name in finals:
            self._finals.add(name)
            answer = partial(self._answer, name)
            self._send(name, queue.accounts.runs[name], now, final=True, settled=answer)
        return due_ns

    def _tell_open(self, queue: Queue, now: Now, every_s: float, over: set[str]) -> float:
        """What changed of runs that go on; as `tell`."""
        runs = {name: run for name, run in queue.accounts.runs.items() if name not in over}
        news = [name for name, run in runs.items() if self._told.get(name) != run.account()]
        if not news:
            self._news_ns = None
            return math.inf
        self._news_ns = now.mono_ns if self._news_ns is None else self._news_ns
        waits = any(run.queued for run in runs.values())
        due_ns = max(self._told_ns + every_s * NS, self._news_ns + (PAUSE_NS if waits else 0))
        if now.mono_ns < due_ns:
            return due_ns
        queue.keep(now, force=True)  # what was told of must not be forgotten
        for name in news:
            self._told[name] = runs[name].account()
            self._send(name, runs[name], now, final=False, settled=_ignore)
        self._told_ns = now.mono_ns
        self._news_ns = None
        return math.inf

    def _answer(self, run_id: str, reason: str) -> None:
        self._answers.append((run_id, reason))

    def _hear(self, queue: Queue, now: Now) -> None:
        """Take in what the broker has acknowledged."""
        while self._answers:
            run_id, reason = self._answers.popleft()
            self._finals.discard(run_id)
            self._told.pop(run_id, None)
            if reason in ("full", "closed"):
                self._room_ns = now.mono_ns + PAUSE_NS
                continue  # it will be told again
            told = (*(name for name in queue.told if name != run_id), run_id)
            for oldest in told[:-KEPT]:
                self._publish(self._topics.account(oldest), b"", _ignore)
            queue.tell(run_id, told[-KEPT:])

    def _send(self, run_id: str, run: Run, now: Now, *, final: bool, settled: Callable[[str], None]) -> None:
        message = AccountMessage(
            device=self._device,
            run_id=run_id,
            boot_id=run.boot_id,
            time=rfc3339(now.time_ns),
            clock_synced=now.synced,
            final=final,
            interrupted=final and not run.closed,
            classes={EVENTS: run.account()},
            cameras=dict(run.cameras),
        )
        self._publish(self._topics.account(run_id), to_json(message), settled)


def _ignore(_: str) -> None:
    """Of an account that will be followed by another."""
