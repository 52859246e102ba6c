"""Documents to an MQTT broker: `mqtt://[user@]host[:port][?option=value]`, `mqtts://...`; see `edgemass.mqtt.options`.

Topics, under `edgemass/v1/<device>/`:

    availability               "online" | "offline", plain text, retained; "offline" is also the last will
    camera/<c>/detections      edgemass.detection/1, QoS 0
    camera/<c>/classification  edgemass.classification/1, QoS 0
    camera/<c>/state           {"state", "reason", "since"}, retained, QoS 1, published anew on every connect
    slot/<s>/reported          edgemass.reported/1, retained, QoS 1, published anew on every connect
    slot/<s>/desired           orders of the fleet, which the device subscribes to

Names of devices and cameras become one level of a topic: `+`, `#`, `/`, white space and control characters turn to `_`.
Documents made while the broker is away are lost and counted; their `seq` shows the gap.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from edgemass import mqtt
from edgemass.frame import Frame
from edgemass.messages import CameraState, DetectionMessage, FrameMessage, to_json
from edgemass.mqtt import MqttConnection, Will
from edgemass.sinks import SinkContext

PREFIX = "edgemass/v1"
JSON = "application/json"
TEXT = "text/plain"
ONLINE, OFFLINE = b"online", b"offline"

_UNFIT = re.compile(r"[+#/\s\x00-\x1f\x7f-\x9f]")


def topic_level(name: str) -> str:
    """The name as one level of a topic."""
    return _UNFIT.sub("_", name) or "_"


def open(uri: str, context: SinkContext) -> MqttSink:  # noqa: A001 (the plug-ins' own word)
    """Read the address and begin to connect; a broker that is not there is no error.

    Raises:
        UsageError: the address cannot be read.
        ConfigError: a file that it names cannot be used.
    """
    device = topic_level(context.device)
    options = mqtt.parse(uri).with_client_id(f"edgemass-{device}")
    base = f"{PREFIX}/{device}"
    connection = MqttConnection(
        options, will=Will(f"{base}/availability", OFFLINE), counters=context.counters, clock=context.clock
    )
    sink = MqttSink(base, connection)
    connection.start()
    return sink


class MqttSink:
    """One device's documents and states on one broker.

    connection: not started yet, and told of `<base>/availability` "offline" as its will.
    """

    def __init__(self, base: str, connection: MqttConnection) -> None:
        self.name = f"mqtt {connection.options.where}"
        self._base = base
        self._connection = connection
        self._states: dict[str, bytes] = {}
        self._lock = threading.Lock()  # keeps states on the wire in the order in which they happened
        connection.on_connected(self._publish_states)

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        leaf = "detections" if isinstance(message, DetectionMessage) else "classification"
        topic = f"{self._base}/camera/{topic_level(message.camera)}/{leaf}"
        self._connection.publish(topic, to_json(message), content_type=JSON)

    def camera_state(self, camera: str, state: CameraState) -> None:
        self.retain(f"camera/{topic_level(camera)}/state", to_json(state))

    def retain(self, leaf: str, document: bytes) -> None:
        """Publish a state of the device, now and on every connect."""
        topic = f"{self._base}/{leaf}"
        with self._lock:
            self._states[topic] = document
            if self._connection.connected:  # else the next connect does it
                self._publish_state(topic)

    def listen(self, leaf: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe to what is sent to the device."""
        self._connection.subscribe(f"{self._base}/{leaf}", lambda message: callback(message.payload))

    def close(self, timeout_s: float) -> None:
        self._connection.close(timeout_s, last_words=lambda: self._publish_availability(OFFLINE))

    def _publish_states(self) -> None:
        with self._lock:
            for topic in self._states:
                self._publish_state(topic)
            self._publish_availability(ONLINE)

    def _publish_state(self, topic: str) -> None:
        self._connection.publish(topic, self._states[topic], qos=1, retain=True, content_type=JSON)

    def _publish_availability(self, payload: bytes) -> None:
        self._connection.publish(f"{self._base}/availability", payload, qos=1, retain=True, content_type=TEXT)
