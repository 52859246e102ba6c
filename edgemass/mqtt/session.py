"""One network connection to a broker, through paho, used by one thread only.

paho's own thread is not used: with `loop_start` the reason of a failed connection is lost, publishing from other
threads races with reconnecting, and its queues have no bound in bytes. paho has a public interface for foreign loops
(`loop_read`, `loop_write`, `loop_misc`, `want_write`), and here nobody else touches the client.
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edgemass.clock import Clock
from edgemass.mqtt import trouble
from edgemass.mqtt.client import INCOMING_MAX_BYTES, BoundedClient, Ear, TidySocket
from edgemass.mqtt.options import MqttOptions, Version
from edgemass.mqtt.outbox import Outbox, Outgoing
from edgemass.mqtt.subscriptions import Message, Subscriptions, Wanted
from edgemass.mqtt.trouble import Trouble

logger = logging.getLogger(__name__)

KEEPALIVE_S = 20
"""A dead connection is noticed after at most two of these."""
CONNECT_TIMEOUT_S = 5.0
"""For TCP, and again for the TLS handshake."""
CONNACK_TIMEOUT_S = 10.0
IN_FLIGHT = 20
"""QoS 1 and 2 sent and not yet acknowledged; what mosquitto takes by default (max_inflight_messages)."""
FAREWELL_NS = 1_000_000_000
MISC_NS = 500_000_000
"""Between two looks of paho's at keepalive and deadlines, which it counts in seconds."""
_BURST = 100


