from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edgemass.agent.camera_health import SAMPLE_S, Seen
from edgemass.agent.health import HealthReporter, Parts
from edgemass.agent.slot import ModelSlot
from edgemass.agent.status_file import STATUS, StatusFile, held
from edgemass.config import CameraConfig
from edgemass.config.health import HealthConfig
from edgemass.counters import Counters
from edgemass.health import Place
from edgemass.health.tree import Tree
from edgemass.messages import CameraState, ModelRef
from edgemass.messages.health import Board, CameraHealth
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.durations import Durations
from edgemass.pipeline.moment import Identity
from edgemass.sinks import Sink
from tests.documents import OFFLINE, ONLINE
from tests.simulators.manual_clock import ManualClock

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"


class Rig:
    """One camera whose frames are only counted, and a reporter that looks when it is told to."""

    def __init__(
        self, folder: Path, *, board: str = "raspberry-pi-3", live: bool = True, textfile: str | None = None
    ) -> None:
        self.clock = ManualClock()
        self.counters = Counters()
        line = SimpleNamespace(camera="door", age_ms=deque([1.0]), total_ms=deque([2.0]), infer_ms=Durations(10))
        self.camera: SimpleNamespace | None = SimpleNamespace(
            line=line, capture=SimpleNamespace(reason=""), running=True, failure=None, last_ns=0
        )
        self.state: CameraState | None = None
        self.live = live
        self.channel = Channel()
        self.slot = SimpleNamespace(name="main", lines=[line], running=running())
        parts = Parts(
            cameras=lambda: {"door": self.seen},
            slots=[cast("ModelSlot", self.slot)],
            outputs=[(cast("Sink", self.channel), Counters())],
            place=Place(clock=self.clock, state=folder, tree=Tree(root=BOARDS / board), synced=lambda: True),
            board=Board("", ""),
            runtime=folder / "run",
        )
        config = HealthConfig(textfile=textfile)
        self.reporter = HealthReporter(config, parts, identity=Identity("pi", "boot", "run"), clock=self.clock)

    def passes(self, seconds: float, *, captured: float = 0.0, processed: float = 0.0) -> None:
        """Time, with so many frames a second."""
        for _ in range(round(seconds / SAMPLE_S)):
            self.clock.advance(SAMPLE_S)
            self.counters.add("frames_captured", round(captured * SAMPLE_S))
            self.counters.add("frames_processed", round(processed * SAMPLE_S))
            self.reporter.look()

    @property
    def seen(self) -> Seen:
        return Seen(
            config=CameraConfig(source="0", max_fps=5.0),
            counters=self.counters,
            state=self.state,
            camera=cast("Camera", self.camera),
            live=self.live,
        )

    def door(self) -> CameraHealth:
        return self.reporter._watches["door"].health(self.seen)


class Channel:
    """A sink that somebody manages the device through, and that is away."""

    def __init__(self) -> None:
        self.name = "mqtt broker:1883"
        self.retained: list[bytes] = []
        self.connected = False
        self.held_bytes = 7
        self.trouble: str | None = "cannot reach mqtt://me:hunter2@broker"

    def retain(self, leaf: str, document: bytes) -> None:
        assert leaf == "health"
        self.retained.append(document)

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None: ...

    def clear(self, *levels: str) -> None: ...

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None: ...

    def show(self, *levels: str, jpeg: bytes) -> None: ...

    def announce(self, topic: str, document: bytes) -> None: ...

    def hear(self, topic: str, callback: Callable[[bytes], None]) -> None: ...

    def repeat(self) -> None: ...

    def listen(self, leaf: str, callback: Callable[[bytes], None]) -> None: ...


def running(degraded: str = "") -> SimpleNamespace:
    backend = SimpleNamespace(name="onnxruntime/cpu", requested="onnxruntime/cuda" if degraded else "onnxruntime/cpu")
    detector = SimpleNamespace(variant="int8", degraded=degraded, backend=backend)
    return SimpleNamespace(ref=ModelRef("tiny", "1", "sha256:00", "fp32"), detector=detector)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_rates_are_those_of_the_last_minute(rig: Rig) -> None:
    rig.state = ONLINE
    rig.passes(120, captured=25, processed=5)
    assert (rig.door().fps_captured, rig.door().fps_processed) == (25.0, 5.0)
    rig.passes(60, captured=10, processed=5)
    assert rig.door().fps_captured == 10.0


def test_the_quality_of_a_connection_falls_with_its_breaks_and_recovers_in_an_hour(rig: Rig) -> None:
    rig.state = ONLINE
    rig.passes(600, captured=25, processed=5)
    assert rig.door().quality == "excellent"
    rig.state = OFFLINE
    rig.passes(10)
    assert rig.door().quality == "unusable"
    rig.state = ONLINE
    rig.counters.add("reconnects")
    rig.passes(300, captured=25, processed=5)
    assert rig.door().quality == "fair"
    rig.passes(3720, captured=25, processed=5)
    assert rig.door().quality == "excellent"


def test_a_camera_that_has_had_no_time_yet_is_not_told_as_one_with_an_unusable_connection(rig: Rig) -> None:
    rig.state = OFFLINE
    rig.reporter.look()
    first = json.loads(rig.channel.retained[-1])
    assert first["cameras"]["door"].get("quality") is None
    assert not [problem for problem in first["problems"] if "connection" in problem]
    rig.state = ONLINE
    rig.passes(5, captured=25, processed=5)
    second = json.loads(rig.channel.retained[-1])["cameras"]["door"]
    assert (second["quality"], second["fps_captured"]) == ("excellent", 25.0), "told 5 s later, not a period later"


