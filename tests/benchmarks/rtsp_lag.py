"""Lag from the camera to a subscriber, end to end: an RTSP server that writes the time of sending into each picture.

    python tests/benchmarks/rtsp_lag.py MODEL [--frames N]

camera -> H.264 -> RTSP on loopback -> PyAV -> detector -> MQTT (mosquitto) -> subscriber: its clock less the time in
the picture that its document speaks of. Server, broker, subscriber and line share one machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from pathlib import Path

from edgemass import bundles, sinks, sources
from edgemass.clock import SystemClock, boot_id
from edgemass.counters import Counters
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, ModelRef
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns, default_at_once
from edgemass.sinks import SinkContext
from edgemass.sources import CaptureOptions
from tests.simulators.broker import Broker, Listener, wait_until
from tests.simulators.rtsp_server import RtspServer, sent_ms


class SendTimes:
    """A sink that notes for each document when its picture was sent."""

    name = "send times"

    def __init__(self) -> None:
        self.by_seq: dict[int, int] = {}

    def publish(self, message: FrameMessage, frame: Frame) -> None:
        self.by_seq[message.seq] = sent_ms(frame.image[frame.height // 2, :, 1].tobytes())

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        pass

    def counts(self, counts: CountsMessage) -> None:
        pass

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


class Arrivals:
    """When each document reached a subscriber, by its place in the order."""

    def __init__(self, listener: Listener) -> None:
        self.ms: list[int] = []
        self._listener = listener
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.0005):
            count = len([1 for heard in self._listener.heard() if heard.topic.endswith("/detections")])
            self.ms += [int(time.time() * 1000)] * (count - len(self.ms))

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)


def measure(model: str, frames: int) -> list[int]:
    clock, times = SystemClock(), SendTimes()
    bundle = bundles.resolve(model)
    detector, variant = bundles.open_detector(bundle)
    manifest = bundle.manifest
    with (
        tempfile.TemporaryDirectory() as folder,
        Broker(Path(folder)) as broker,
        RtspServer(pictures="time") as server,
        Listener(broker) as listener,
    ):
        mqtt = sinks.open(broker.url, SinkContext("bench", clock, Counters()))
        line = CameraLine(
            "cam",
            LoadedModel(detector, ModelRef(manifest.name, manifest.version, bundle.digest, variant.name)),
            [times, mqtt],
            identity=Identity("bench", boot_id(), "bench"),
            score=manifest.score,
            clock=clock,
            counters=Counters(),
        )
        counters = Counters()
        source = sources.open(server.address, CaptureOptions(), clock)
        capture = Capture("cam", source, clock=clock, counters=counters)
        camera = Camera(
            capture,
            line,
            selection=Selection(),
            place=Turns(default_at_once(), clock).place(),
            frames=frames,
            clock=clock,
            counters=counters,
        )
        arrivals = Arrivals(listener)
        arrivals.start()
        camera.start()
        wait_until(lambda: not camera.running, "the frames", 60 + frames)
        wait_until(lambda: len(arrivals.ms) >= frames, "the documents")
        arrivals.stop()
        mqtt.close(1.0)
    return [(arrived - times.by_seq[seq]) % 2**32 for seq, arrived in enumerate(arrivals.ms, 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--frames", type=int, default=150)
    options = parser.parse_args()
    lags = sorted(measure(options.model, options.frames)[10:])  # the first ones wait for the broker
    p95 = lags[int(len(lags) * 0.95)]
    print(f"median {statistics.median(lags):.0f} ms, p95 {p95} ms, worst {lags[-1]} ms, {len(lags)} frames")


if __name__ == "__main__":
    main()