@dataclass(frozen=True)
class Will:
    """What the broker publishes for us when we are gone without a goodbye."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


class Session:
    """connect -> run while `alive` -> close. After that `trouble` says why it ended, None = as we wished.

    version: of MQTT. subscriptions: what arrives is given to them in this thread.
    on_refused: ("publish" | "subscribe", topic, reason).
    accepted: the broker has said yes. version_refused: it wants another version of MQTT. hung_up: the connection ended
    without a word.
    packet_limit: bytes of a message that the broker takes.
    learned_limit: the same, learned from being thrown out; to be told to the next session.
    """

    def __init__(
        self,
        options: MqttOptions,
        version: Version,
        outbox: Outbox,
        subscriptions: Subscriptions,
        *,
        clock: Clock,
        learned_limit: int | None,
        will: Will | None,
        on_refused: Callable[[str, str, str], None],
    ) -> None:
        self.version = version
        self.accepted = False
        self.version_refused = False
        self.hung_up = False
        self.packet_limit = self.learned_limit = learned_limit
        self._options = options
        self._outbox = outbox
        self._subscriptions = subscriptions
        self._clock = clock
        self._closed = False
        self._thrown_out = False
        self._reading = False
        self._trouble: Trouble | None = None
        self._on_refused = on_refused
        self._window = IN_FLIGHT
        self._largest_sent = 0
        self._in_flight: dict[int, Outgoing] = {}
        self._subscribed: Mapping[str, Wanted] = {}
        self._subscribing: dict[int, str] = {}
        self._properties: dict[str | None, Properties] = {}
        self._ear = Ear()
        self._client = self._make_client(will)
        self._connect_sent_ns = 0
        self._misc_due_ns = 0

    def _make_client(self, will: Will | None) -> Client:
        five = self.version == "5"
        client = BoundedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._options.client_id or "",
            clean_session=None if five else True,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,  # else paho goes on to MQTT 3.1 by itself
        )
        client.suppress_exceptions = True
        client.enable_logger(self._ear)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = 0  # we keep count, and heed the broker's Receive Maximum, which paho does not
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._acknowledged
        client.on_subscribe = self._granted
        client.on_message = self._arrived
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        return client

    @property
    def alive(self) -> bool:
        return not self._closed and self._client.socket() is not None

    @property
    def trouble(self) -> Trouble | None:
        return self._trouble

    def connect(self) -> None:
        """Open the connection and send CONNECT; on failure `alive` stays False and `trouble` says why."""
        options = self._options
        properties = None
        if self.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = INCOMING_MAX_BYTES
        try:
            if options.user is not None:
                self._client.username_pw_set(options.user, options.read_password())
            context = options.tls_context()
            if context is not None:
                context.sslsocket_class = TidySocket
                self._client.tls_set_context(context)
            self._client.connect(options.host, options.port, KEEPALIVE_S, properties=properties)
        except Exception as error:  # noqa: BLE001 (the vendor's edge: OSError, SSLError, UnicodeError, ValueError, ...)
            self._trouble = trouble.failed(error, options)
        self._connect_sent_ns = self._clock.monotonic_ns()

    def run_once(self, wakeup: socket.socket, timeout_s: float) -> None:
        """Wait for traffic, for `wakeup`, or for the timeout, and do what is due."""
        connection: Any = self._client.socket()
        if connection is None:
            return
        pending = getattr(connection, "pending", None)  # TLS may hold bytes that poll does not see
        waiting = bool(pending and pending())
        readable = self._wait(connection, wakeup, 0 if waiting else timeout_s) or waiting
        try:
            if readable:
                self._reading = True
                self._client.loop_read()
                self._reading = False
            if self._client.want_write():
                self._client.loop_write()
            if self._clock.monotonic_ns() >= self._misc_due_ns:
                self._misc_due_ns = self._clock.monotonic_ns() + MISC_NS
                self._client.loop_misc()
        except Exception as error:  # noqa: BLE001 (paho raises whatever a malformed packet makes it trip over)
            logger.debug("paho failed: %r", error)
            self._end(trouble.garbled(self._options))
        waited_s = (self._clock.monotonic_ns() - self._connect_sent_ns) / 1e9
        if self.alive and not self.accepted and waited_s > CONNACK_TIMEOUT_S:
            self._end(trouble.silent(self._options, CONNACK_TIMEOUT_S))

    def _wait(self, connection: Any, wakeup: socket.socket, timeout_s: float) -> bool:
        """Whether the connection has something to read, or has broken."""
        poller = select.poll()
        poller.register(connection, select.POLLIN | (select.POLLOUT if self._client.want_write() else 0))
        poller.register(wakeup, select.POLLIN)
        events = dict(poller.poll(timeout_s * 1000))
        if wakeup.fileno() in events:
            wakeup.recv(4096)
        return bool(events.get(connection.fileno(), 0) & ~select.POLLOUT)

    def send(self) -> bool:
        """Hand over what waits in the outbox, as long as the network takes it; True when there may be more."""
        for _ in range(_BURST):
            if not self.alive or self._client.want_write() or self._in_doubt:
                return False
            message = self._outbox.take(room_in_flight=len(self._in_flight) < self._window)
            if message is None:
                return False
            self.subscribe()  # what was wanted before this message was given
            if self.packet_limit is not None and message.size > self.packet_limit:
                self._outbox.drop(message, "too_large", in_flight=True)
                self._on_refused("publish", message.topic, f"its {message.size} bytes are above {self.packet_limit}")
                continue
            self._publish(message)
        return True

    @property
    def _in_doubt(self) -> bool:
        """One that a connection broke over goes alone: perhaps another one is why the broker did not acknowledge it."""
        return any(message.breaks for message in self._in_flight.values())

    def _publish(self, message: Outgoing) -> None:
        message.sends += 1
        if message.sends > 1 and message.again is not None:
            message.payload = message.again()
        self._largest_sent = max(self._largest_sent, message.size)
        properties = self._properties_of(message)
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        while message.qos > 0 and info.mid in self._in_flight:  # ids have come round and one is still owed
            info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos > 0:
            self._in_flight[info.mid] = message  # sent or not: it is owed until its acknowledgement
        elif info.rc == 0:
            self._outbox.deliver(message)
        else:
            self._outbox.drop(message, "offline")

    def subscribe(self) -> None:
        """Ask for what is wanted now, and no longer for what is not."""
        wanted = self._subscriptions.wanted
        if wanted is self._subscribed:
            return
        for name, subscription in wanted.items():  # in this order
            if self._subscribed.get(name) != subscription:
                _, mid = self._client.subscribe(name, subscription.qos)
                if mid is not None:
                    self._subscribing[mid] = name
        for name in self._subscribed.keys() - wanted.keys():
            self._client.unsubscribe(name)
        self._subscribed = wanted

    def close(self, *, goodbye: bool) -> None:
        """End the connection; what was in flight goes back to the outbox.

        goodbye: with a DISCONNECT, where that takes no long wait; without one the broker publishes the will.
        """
        if goodbye and self.alive and self.accepted:
            self._trouble = None
            self._say_goodbye()
        self._drop_socket()
        self._outbox.put_back(self._in_flight.values(), closed=self._thrown_out)
        self._in_flight.clear()

    def _say_goodbye(self) -> None:
        """DISCONNECT, after what is already on its way."""
        connection: Any = self._client.socket()
        self._closed = True
        deadline_ns = self._clock.monotonic_ns() + FAREWELL_NS
        self._client.disconnect()
        while self._client.want_write() and self._clock.monotonic_ns() < deadline_ns:
            poller = select.poll()
            poller.register(connection, select.POLLOUT)
            poller.poll(100)
            self._client.loop_write()

    def _drop_socket(self) -> None:
        """Close without a word. Paho has no public way to do that, but the socket itself has."""
        self._closed = True
        connection: Any = self._client.socket()
        if connection is not None:
            connection.close()

    def _end(self, why: Trouble) -> None:
        self._trouble = self._trouble or why
        self._drop_socket()

    def _properties_of(self, message: Outgoing) -> Properties | None:
        if self.version != "5":
            return None
        cached = self._properties.get(message.content_type)
        plain = message.deadline_ns is None and message.correlation is None
        if cached is not None and plain:
            return cached
        made = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.content_type is not None:
            made.ContentType = message.content_type
            if message.content_type.startswith("text/") or message.content_type == "application/json":
                made.PayloadFormatIndicator = 1  # UTF-8
        if message.correlation is not None:
            made.CorrelationData = message.correlation
        if plain:
            self._properties[message.content_type] = made
        if message.deadline_ns is not None:
            made.MessageExpiryInterval = max(1, (message.deadline_ns - self._clock.monotonic_ns()) // 1_000_000_000)
        return made

    # What paho calls, in this thread. paho swallows what is raised here, so nothing may be.

    def _connected(self, _: Client, __: Any, ___: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self.version_refused = reason.value == trouble.UNSUPPORTED_VERSION
            self._trouble = trouble.refused(reason.value, str(reason), self._options)
            return
        self.accepted = True
        self._window = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        announced = getattr(properties, "MaximumPacketSize", None)
        self.packet_limit = min((limit for limit in (announced, self.learned_limit) if limit), default=None)

    def _disconnected(self, _: Client, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if self._closed or self._trouble is not None:
            return
        silent = str(reason) == "Keep alive timeout"
        said = flags.is_disconnect_packet_from_server
        self._thrown_out = not silent and not (said and reason.value in trouble.NO_MESSAGES_FAULT)
        if said:
            self._trouble = trouble.dismissed(reason.value, str(reason), self._options)
            if reason.value == trouble.PACKET_TOO_LARGE:
                self._forget_largest()
        elif str(reason) == "Protocol error":
            self._trouble = trouble.garbled(self._options)
        else:
            detail = "no answer to pings" if silent else self._ear.last
            self.hung_up = "SSL" not in detail
            self._trouble = trouble.lost(detail, self._options, answered=self.accepted)

    def _acknowledged(self, _: Client, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        # paho calls this for QoS 0 too, when it has written one; ids come round, so it may bear one that is in flight.
        message = self._in_flight.pop(mid, None) if self._reading else None
        if message is None:
            return
        if reason.is_failure:
            self._outbox.drop(message, "refused", in_flight=True)
            self._on_refused("publish", message.topic, f"{reason}, 0x{reason.value:02X}")
        else:
            self._outbox.deliver(message)

    def _granted(self, _: Client, __: Any, mid: int, reasons: list[ReasonCode], ___: Any) -> None:
        name = self._subscribing.pop(mid, "")
        for reason in reasons:
            if reason.is_failure:
                self._on_refused("subscribe", name, f"{reason}, 0x{reason.value:02X}")

    def _arrived(self, _: Client, __: Any, message: MQTTMessage) -> None:
        properties = message.properties
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        self._subscriptions.arrived(
            Message(
                topic,
                bytes(message.payload),
                message.qos,
                message.retain,
                getattr(properties, "ResponseTopic", None),
                getattr(properties, "CorrelationData", None),
            )
        )

    def _forget_largest(self) -> None:
        """The broker threw us out for one message's size: sent again, or another like it, it would do so for ever."""
        self.learned_limit = self._largest_sent - 1
        if self._in_flight:
            mid = max(self._in_flight, key=lambda mid: self._in_flight[mid].size)
            self._outbox.drop(self._in_flight.pop(mid), "too_large", in_flight=True)
