"""Events a second through the queue on disk to a broker, beside a bare paho client; and bytes written for an event.

    python tests/benchmarks/delivery.py [--events N] [--rounds N] [--json FILE]

All to the same mosquitto on this machine, QoS 1, the same documents, until the last acknowledgement; they take turns.
bare: paho's own thread and queue, which keeps nothing. memory: the queue without a folder. disk: with one.
Written: what the process had the kernel write (/proc/self/io), while the broker takes everything at once, and while it
is away and every event, one in 1.1 s, is synced by itself, which is the most that an event can cost.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

import msgspec
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edgemass import sinks
from edgemass.clock import SystemClock, boot_id
from edgemass.config.delivery import DeliveryConfig
from edgemass.counters import Counters
from edgemass.messages import EventMessage, to_json
from edgemass.sinks import SinkContext
from edgemass.sinks.mqtt import MqttSink
from tests.benchmarks import _harness
from tests.documents import event
from tests.simulators import broker as broker_simulator
from tests.simulators.broker import Broker, wait_until

TOPIC = "edgemass/v1/pi-7f3a/camera/door/events"
UNLIMITED = DeliveryConfig(rate=1e5, settle_s=0.0, daily_bytes=None, memory_bytes=64 << 20)
FLOWING, WAITING = 50, 10
PATIENCE_S = 120.0


def made(count: int) -> list[EventMessage]:
    path = tuple((number / 40, 0.5) for number in range(32))
    return [
        msgspec.structs.replace(event(seq), boot_id=boot_id(), path=path, score=0.9, box=(0.1, 0.1, 0.4, 0.9))
        for seq in range(1, count + 1)
    ]


def bare(broker: Broker, events: list[EventMessage]) -> float:
    """Events a second."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages = 20  # as our connection has it
    connected, left, done = threading.Event(), [len(events)], threading.Event()

    def acknowledged(*_: object) -> None:
        left[0] -= 1
        if not left[0]:
            done.set()

    client.on_connect = lambda *_: connected.set()
    client.on_publish = acknowledged
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    connected.wait(PATIENCE_S)
    started = time.perf_counter()
    for each in events:
        client.publish(TOPIC, to_json(each), qos=1)
    done.wait(PATIENCE_S)
    taken_s = time.perf_counter() - started
    client.disconnect()
    client.loop_stop()
    return len(events) / taken_s


def opened(broker: Broker, state: Path | None) -> tuple[MqttSink, Counters]:
    counters = Counters()
    sink = sinks.open(broker.url, SinkContext("pi-7f3a", SystemClock(), counters, state=state, delivery=UNLIMITED))
    assert isinstance(sink, MqttSink)
    wait_until(lambda: sink.queue() is not None, "the queue", PATIENCE_S)
    return sink, counters


def spooled(broker: Broker, events: list[EventMessage], folder: Path | None) -> float:
    """Events a second. folder: of the state, emptied before."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    sink, counters = opened(broker, folder)
    wait_until(lambda: counters["published"] >= 1, "connected", PATIENCE_S)  # its availability
    started = time.perf_counter()
    for each in events:
        sink.event(each, None)
    wait_until(lambda: counters["published"] > len(events), "acknowledged", PATIENCE_S)
    taken_s = time.perf_counter() - started
    sink.close(5)
    return len(events) / taken_s


def written() -> int:
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines())
    return int(lines["write_bytes"]) - int(lines["cancelled_write_bytes"])


def bytes_of_an_event(broker: Broker, folder: Path, count: int, pause_s: float) -> tuple[float, float]:
    """What the kernel was given to write for one, and what the queue counts for it."""
    shutil.rmtree(folder, ignore_errors=True)
    sink, _ = opened(broker, folder)
    before = written()
    for each in made(count):
        sink.event(each, None)
        time.sleep(pause_s)
    wait_until(lambda: (health := sink.queue()) is not None and health.written_bytes > 0, "written", PATIENCE_S)
    used, health = written() - before, sink.queue()
    assert health is not None
    sink.close(0)
    return used / count, health.written_bytes / count


def main() -> None:
    parser = _harness.arguments(__doc__, "delivery", rounds=7)
    parser.add_argument("--events", type=int, default=5000, metavar="N", help="of each turn (default: 5000)")
    options = parser.parse_args()
    if missing := broker_simulator.missing():
        _harness.skip(missing)
    events = made(options.events)
    _harness.BUILD.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=_harness.BUILD))  # a real disk, which the folder of temporary files need not be
    try:
        with Broker(place / "broker", options=("max_queued_messages 0",)) as broker:
            contenders = {
                "bare": lambda: bare(broker, events),
                "memory": lambda: spooled(broker, events, None),
                "disk": lambda: spooled(broker, events, place / "state"),
            }
            found = _harness.take_turns(contenders, options.rounds)
            flowing = bytes_of_an_event(broker, place / "state", FLOWING, 0.1)
            broker.kill()
            waiting = bytes_of_an_event(broker, place / "state", WAITING, 1.1)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    rows: list[_harness.Row] = [{"to the broker": name, **_harness.spread(rates, 0)} for name, rates in found.items()]
    more: list[_harness.Row] = [
        {"an event": "as it is sent", "bytes": len(to_json(events[0]))},
        {"an event": "broker there, ten a second: written", "bytes": round(flowing[0])},
        {"an event": "broker away, synced by itself: written", "bytes": round(waiting[0])},
        {"an event": "the same, as the daily budget counts it", "bytes": round(waiting[1])},
    ]
    figures = {
        "disk_of_bare": _harness.spread(_harness.ratios(found["disk"], found["bare"]))["median"],
        "memory_of_bare": _harness.spread(_harness.ratios(found["memory"], found["bare"]))["median"],
    }
    numbers = {name: float(value or 0) for name, value in figures.items()}
    _harness.finish("delivery", options.json, rows=rows, more_rows=more, figures=numbers)


if __name__ == "__main__":
    main()
