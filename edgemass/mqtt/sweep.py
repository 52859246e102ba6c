"""Empties what a broker retains under some topics: it is asked for it, and everything that it answers is taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from edgemass.mqtt.connection import MqttConnection
from edgemass.mqtt.subscriptions import Message


class Sweep:
    """One sweep over one connection.

    filters: of the topics. marker: a topic that one of them matches and nobody uses. last: a topic that is emptied when
    all others are, so that a sweep that was cut short can be known by it. over: called in the connection's thread
    with how many topics were retained, and why not all of them are emptied, "" where they are.
    """

    def __init__(
        self,
        connection: MqttConnection,
        filters: Sequence[str],
        *,
        marker: str,
        last: str,
        over: Callable[[int, str], None],
    ) -> None:
        self._connection = connection
        self._filters = filters
        self._marker = marker
        self._last = last
        self._over = over
        self._found: set[str] = set()
        self._owed: set[str] = set()
        self._emptied_last = False
        self._failure = ""

    def begin(self) -> None:
        """Ask. Again on every connect until it is over: the answer may have been lost with the connection."""
        if not self._owed:  # the first time, or the one before has failed
            self._found.clear()
            self._emptied_last, self._failure = False, ""
        self._owed.add(self._marker)
        for topics in self._filters:
            self._connection.subscribe(topics, self._arrived)
        # Retained messages answer SUBSCRIBE, and so come before what is published after it.
        self._connection.publish(self._marker, b"end", qos=1)

    def _arrived(self, message: Message) -> None:
        if message.topic == self._marker:
            self._settled(self._marker, "")
        elif message.retain and message.payload and message.topic not in self._found:
            self._found.add(message.topic)
            if message.topic != self._last:
                self._empty(message.topic)

    def _empty(self, topic: str) -> None:
        self._owed.add(topic)
        self._connection.publish(topic, b"", qos=1, retain=True, settled=partial(self._settled, topic))

    def _settled(self, topic: str, why: str) -> None:
        if topic not in self._owed:
            return
        self._owed.discard(topic)
        self._failure = self._failure or why
        if self._owed:
            return
        if self._last in self._found and not self._emptied_last and not self._failure:
            self._emptied_last = True
            self._empty(self._last)
            return
        for topics in self._filters:
            self._connection.unsubscribe(topics)
        self._over(len(self._found), self._failure)
