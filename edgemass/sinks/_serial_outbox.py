"""What waits for a serial port: bounded, whoever fills it and however slowly it drains."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.sinks._serial_documents import Body, fit, same
from edgemass.sinks._serial_options import SerialOptions

MAX_ANSWERS = 32
MAX_EVENTS = 256
MAX_STATES = 1024
REFRESH_NS = 10_000_000_000
"""What a frame shows is sent again after so long, though nothing changed: the other end knows then that we live."""

_AGE_BYTES = len(',"a":99999999')

StateKey = tuple[str, ...]


class Line(NamedTuple):
    """One line to be: its body, and whether it is a document, which is accounted for."""

    body: Body
    document: bool


class _Event(NamedTuple):
    body: Body
    came_ns: int


@dataclass
class _Frames:
    """Of one camera. waiting: the newest that is not sent; shown: the newest that is sent or will be."""

    waiting: Body | None = None
    shown: Body | None = None
    shown_ns: int = 0
    due_ns: int = 0


@dataclass
class _Queues:
    answers: deque[Body] = field(default_factory=deque)
    events: deque[_Event] = field(default_factory=deque)
    states: dict[StateKey, Body] = field(default_factory=dict)
    changed: dict[StateKey, None] = field(default_factory=dict)
    frames: dict[str, _Frames] = field(default_factory=dict)


class Outbox:
    """Answers first, then events in their order, then states, then frames; for several writers and one sender.

    Events: a full queue loses its oldest; those that wait long say how long ("a"). States: the newest wins, and all are
    due again after `greet`. Frames: the newest of each camera wins, at most `max_per_s`; none wait for a port that is
    closed. Every frame and event ends as "published" or "dropped" in the counters, drops also by reason, or, a frame
    that shows nothing new, as "unchanged". "left_out" counts what did not fit into a line.
    """

    def __init__(self, options: SerialOptions, counters: Counters, clock: Clock) -> None:
        self._options = options
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._queues = _Queues()
        self._open = False

    # From any thread.

    def frame(self, body: Body) -> None:
        fitted = self._fit(body)
        if fitted is None:
            return
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            if not self._open:
                self._drop("offline")
                return
            frames = self._queues.frames.setdefault(body["c"], _Frames())
            if self._nothing_new(frames, fitted, now_ns):
                self._counters.add("unchanged")
                return
            if frames.waiting is not None:
                self._drop("newer")
            frames.waiting = frames.shown = fitted
            frames.shown_ns = now_ns

    def event(self, body: Body) -> None:
        fitted = self._fit(body, spare=_AGE_BYTES)
        if fitted is None:
            return
        with self._lock:
            self._queues.events.append(_Event(fitted, self._clock.monotonic_ns()))
            if len(self._queues.events) > MAX_EVENTS:
                self._queues.events.popleft()
                self._drop("full")

    def state(self, key: StateKey, body: Body) -> None:
        fitted = self._fit(body)
        if fitted is None:
            return
        with self._lock:
            queues = self._queues
            if queues.states.get(key) == fitted:
                return
            if key not in queues.states and len(queues.states) >= MAX_STATES:
                self._drop("full")
                return
            queues.states[key] = fitted
            queues.changed[key] = None

    def answer(self, body: Body) -> None:
        """Only while somebody is there: who asked will ask again."""
        fitted = fit(body, self._options.max_line)
        if fitted is None:
            return
        with self._lock:
            if self._open:
                self._queues.answers.append(fitted[0])
                if len(self._queues.answers) > MAX_ANSWERS:
                    self._queues.answers.popleft()

    # From the port's thread.

    def opened(self, greeting: Body) -> None:
        """Somebody is there: greet, and tell how everything is."""
        with self._lock:
            self._open = True
        self.greet(greeting)

    def greet(self, greeting: Body) -> None:
        """Whoever is there knows nothing yet, or no longer."""
        with self._lock:
            if greeting not in self._queues.answers:  # nobody may have read the one before
                self._queues.answers.appendleft(greeting)
            self._queues.changed = dict.fromkeys(self._queues.states)
            for frames in self._queues.frames.values():
                frames.shown = frames.waiting

    def closed(self) -> None:
        """Nobody is there: events and states wait, the rest is lost."""
        with self._lock:
            self._open = False
            self._queues.answers.clear()
            for frames in self._queues.frames.values():
                if frames.waiting is not None:
                    self._drop("offline")
            self._queues.frames.clear()

    def take(self) -> Line | None:
        """The next one to send; `sent` or `lost` must follow. None when nothing is due."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            queues = self._queues
            if queues.answers:
                return Line(queues.answers.popleft(), document=False)
            if queues.events:
                event = queues.events.popleft()
                age_s = (now_ns - event.came_ns) // 1_000_000_000
                return Line({**event.body, "a": age_s} if age_s else event.body, document=True)
            if queues.changed:
                key = next(iter(queues.changed))
                del queues.changed[key]
                return Line(queues.states[key], document=False)
            due = [frames for frames in queues.frames.values() if frames.waiting is not None]
            due = [frames for frames in due if frames.due_ns <= now_ns]
            if not due:
                return None
            frames = min(due, key=lambda item: item.due_ns)  # the camera that has waited longest
            body, frames.waiting = frames.waiting, None
            rate = self._options.max_per_s
            frames.due_ns = now_ns + (int(1e9 / rate) if rate else 1)
            assert body is not None
            return Line(body, document=True)

    def due_in_s(self) -> float | None:
        """Seconds until a frame may be sent; None when none waits."""
        with self._lock:
            due = [frames.due_ns for frames in self._queues.frames.values() if frames.waiting is not None]
        return max(0, min(due) - self._clock.monotonic_ns()) / 1e9 if due else None

    def sent(self, line: Line) -> None:
        self._counters.add("published" if line.document else "told")

    def lost(self, line: Line, reason: str) -> None:
        """It had been taken."""
        if line.document:
            self._drop(reason)

    @property
    def owes(self) -> bool:
        """Whether anything but frames waits."""
        with self._lock:
            return bool(self._queues.answers or self._queues.events or self._queues.changed)

    @property
    def held(self) -> int:
        """Lines that wait."""
        with self._lock:
            queues = self._queues
            frames = sum(item.waiting is not None for item in queues.frames.values())
            return len(queues.answers) + len(queues.events) + len(queues.changed) + frames

    def drop_all(self, reason: str) -> None:
        """It is over."""
        self.closed()
        with self._lock:
            for _ in self._queues.events:
                self._drop(reason)
            self._queues.events.clear()
            self._queues.changed.clear()

    def _nothing_new(self, frames: _Frames, body: Body, now_ns: int) -> bool:
        if self._options.detections == "all" or frames.shown is None:
            return False
        return same(body, frames.shown) and now_ns - frames.shown_ns < REFRESH_NS

    def _fit(self, body: Body, spare: int = 0) -> Body | None:
        fitted = fit(body, self._options.max_line - spare)
        if fitted is None:
            self._drop("too_long")
            return None
        if fitted[1]:
            self._counters.add("left_out", fitted[1])
        return fitted[0]

    def _drop(self, reason: str) -> None:
        self._counters.add("dropped")
        self._counters.add(f"dropped.{reason}")
