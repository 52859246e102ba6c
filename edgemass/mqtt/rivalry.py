"""Whether another client uses our client id: each connection of one throws the other one out. Rules only.

MQTT 5 has a word for it, Session taken over, which not every broker says: mosquitto 2.0.11, Debian 12's, closes the
connection without one, as every broker does in 3.1.1. Then it shows in connections that are accepted and soon closed.
"""

from __future__ import annotations

from edgemass.mqtt.trouble import SLOW_S

SHORT_S = 5.0
SHORT_LIVED = 3
"""So many connections in a row that lasted less than SHORT_S have a cause of their own."""
RIVAL_S = 2 * SLOW_S + SHORT_S
"""Once it is suspected both wait, and a connection lasts until the other one's pause is over."""


class Rivalry:
    """For one thread, but `suspected` is for any."""

    def __init__(self) -> None:
        self.suspected = False
        self._short_lived = 0

    def ended(self, *, closed: bool, said: bool, lasted_s: float) -> None:
        """A connection has ended, or an attempt has failed.

        closed: it had been accepted, and the broker closed it without a word. said: the broker named the cause.
        """
        short = closed and lasted_s < (RIVAL_S if self.suspected else SHORT_S)
        self._short_lived = self._short_lived + 1 if short else 0
        self.suspected = said or (short and (self.suspected or self._short_lived >= SHORT_LIVED))

    def lasts(self, seconds: float) -> None:
        """A connection has lasted for so long."""
        if self.suspected and seconds > RIVAL_S:
            self.suspected = False
