"""What is to be heard on one connection, and who is told of it; for any thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from paho.mqtt.client import topic_matches_sub

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """One that arrived. response_topic, correlation: of MQTT 5 requests."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    response_topic: str | None = None
    correlation: bytes | None = None


class Wanted(NamedTuple):
    """A subscription that there shall be. number: another one than before = the broker is to be asked anew."""

    qos: int
    number: int


class Subscriptions:
    """Topic filters with their callbacks."""

    def __init__(self) -> None:
        self.wanted: Mapping[str, Wanted] = {}
        """By topic filter, in the order in which they were given. Replaced by another one with every change."""
        self._callbacks: dict[str, Callable[[Message], None]] = {}
        self._given = 0
        self._lock = threading.Lock()

    def add(self, topic_filter: str, callback: Callable[[Message], None], qos: int) -> None:
        """One more; or, where it is there, another callback for it.

        Raises:
            ValueError: no valid filter.
        """
        _check_filter(topic_filter)
        with self._lock:
            self._given += 1
            self._callbacks[topic_filter] = callback
            self.wanted = {**self._others(topic_filter), topic_filter: Wanted(qos, self._given)}

    def remove(self, topic_filter: str) -> None:
        with self._lock:
            self._callbacks.pop(topic_filter, None)
            self.wanted = self._others(topic_filter)

    def arrived(self, message: Message) -> None:
        """Tell everybody whom it concerns, in this thread."""
        with self._lock:
            known = list(self._callbacks.items())
        for name, callback in known:
            if not topic_matches_sub(_shared(name), message.topic):
                continue
            try:
                callback(message)
            except Exception:  # foreign code in the connection's thread, which must live
                logger.exception("handling a message failed", extra={"topic": message.topic})

    def _others(self, topic_filter: str) -> dict[str, Wanted]:
        return {name: wanted for name, wanted in self.wanted.items() if name != topic_filter}


def _check_filter(topic_filter: str) -> None:
    *parents, last = _shared(topic_filter).split("/")
    strange = any("#" in level or ("+" in level and level != "+") for level in parents)
    if not topic_filter or strange or (len(last) > 1 and ("#" in last or "+" in last)):
        raise ValueError(f"topic_filter must have # only as its end and + only as a whole level, got {topic_filter!r}")


def _shared(topic_filter: str) -> str:
    """What a shared subscription really matches: $share/GROUP/FILTER -> FILTER."""
    return topic_filter.split("/", 2)[2] if topic_filter.startswith("$share/") else topic_filter
