"""Somebody who gives a device commands over MQTT 5 and waits for the answers."""

from __future__ import annotations

import json
import queue
import threading
import uuid
from types import TracebackType
from typing import Any, final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.simulators.broker import PATIENCE_S, Broker


@final
class Asker:
    """base: `edgemass/v1/<device>`."""

    def __init__(self, broker: Broker, base: str) -> None:
        self._base = base
        self._answers: queue.Queue[tuple[bytes | None, dict[str, Any]]] = queue.Queue()
        self._ready = threading.Event()
        self._where = f"answers/{uuid.uuid4().hex}"
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(self._where, qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._arrived
        self._client.connect("127.0.0.1", broker.port)

    def __enter__(self) -> Asker:
        self._client.loop_start()
        assert self._ready.wait(PATIENCE_S), "could not subscribe"
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def ask(self, leaf: str, value: str = "", *, retain: bool = False) -> dict[str, Any]:
        """Send a command and wait for its own answer."""
        mark = uuid.uuid4().bytes
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ResponseTopic = self._where
        properties.CorrelationData = mark
        self._client.publish(f"{self._base}/{leaf}", value, qos=1, retain=retain, properties=properties)
        while True:
            correlation, answer = self._answers.get(timeout=60)
            if correlation == mark:
                return answer

    def tell(self, leaf: str, value: str = "", *, retain: bool = False) -> None:
        """Send without a wish for an answer, and until the broker has it."""
        self._client.publish(f"{self._base}/{leaf}", value, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def _arrived(self, _: Client, __: Any, message: MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self._answers.put((correlation, json.loads(message.payload)))
