"""paho's client with bounds to what a broker may make it keep, and with the errors and sockets that it would lose."""

from __future__ import annotations

import logging
import re
import ssl

from paho.mqtt.client import MQTT_LOG_ERR, Client
from paho.mqtt.enums import MQTTErrorCode

logger = logging.getLogger(__name__)

MAX_UNSENT = 100
"""Failed writes after which a connection is taken for broken, though reading has not said so."""

INCOMING_MAX_BYTES = 1024 * 1024
"""MQTT 5 brokers are asked to keep larger messages to themselves."""
INCOMING_HARD_BYTES = 4 * INCOMING_MAX_BYTES
"""Who announces more is left: 3.1.1 has no way to ask, and paho would take in all that can be announced, 256 MB."""
UNRELEASED = 100
"""QoS 2 messages that paho keeps until the broker releases them; brokers send 10 to 32 at once unless told more."""


class BoundedClient(Client):
    """Paho with bounds to what a broker may make it keep; `run_once` takes the errors for a broken connection.

    There is no public place for that. tests/fuzz/test_mqtt.py shows that the first two are still called.
    """

    _unsent = 0

    def _sock_send(self, buf: bytes | bytearray) -> int:
        """Who hangs up has often acknowledged something before: reading comes to it, and to the end after it."""
        try:
            return super()._sock_send(buf)
        except BlockingIOError:
            raise
        except OSError as error:
            self._unsent += 1
            if self._unsent > MAX_UNSENT:
                raise
            self._easy_log(MQTT_LOG_ERR, "failed to send on socket: %s", error)
            raise BlockingIOError from error

    def _sock_recv(self, bufsize: int) -> bytes:
        """Paho asks for the whole rest of the packet at once."""
        if bufsize > INCOMING_HARD_BYTES:
            raise ValueError(f"a packet of {bufsize} bytes, at most {INCOMING_HARD_BYTES} are taken in")
        return super()._sock_recv(bufsize)

    def _handle_publish(self) -> MQTTErrorCode:
        if len(self._in_messages) > UNRELEASED:
            raise ValueError(f"more than {UNRELEASED} messages of QoS 2 that were never released")
        return super()._handle_publish()


class TidySocket(ssl.SSLSocket):
    """Paho leaves a socket whose handshake failed to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (the overridden signature)
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Ear(logging.Logger):
    """Keeps the last error that paho logs: the only place where it tells why a socket broke."""

    def __init__(self) -> None:
        super().__init__("edgemass.mqtt.paho", logging.ERROR)
        self.last = ""

    def handle(self, record: logging.LogRecord) -> None:
        _, _, detail = record.getMessage().rpartition("socket: ")
        self.last = re.sub(r" \(_ssl\.c:\d+\)", "", detail)
        logger.debug("paho: %s", record.getMessage())