def test_a_camera_that_stands_still_while_it_is_there_stalls_once_however_long(rig: Rig) -> None:
    rig.state = ONLINE
    rig.passes(60, captured=25, processed=5)
    rig.passes(20)
    assert rig.reporter._watches["door"]._stalls == 1


def test_a_file_has_no_connection_and_ends_without_a_problem(tmp_path: Path) -> None:
    rig = Rig(tmp_path, live=False)
    rig.state = ONLINE
    rig.passes(10, captured=25, processed=25)
    rig.camera.running = False  # type: ignore[union-attr]
    rig.state = CameraState("offline", "the file ended", "")
    assert (rig.door().state, rig.door().quality) == ("ended", None)
    rig.passes(30)
    assert rig.reporter.latest is not None
    assert not any("camera" in problem for problem in rig.reporter.latest.problems)


def test_a_camera_that_is_switched_off_is_neither_missed_nor_a_problem(rig: Rig) -> None:
    rig.state = ONLINE
    rig.passes(60, captured=25, processed=5)
    rig.camera, rig.state = None, CameraState("disabled", "switched off", "")
    rig.passes(60)
    message = rig.reporter.latest
    assert message is not None
    assert message.cameras["door"].state == "disabled"
    assert message.cameras["door"].frames_captured == 1500
    assert not any("camera" in problem for problem in message.problems)


def test_a_document_is_made_when_it_is_due_and_at_once_when_the_device_gets_ready_or_is_no_longer(rig: Rig) -> None:
    rig.reporter.look()
    rig.passes(10)
    assert [json.loads(document)["ready"] for document in rig.channel.retained] == [False, False]
    rig.state = ONLINE
    rig.passes(5, captured=25, processed=5)
    assert [json.loads(document)["ready"] for document in rig.channel.retained] == [False, False, True]
    rig.passes(300, captured=25, processed=5)
    assert len(rig.channel.retained) == 13
    rig.state = OFFLINE
    rig.passes(5)
    assert json.loads(rig.channel.retained[-1])["ready"] is False


def test_problems_are_said_in_words_without_passwords(tmp_path: Path) -> None:
    rig = Rig(tmp_path, board="raspberry-pi-4")
    rig.state = CameraState("offline", "rtsp://me:hunter2@camera/1 does not answer", "")
    rig.slot.running = running("no GPU at rtsp://me:hunter2@camera/1")
    rig.reporter.look()
    message = rig.reporter.latest
    assert message is not None
    assert [problem.partition(":")[0] for problem in message.problems] == [
        "undervoltage",
        "the board slows itself down (the CPU is throttled)",
        "camera door is offline",
        "the model in slot main runs on onnxruntime/cpu instead of onnxruntime/cuda",
        "mqtt",
    ]
    assert b"hunter2" not in rig.channel.retained[-1]
    assert message.models["main"].variant == "int8"
    assert message.outputs["mqtt"].held_bytes == 7


def test_the_loop_that_stands_still_is_not_healthy_and_its_device_not_ready(rig: Rig) -> None:
    assert not rig.reporter.live()
    rig.state = ONLINE
    rig.passes(5, captured=25, processed=5)
    rig.reporter.tick()
    assert rig.reporter.live()
    assert rig.reporter.ready()
    rig.clock.advance(31)
    assert not rig.reporter.live()
    assert not rig.reporter.ready()


def test_the_status_is_whole_at_any_instant_and_gone_at_the_end(rig: Rig, tmp_path: Path) -> None:
    rig.reporter.look()
    assert json.loads((tmp_path / "run" / STATUS).read_bytes())["device"] == "pi"
    assert held(tmp_path / "run")
    rig.reporter.close()
    assert not (tmp_path / "run" / STATUS).exists()
    assert not held(tmp_path / "run")


def test_one_folder_holds_the_status_of_one_daemon(tmp_path: Path) -> None:
    first, second = StatusFile(tmp_path), StatusFile(tmp_path)
    first.write(b"1")
    second.write(b"2")
    assert (tmp_path / STATUS).read_bytes() == b"1"
    second.close()
    assert (tmp_path / STATUS).read_bytes() == b"1"
    first.close()
    second.write(b"2")
    assert (tmp_path / STATUS).read_bytes() == b"2"
    second.close()


def test_a_folder_that_cannot_be_written_is_said_once_and_survived(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    file = StatusFile(tmp_path / "file" / "run")
    file.write(b"1")
    file.write(b"1")
    file.close()
    assert len(caplog.records) == 1
    assert not held(tmp_path / "file" / "run")


def test_a_textfile_that_cannot_be_written_is_said_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, textfile=str(tmp_path / "nowhere" / "edgemass.prom"))
    rig.passes(120)
    assert len(rig.channel.retained) == 5
    assert [record.message for record in caplog.records if "metrics" in record.message] == [
        f"no metrics are kept in {tmp_path}/nowhere/edgemass.prom: No such file or directory; see textfile in [health]"
    ]
    assert "edgemass_build_info" in rig.reporter.metrics()


def test_a_textfile_that_node_exporter_would_not_read_is_refused() -> None:
    for textfile in ("edgemass.prom", "/tmp/edgemass.txt"):
        with pytest.raises(ValueError, match=r"must be an absolute path that ends in \.prom"):
            HealthConfig(textfile=textfile)
