"""A device page on loopback as the daemon serves it, over cameras that give frames when they are told to."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, final

from edgemass.agent.recent import RecentSink
from edgemass.clock import Clock, SystemClock
from edgemass.config.http import Address
from edgemass.frame import Frame
from edgemass.messages import FrameMessage
from edgemass.messages.health import (
    Board,
    CameraHealth,
    ClockReading,
    Cpu,
    Disk,
    HealthMessage,
    Memory,
    ModelHealth,
    OutputHealth,
    Percentiles,
    QueueHealth,
    System,
    Temperature,
    Throttling,
)
from edgemass.pipeline.line import Watcher
from edgemass.sinks import Commanded
from edgemass.web.access import Key
from edgemass.web.app import app
from edgemass.web.gallery import Draw, Gallery, View
from edgemass.web.given import CameraNow, Given, Status
from edgemass.web.server import PageServer, bind
from tests import documents

RUN = "5f0c"
STOP_S = 10.0


class Line:
    """A camera's line: gives a frame to whoever watches when `give` is called."""

    def __init__(self, camera: str = "door") -> None:
        self.camera = camera
        self.watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        self.watchers.append(watcher)

    def unwatch(self, watcher: Watcher) -> None:
        self.watchers.remove(watcher)

    def give(self, seq: int = 1) -> None:
        for watcher in tuple(self.watchers):
            watcher(documents.detections("person", camera=self.camera, seq=seq), documents.frame())


def draw(message: FrameMessage, frame: Frame) -> bytes:  # noqa: ARG001 (as the artist's)
    """Stands for a JPEG: the number of the frame."""
    return b"picture %d" % message.seq


def health(**changes: Any) -> HealthMessage:
    """Of a Raspberry Pi that is well."""
    usual: dict[str, Any] = {
        "device": "pi-7f3a",
        "run_id": RUN,
        "boot_id": "00000000-0000-0000-0000-000000000000",
        "seq": 1,
        "mono_ns": 1,
        "time": "2026-11-22T10:15:02.118Z",
        "clock_synced": True,
        "version": "0.1.0",
        "uptime_s": 93_784.0,
        "ready": True,
        "board": Board("raspberry-pi-5", "Raspberry Pi 5 Model B Rev 1.0"),
        "system": System(
            temperature=Temperature(61.3, {"cpu": 61.3}),
            throttling=Throttling(throttled=False, undervoltage=False, undervoltage_before=True),
            cpu=Cpu(4, 0.41, 0.33, 1.2),
            memory=Memory(8_321_499_136, 5_100_000_000, 212_000_000, 0.0),
            disk=Disk(31_000_000_000, 12_400_000_000, 40_000_000),
            clock=ClockReading(synced=True, source="systemd-timesyncd"),
        ),
        "cameras": {
            "door": CameraHealth(
                state="online", fps_captured=15.0, fps_processed=14.9, total_ms=Percentiles(31.0, 44.0, 61.0)
            )
        },
        "models": {
            "main": ModelHealth(
                name="edgemass-person",
                version="1",
                digest="sha256:" + "ab" * 32,
                variant="int8",
                backend="onnxruntime/cpu",
                infer_ms=Percentiles(24.0, 31.0, 40.0),
            )
        },
        "outputs": {"mqtt broker:1883": OutputHealth(connected=True)},
        "queues": {"mqtt broker:1883": QueueHealth(messages=3, size_bytes=4096, limit_bytes=64_000_000)},
    }
    return HealthMessage(**{**usual, **changes})


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


@final
@dataclass(kw_only=True)
class DevicePage:
    """lines: by camera. hidden: cameras without a view, and why. health: what /api/status tells of it."""

    lines: dict[str, Line] = field(default_factory=lambda: {"door": Line()})
    hidden: dict[str, str] = field(default_factory=dict)
    health: HealthMessage | None = field(default_factory=health)
    token: str | None = None
    names: tuple[str, ...] = ("localhost", "porch.local")
    viewers: int = 8
    fps: float = 1000.0
    draw: Draw = draw
    clock: Clock = field(default_factory=SystemClock)
    metrics: Callable[[], str] | None = None
    live: bool = True
    ready: bool = True
    handle: Commanded | None = None

    def __enter__(self) -> DevicePage:
        self.sink = RecentSink(RUN)
        self.sink.handle = self.handle
        self.gallery = Gallery(viewers=self.viewers)
        views = {
            name: View(line, self.draw, fps=self.fps, clock=SystemClock())
            for name, line in self.lines.items()
            if name not in self.hidden
        }
        self.gallery.show([*self.lines], views, self.hidden)
        given = Given(
            status=self._status,
            events=self.sink.events_since,
            picture=self.sink.picture_of,
            gallery=self.gallery,
            live=lambda: self.live,
            ready=lambda: self.ready,
            metrics=self.metrics,
            command=lambda: self.sink.handle,
        )
        listening = bind(Address("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        key = Key(self.token) if self.token is not None else None
        self.server = PageServer(app(given, key=key, names=self.names, clock=self.clock), listening)
        self.server.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.gallery.close()
        self.server.close(STOP_S)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **more: str,
    ) -> Reply:
        """One request. more: headers, with `_` for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            given = {**(headers or {}), **{name.replace("_", "-"): value for name, value in more.items()}}
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, told, answer.read())
        finally:
            connection.close()

    def _status(self) -> Status:
        cameras = {
            name: CameraNow(
                state=self.sink.state_of(name),
                view=name in self.gallery,
                why=self.hidden.get(name, ""),
                counts=self.sink.counts_of(name),
                latest=self.sink.latest_of(name),
            )
            for name in self.gallery.cameras
        }
        return Status(
            device="pi-7f3a",
            version="0.1.0",
            run_id=RUN,
            commands=self.sink.handle is not None,
            token=self.token is not None,
            health=self.health,
            cameras=cameras,
        )
