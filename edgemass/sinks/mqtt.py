"""Documents to an MQTT broker: `mqtt://[user@]host[:port][?option=value]`, `mqtts://...`; see `edgemass.mqtt.options`.

Topics, under `edgemass/v1/<device>/`:

    availability               "online" | "offline", plain text, retained; "offline" is also the last will
    camera/<c>/detections      edgemass.detection/1, QoS 0
    camera/<c>/classification  edgemass.classification/1, QoS 0
    camera/<c>/state           {"state", "reason", "since"}, retained, QoS 1, published anew on every connect
    camera/<c>/events          edgemass.event/1, QoS 1, through a queue on disk (see `edgemass.spool`)
    account/<run_id>           edgemass.account/1, retained, QoS 1: where every event of a run went
    camera/<c>/count/<label>, camera/<c>/zone/<z>/count/<label>
                               how many are there: an integer, or "unavailable" while nobody can know; retained, QoS 1
    camera/<c>/line/<l>/in/<label>, .../out/<label>
                               how many crossed so far: an integer, retained, QoS 1
    camera/<c>/snapshot/<label>
                               best picture of the newest event: JPEG, retained, QoS 1
    health                     edgemass.health/1, retained, QoS 1, every so often and on every connect
    slot/<s>/reported          edgemass.reported/1, retained, QoS 1, published anew on every connect
    slot/<s>/desired           orders of the fleet, which the device subscribes to
    camera/<c>/settings        what commands can change of a camera, as it is: {"enabled", "score", "max_fps"}, retained
    camera/<c>/snapshot        picture that was asked for: JPEG, retained, QoS 1
    command/<name>, camera/<c>/command/<name>
                               what others ask: a bare value or {"value", "expires"}; retained and expired ones are
                               refused; answered on the response topic of MQTT 5

Names of devices and cameras become one level of a topic: `+`, `#`, `/`, white space and control characters turn to `_`.
Documents of frames made while the broker is away are lost and counted, and their `seq` shows the gap; events wait.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from edgemass import mqtt
from edgemass.clock import Clock, left_s
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, DetectionMessage, EventMessage, FrameMessage, to_json
from edgemass.messages.health import QueueHealth
from edgemass.mqtt import MqttConnection, MqttOptions, Will
from edgemass.sinks import Commanded, SinkContext
from edgemass.sinks._mqtt_commanding import Commanding
from edgemass.sinks._mqtt_former import FormerName
from edgemass.spool import Spool, Topics

logger = logging.getLogger(__name__)

PREFIX = "edgemass/v1"
JSON = "application/json"
TEXT = "text/plain"
JPEG = "image/jpeg"
UNAVAILABLE = b"unavailable"
ONLINE, OFFLINE = b"online", b"offline"
MOST_NAME = 200

_UNFIT = re.compile(r"[+#/\s\x00-\x1f\x7f-\x9f]")


def topic_level(name: str) -> str:
    """The name as one level of a topic."""
    return _UNFIT.sub("_", name) or "_"


def queue_name(options: MqttOptions) -> str:
    """Of the folder of the events that wait for this broker, by the address: what it says of host, port and client."""
    client = f"-{options.client_id}" if options.client_id else ""
    return re.sub(r"[^A-Za-z0-9.-]", "_", f"{options.host}-{options.port}{client}").lstrip(".")[:MOST_NAME]


def open(uri: str, context: SinkContext) -> MqttSink:  # noqa: A001 (the plug-ins' own word)
    """Read the address and begin to connect; a broker that is not there is no error.

    Raises:
        UsageError: the address cannot be read.
        ConfigError: a file that it names cannot be used.
    """
    device = topic_level(context.device)
    address = mqtt.parse(uri)
    options = address.with_client_id(f"edgemass-{device}")
    base = f"{PREFIX}/{device}"
    connection = MqttConnection(
        options, will=Will(f"{base}/availability", OFFLINE), counters=context.counters, clock=context.clock
    )
    folder = context.state / "spool" / queue_name(address) if context.state is not None else None
    spool = Spool(
        folder,
        connection,
        device=context.device,
        topics=Topics(base, topic_level),
        config=context.delivery,
        clock=context.clock,
    )
    sink = MqttSink(base, connection, spool, context.clock)
    connection.start()
    spool.start()
    return sink


def check(uri: str) -> None:
    """See `sinks.check`."""
    mqtt.parse(uri)


class _State(NamedTuple):
    payload: bytes
    content_type: str


class MqttSink:
    """One device's documents and states on one broker.

    connection, spool: not started yet; the connection is told of `<base>/availability` "offline" as its will.
    """

    def __init__(self, base: str, connection: MqttConnection, spool: Spool, clock: Clock) -> None:
        self.name = f"mqtt {connection.options.where}"
        self._base = base
        self._connection = connection
        self._spool = spool
        self._clock = clock
        self._availability = f"{base}/availability"
        self._states: dict[str, _State] = {}
        self._waiting: dict[str, None] = {}
        """Topics whose state this connection was not given yet: there was no room."""
        self._lock = threading.Lock()  # keeps states on the wire in the order in which they happened
        self._leaving = False
        self._commanding = Commanding(base, connection, clock)
        connection.subscribe(self._availability, self._hear_of_oneself)
        connection.on_connected(self._publish_states)
        connection.on_connected(spool.wake)
        connection.on_settled(self._go_on)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    @property
    def trouble(self) -> str | None:
        return self._connection.trouble

    @property
    def held_bytes(self) -> int:
        return self._connection.held_bytes

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        leaf = "detections" if isinstance(message, DetectionMessage) else "classification"
        topic = f"{self._base}/camera/{topic_level(message.camera)}/{leaf}"
        self._connection.publish(topic, to_json(message), content_type=JSON)

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        camera = f"camera/{topic_level(event.camera)}"
        self._spool.put(event)
        if picture is not None:
            self._retain(f"{camera}/snapshot/{topic_level(event.label)}", _State(picture, JPEG))

    def counts(self, counts: CountsMessage) -> None:
        for leaf, number in _numbers(counts):
            payload = UNAVAILABLE if number is None else b"%d" % number
            self._retain(f"camera/{topic_level(counts.camera)}/{leaf}", _State(payload, TEXT))

    def camera_state(self, camera: str, state: CameraState) -> None:
        self.retain(f"camera/{topic_level(camera)}/state", to_json(state))

    def retain(self, leaf: str, document: bytes) -> None:
        """Publish a state of the device, now and on every connect."""
        self._retain(leaf, _State(document, JSON))

    def clear(self, *levels: str) -> None:
        """Empty a retained topic, now and on every connect."""
        self._retain("/".join(topic_level(level) for level in levels), _State(b"", TEXT))

    def show(self, *levels: str, jpeg: bytes) -> None:
        """Publish a picture of the device, now and on every connect."""
        self._retain("/".join(topic_level(level) for level in levels), _State(jpeg, JPEG))

    def announce(self, topic: str, document: bytes) -> None:
        """Publish a state under a topic of somebody else's, now and on every connect."""
        self._retain_at(topic, _State(document, JSON if document else TEXT))

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None:
        """Empty what the device left under an earlier name, unless another one lives there now."""
        base = f"{PREFIX}/{topic_level(device)}"
        if base == self._base:  # the names differ only in what no topic of ours can hold
            gone = partial(_if_sent, done)
            self._connection.publish(shown, b"", qos=1, retain=True, settled=gone)
            return
        FormerName(self._connection, base, shown, offline=OFFLINE, clock=self._clock, done=done).look()

    def hear(self, topic: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe to a topic of somebody else's."""
        self._connection.subscribe(topic, lambda message: callback(message.payload))

    def repeat(self) -> None:
        """Publish every state anew, if there is a connection; else the next one does."""
        if self._connection.connected:
            self._publish_states()

    def obey(self, handle: Commanded) -> None:
        """Take commands from the broker; those that came since it was first met are not lost."""
        self._commanding.obey(handle)

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish under a topic of somebody else's."""
        self._connection.publish(topic, payload, qos=qos, retain=retain, content_type=TEXT)

    def listen(self, leaf: str, callback: Callable[[bytes], None]) -> None:
        """Subscribe to what is sent to the device."""
        self._connection.subscribe(f"{self._base}/{leaf}", lambda message: callback(message.payload))

    def _retain(self, leaf: str, state: _State) -> None:
        self._retain_at(f"{self._base}/{leaf}", state)

    def _retain_at(self, topic: str, state: _State) -> None:
        with self._lock:
            if self._states.get(topic) == state and state.content_type == TEXT:
                return
            self._states[topic] = state
            self._waiting[topic] = None
            self._publish_waiting()

    def queue(self) -> QueueHealth | None:
        """The events that wait for this broker; None before the queue was opened."""
        return self._spool.queue()

    def close(self, timeout_s: float) -> None:
        ends_ns = self._clock.monotonic_ns() + int(timeout_s * 1e9)
        self._spool.close(timeout_s)
        self._connection.close(left_s(self._clock, ends_ns), last_words=self._say_goodbye)

    def _publish_states(self) -> None:
        with self._lock:
            self._states[self._availability] = _State(ONLINE, TEXT)
            self._waiting = dict.fromkeys(self._states)
            self._publish_waiting()

    def _hear_of_oneself(self, message: mqtt.Message) -> None:
        """Contradict: the will of a connection that is gone may come late, or over a bridge from another broker.

        Who empties this topic has emptied the others too: a device that had this name before takes back what it left.
        """
        if message.retain or message.payload == ONLINE:
            return
        with self._lock:
            if not self._leaving:
                self._waiting.update(dict.fromkeys([self._availability] if message.payload else self._states))
                self._publish_waiting()
        if not message.payload:
            self._spool.tell_anew()

    def _go_on(self) -> None:
        if self._waiting:
            with self._lock:
                self._publish_waiting()

    def _publish_waiting(self) -> None:
        """As many as there is room for; the others go on when something was settled, and all on the next connect."""
        if not self._connection.connected:
            return
        for topic in sorted(self._waiting, key=self._rank):
            state = self._states[topic]
            if not self._connection.has_room(topic, state.payload):
                return
            del self._waiting[topic]  # one that is refused all the same is too large, or comes after the end
            self._publish_state(topic, state)

    def _rank(self, topic: str) -> tuple[bool, bool, int]:
        """Small ones first, and "online" when they are there; pictures can be megabytes."""
        state = self._states[topic]
        return state.content_type == JPEG, topic == self._availability, len(state.payload)

    def _publish_state(self, topic: str, state: _State) -> None:
        self._connection.publish(topic, state.payload, qos=1, retain=True, content_type=state.content_type)

    def _say_goodbye(self) -> None:
        with self._lock:
            self._leaving = True
            self._waiting.clear()
            self._publish_state(self._availability, _State(OFFLINE, TEXT))


def _if_sent(done: Callable[[], None], why: str) -> None:
    if not why:
        done()


def _numbers(counts: CountsMessage) -> Iterator[tuple[str, int | None]]:
    """Leaf below the camera, and the number that belongs there."""
    for label, count in counts.labels.items():
        yield f"count/{topic_level(label)}", count
    for zone, present in counts.zones.items():
        for label, count in present.items():
            yield f"zone/{topic_level(zone)}/count/{topic_level(label)}", count
    for line, ways in counts.lines.items():
        for way, crossed in (("in", ways.in_), ("out", ways.out)):
            for label, count in crossed.items():
                yield f"line/{topic_level(line)}/{way}/{topic_level(label)}", count
