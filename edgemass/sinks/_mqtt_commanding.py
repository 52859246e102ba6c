"""Commands from a broker: heard from the first connection on, done once there is somebody who obeys, and answered."""

from __future__ import annotations

import logging
import threading
from functools import partial

import msgspec

from edgemass.clock import Clock, clock_synced
from edgemass.mqtt import Message, MqttConnection
from edgemass.sinks import Answer, Command, Commanded, Reply
from edgemass.sinks._mqtt_commands import RefusedError, value_of

logger = logging.getLogger(__name__)

JSON = "application/json"
MOST_EARLY = 32
"""Commands that wait for somebody who obeys."""


class Commanding:
    """base: of the topics of the device. connection: not started yet, so that commands are heard before the device is
    called online.
    """

    def __init__(self, base: str, connection: MqttConnection, clock: Clock) -> None:
        self._levels = len(base.split("/"))
        self._connection = connection
        self._clock = clock
        self._handle: Commanded | None = None
        self._early: list[Message] = []
        self._lock = threading.Lock()  # keeps them in the order in which they came
        for below in ("command/+", "camera/+/command/+"):
            connection.subscribe(f"{base}/{below}", self._arrived)

    def obey(self, handle: Commanded) -> None:
        """Hand over what has come and what comes."""
        with self._lock:
            self._handle = handle
            early, self._early = self._early, []
            for message in early:
                self._take(message)

    def _arrived(self, message: Message) -> None:
        with self._lock:
            self._take(message)

    def _take(self, message: Message) -> None:
        reply = partial(self._answer, message)
        try:
            value, expires_s = value_of(
                message.payload, retained=message.retain, now_s=self._clock.time_ns() / 1e9, synced=clock_synced()
            )
        except RefusedError as error:
            self._refuse(message, reply, str(error))
            return
        if self._handle is not None:
            below = message.topic.split("/")[self._levels :]
            self._handle(Command(below[-1], below[1] if below[0] == "camera" else "", value, expires_s), reply)
        elif len(self._early) < MOST_EARLY:
            self._early.append(message)
        else:
            self._refuse(message, reply, f"the device is starting, and {MOST_EARLY} wait already; send it again later")

    def _refuse(self, message: Message, reply: Reply, why: str) -> None:
        self._connection.counters.add("commands_refused")
        logger.warning("command not done: %s", why, extra={"topic": message.topic})
        reply(Answer(ok=False, error=why))

    def _answer(self, request: Message, answer: Answer) -> None:
        """On the response topic of MQTT 5, with the correlation data."""
        topic = request.response_topic
        if not topic or any(mark in topic for mark in "+#"):
            return
        document = msgspec.json.encode(answer)
        self._connection.publish(topic, document, qos=1, content_type=JSON, correlation=request.correlation)
