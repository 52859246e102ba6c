"""Messages on their way to a broker: bounded, whoever fills it and however long the broker is away."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from edgemass.clock import Clock
from edgemass.counters import Counters

logger = logging.getLogger(__name__)

MAX_BYTES = 4 * 1024 * 1024
MAX_MESSAGES = 10_000
"""Of each: QoS 0, and QoS 1 and 2 together."""
MAX_BREAKS = 5
"""A message that was the next to be acknowledged when the broker closed so many connections is taken to be why."""
SUSPECT_NS = 3600 * 1_000_000_000
"""A state that broke connections is not sent again for so long, nor a larger one, and from then on one break is enough:
without that, who says every state anew on each connect would break each one.
"""
MAX_SUSPECTS = 100

_OVERHEAD = 32  # fixed header, lengths, message id and the properties that we set, rounded up


@dataclass(slots=True, eq=False)
class Outgoing:
    """One PUBLISH.

    deadline_ns: monotonic; sending it later makes no sense.
    settled: called once, from any thread: "" when the broker has it, else the reason for which it was dropped.
    again: the payload of every time but the first, for who must know that it may come twice.
    """

    topic: str
    payload: bytes
    qos: int
    retain: bool
    content_type: str | None = None
    deadline_ns: int | None = None
    settled: Callable[[str], None] | None = None
    again: Callable[[], bytes] | None = None
    sends: int = 0
    breaks: int = 0
    correlation: bytes | None = None
    """Of MQTT 5: which request this answers."""

    @property
    def size(self) -> int:
        """Bytes on the wire, at most."""
        return len(self.topic.encode()) + len(self.payload) + len(self.content_type or "") + _OVERHEAD


class Outbox:
    """Two queues for several writers and one sender.

    QoS 0: the newest are worth most, so a full queue loses its oldest. QoS 1 and 2: a full queue takes no more, and the
    caller keeps what it has. Every message ends as "published" or "dropped" in the counters, drops also by reason.
    """

    def __init__(self, counters: Counters, clock: Clock, *, max_bytes: int = MAX_BYTES) -> None:
        self._counters = counters
        self._clock = clock
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._fleeting: deque[Outgoing] = deque()
        self._sure: deque[Outgoing] = deque()
        self._fleeting_bytes = 0
        self._sure_bytes = 0
        self._in_flight = 0
        self._suspects: dict[str, tuple[int, int]] = {}
        """Topic of a state that broke connections -> until when, monotonic, none of so many bytes is sent."""
        self._hooks: list[Callable[[], None]] = []

    def on_settled(self, hook: Callable[[], None]) -> None:
        """Call `hook`, in the thread that settles it, after every message of QoS 1 or 2 that had been taken."""
        self._hooks.append(hook)

    def has_room(self, size: int) -> bool:
        """Whether a message of QoS 1 or 2 leaves half of the queue to those that cannot wait elsewhere.

        size: bytes. True for any size while nothing is queued: what does not fit then never will.
        """
        with self._changed:
            half = self._sure_bytes + size <= self._max_bytes // 2 and len(self._sure) < MAX_MESSAGES // 2
            return half or not self._sure

    def put(self, message: Outgoing) -> bool:
        """Queue it; False when there is no room, or it broke connections before, which is counted."""
        if self._is_suspect(message):
            self.drop(message, "undeliverable")
            return False
        lost: list[Outgoing] = []
        with self._changed:
            if message.qos > 0:
                full = self._sure_bytes + message.size > self._max_bytes or len(self._sure) >= MAX_MESSAGES
                if not full:
                    self._sure.append(message)
                    self._sure_bytes += message.size
            else:
                full = message.size > self._max_bytes
                if not full:
                    self._fleeting.append(message)
                    self._fleeting_bytes += message.size
                while self._fleeting_bytes > self._max_bytes or len(self._fleeting) > MAX_MESSAGES:
                    lost.append(self._pop_fleeting())
        for oldest in lost:
            self.drop(oldest, "full")
        if full:
            self.drop(message, "full")
        return not full

    def take(self, *, room_in_flight: bool) -> Outgoing | None:
        """The next one to send; with `room_in_flight` QoS 1 and 2 come first. None when there is nothing.

        A message of QoS 1 or 2 counts as in flight until `deliver`, `drop` or `put_back`.
        """
        while True:
            with self._changed:
                if room_in_flight and self._sure:
                    message = self._sure.popleft()
                    self._sure_bytes -= message.size
                    self._in_flight += 1
                elif self._fleeting:
                    message = self._pop_fleeting()
                else:
                    return None
            if message.deadline_ns is not None and self._clock.monotonic_ns() >= message.deadline_ns:
                self.drop(message, "expired", in_flight=True)
            elif self._is_suspect(message):  # queued before it was known
                self.drop(message, "undeliverable", in_flight=True)
            else:
                return message

    def deliver(self, message: Outgoing) -> None:
        """The broker has it (QoS 0: the network has it)."""
        self._suspects.pop(message.topic, None)
        self._counters.add("published")
        self._end(message, "", in_flight=True)

    def drop(self, message: Outgoing, reason: str, *, in_flight: bool = False) -> None:
        """It is lost; in_flight: it had been taken."""
        self._counters.add("dropped")
        self._counters.add(f"dropped.{reason}")
        self._end(message, reason, in_flight=in_flight)

    def put_back(self, messages: Iterable[Outgoing], *, closed: bool) -> None:
        """Unacknowledged ones of a broken connection, oldest first: they are the next ones again.

        closed: the broker did it, perhaps for a message's sake. The oldest is blamed: it goes alone the next time, so
        that an innocent one is acknowledged then, and the guilty one is the oldest at last.
        """
        waiting = list(messages)
        poison: list[Outgoing] = []
        if waiting and closed:
            waiting[0].breaks += 1
            known = waiting[0].retain and waiting[0].topic in self._suspects
            poison = [waiting.pop(0)] if known or waiting[0].breaks >= MAX_BREAKS else []
        with self._changed:
            for message in reversed(waiting):
                self._in_flight -= 1
                self._sure.appendleft(message)
                self._sure_bytes += message.size
            self._changed.notify_all()
        for message in poison:
            self._suspect(message)
            self.drop(message, "undeliverable", in_flight=True)

    def drop_fleeting(self, reason: str) -> None:
        """Lose all of QoS 0: the connection that they were for is gone."""
        with self._changed:
            lost = list(self._fleeting)
            self._fleeting.clear()
            self._fleeting_bytes = 0
            self._changed.notify_all()
        for message in lost:
            self.drop(message, reason)

    def drop_all(self, reason: str) -> None:
        self.drop_fleeting(reason)
        while (message := self.take(room_in_flight=True)) is not None:
            self.drop(message, reason, in_flight=True)

    @property
    def held_bytes(self) -> int:
        with self._changed:
            return self._fleeting_bytes + self._sure_bytes

    @property
    def empty(self) -> bool:
        """Nothing queued and nothing in flight."""
        with self._changed:
            return not (self._sure or self._fleeting or self._in_flight)

    def wait(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `until()` is true; it is asked whenever something was settled, and on every `stir`."""
        with self._changed:
            return self._changed.wait_for(until, timeout_s)

    def stir(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _suspect(self, message: Outgoing) -> None:
        if message.topic not in self._suspects:
            logger.warning(
                "a message of %d bytes to %s is given up: the broker closed every connection over which it was sent; "
                "see the broker's limits, its ACL and its log",
                len(message.payload),
                message.topic,
            )
        if message.retain:
            self._suspects[message.topic] = self._clock.monotonic_ns() + SUSPECT_NS, message.size
            while len(self._suspects) > MAX_SUSPECTS:
                self._suspects.pop(next(iter(self._suspects)), None)

    def _is_suspect(self, message: Outgoing) -> bool:
        suspect = self._suspects.get(message.topic) if message.retain and message.qos > 0 else None
        if suspect is None:
            return False
        until_ns, size = suspect
        return message.size >= size and self._clock.monotonic_ns() < until_ns

    def _pop_fleeting(self) -> Outgoing:
        message = self._fleeting.popleft()
        self._fleeting_bytes -= message.size
        return message

    def _end(self, message: Outgoing, reason: str, *, in_flight: bool) -> None:
        with self._changed:
            if in_flight and message.qos > 0:
                self._in_flight -= 1
            self._changed.notify_all()
        calls: list[Callable[[], None]] = [partial(message.settled, reason)] if message.settled is not None else []
        if in_flight and message.qos > 0:
            calls += self._hooks
        for call in calls:
            try:
                call()
            except Exception:  # foreign code in the sender's thread, which must live
                logger.exception("a callback for a settled message failed", extra={"topic": message.topic})
