"""What a device left retained on a broker under a name that it had before: looked for there, and emptied."""

from __future__ import annotations

import logging
from collections.abc import Callable

from edgemass.clock import Clock
from edgemass.mqtt import Message, MqttConnection, Sweep

logger = logging.getLogger(__name__)

GHOST_NS = 150 * 1_000_000_000
"""A broker takes a device that lost its power for present as long as its keep-alive allows; another device stays."""


class FormerName:
    """One earlier name on one broker. All but `look` is called in the connection's thread.

    base: topic of the device of that name. shown: where others found it. offline: what its availability says once
    nobody lives there; where another device has taken the name, all is left as it is. done: called once, when there is
    nothing more to do.
    """

    def __init__(
        self,
        connection: MqttConnection,
        base: str,
        shown: str,
        *,
        offline: bytes,
        clock: Clock,
        done: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._base = base
        self._shown = shown
        self._availability = f"{base}/availability"
        self._offline = offline
        self._clock = clock
        self._done = done
        self._ended = False
        self._sweep = Sweep(
            connection, [f"{base}/#"], marker=f"{base}/former", last=self._availability, over=self._swept
        )
        self._met_ns: int | None = None
        """When somebody was met there."""

    def look(self) -> None:
        """Now, or as soon as there is a connection; again with every connection, until it is done."""
        self._connection.on_settled(self._see_who_stays)
        self._connection.subscribe(self._availability, self._who)

    def _who(self, message: Message) -> None:
        if message.payload == self._offline and (message.retain or self._met_ns is not None):
            self._connection.publish(self._shown, b"", qos=1, retain=True)  # unread: we need not be let read it
            self._sweep.begin()
        elif message.payload not in (b"", self._offline) and self._met_ns is None:
            self._met_ns = self._clock.monotonic_ns()

    def _see_who_stays(self) -> None:
        if self._met_ns is not None and self._clock.monotonic_ns() - self._met_ns > GHOST_NS and not self._ended:
            logger.info("%s is another device's name now: what lies there is left to it", self._base)
            self._end()

    def _swept(self, _found: int, failure: str) -> None:
        if failure:
            logger.warning("not all is taken back that lies under the earlier name %s: %s", self._base, failure)
            return
        logger.info("took back from the broker what lay under the earlier name %s", self._base)
        self._end()

    def _end(self) -> None:
        self._ended = True
        self._connection.unsubscribe(self._availability)
        self._done()
