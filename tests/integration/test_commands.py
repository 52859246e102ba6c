"""Commands over a real broker to a real daemon: done once, answered, and refused where they must be."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemass import sinks
from edgemass.agent import Agent
from edgemass.config import CameraConfig, Config
from tests.simulators.asker import Asker
from tests.simulators.broker import Broker, Listener, wait_until
from tests.simulators.daemon import Daemon
from tests.simulators.tiny_detectors import yolo_v8

pytestmark = [pytest.mark.broker, pytest.mark.runtime]

BASE = "edgemass/v1/board"
CAMERA = f"{BASE}/camera/door"
OTHER = "edgemass/v1/other"  # a device of one test alone
ITS_CAMERA = f"{OTHER}/camera/door"
SOURCE = "synthetic:?width=64&height=64&fps=30"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker")) as started:
        yield started


def start(folder: Path, broker: Broker, camera: str = "", device: str = "board") -> Daemon:
    folder.mkdir(exist_ok=True)
    (folder / "edgemass.toml").write_text(
        f'device = "{device}"\nmodel = "{yolo_v8(folder / "tiny.onnx")}"\nsinks = ["{broker.url}"]\ntune = false\n'
        f'state = "{folder / "state"}"\n[cameras.door]\nsource = "{SOURCE}"\n{camera}'
    )
    return Daemon(folder, "--config", str(folder / "edgemass.toml"))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory, broker: Broker) -> Iterator[Daemon]:
    """One for all tests that leave it as they found it."""
    with start(tmp_path_factory.mktemp("board"), broker) as daemon:
        yield daemon
        assert daemon.end() == 0, daemon.err


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    with Listener(broker) as started:
        yield started


@pytest.fixture
def asker(broker: Broker, board: Daemon, listener: Listener) -> Iterator[Asker]:
    wait_until(lambda: listener.payloads(f"{CAMERA}/settings") and frames(listener), f"{board.pid} is at work")
    with Asker(broker, BASE) as started:
        yield started


def frames(listener: Listener, camera: str = CAMERA) -> list[bytes]:
    return listener.payloads(f"{camera}/detections")


def settings(listener: Listener, camera: str = CAMERA) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(listener.payloads(f"{camera}/settings")[-1])
    return told


def state(listener: Listener, camera: str = CAMERA) -> str:
    """The newest; "" before there is one."""
    told = listener.payloads(f"{camera}/state")
    return str(json.loads(told[-1])["state"]) if told else ""


def test_a_camera_is_switched_off_and_on_and_says_so(asker: Asker, listener: Listener) -> None:
    answer = asker.ask("camera/door/command/enabled", "OFF")
    assert answer == {"ok": True, "result": {"enabled": False, "score": None, "max_fps": None}}
    wait_until(lambda: state(listener) == "disabled", "the camera is told to be off")
    # A frame that was on its way when the state overtook it is there before this answer.
    assert asker.ask("camera/door/command/snapshot")["error"] == "camera door is switched off"
    listener.forget()
    time.sleep(0.3)
    assert not frames(listener), "no frame comes of a camera that is off"
    assert asker.ask("camera/door/command/enabled", "ON")["ok"]
    wait_until(lambda: frames(listener), "frames come again")
    wait_until(lambda: state(listener) == "online", "the camera is told to be on")


def test_what_a_command_changed_outlives_the_process(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    with start(tmp_path, broker, device="other") as daemon, Asker(broker, OTHER) as asker:
        wait_until(lambda: listener.payloads(f"{ITS_CAMERA}/settings"), "it runs")
        asker.ask("camera/door/command/enabled", "OFF")
        asker.ask("camera/door/command/score", "0.7")
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.wait(10)
    listener.forget()
    with start(tmp_path, broker, device="other") as daemon:
        wait_until(lambda: listener.payloads(f"{ITS_CAMERA}/settings"), "settings are told")
        assert settings(listener, ITS_CAMERA) == {"enabled": False, "score": 0.7, "max_fps": None}
        wait_until(lambda: state(listener, ITS_CAMERA) == "disabled", "a camera that was switched off stays off")
        assert daemon.running
        assert daemon.end() == 0


def test_a_threshold_and_a_rate_change_between_two_frames(asker: Asker, listener: Listener, board: Daemon) -> None:
    opened = board.err.count("camera online")
    assert asker.ask("camera/door/command/score", "0.01")["ok"]
    wait_until(lambda: json.loads(frames(listener)[-1])["detections"], "a lower score shows more")
    assert asker.ask("camera/door/command/score", "1")["ok"]
    wait_until(lambda: not json.loads(frames(listener)[-1])["detections"], "a higher one shows nothing")
    assert asker.ask("camera/door/command/max_fps", "5")["result"]["max_fps"] == 5
    assert asker.ask("camera/door/command/max_fps", "default")["result"]["max_fps"] is None
    assert board.err.count("camera online") == opened, "the camera was not opened again"


def test_a_snapshot_comes_as_a_picture(asker: Asker, listener: Listener) -> None:
    answer = asker.ask("camera/door/command/snapshot")
    assert answer["ok"]
    wait_until(lambda: listener.payloads(f"{CAMERA}/snapshot"), "the picture comes")
    jpeg = listener.payloads(f"{CAMERA}/snapshot")[-1]
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape[:2] == (answer["result"]["height"], answer["result"]["width"])


def test_no_picture_of_a_camera_of_counts_only(tmp_path: Path, broker: Broker, listener: Listener) -> None:
    private = 'privacy = "counts-only"\n'
    with start(tmp_path, broker, private, device="private"), Asker(broker, "edgemass/v1/private") as asker:
        wait_until(lambda: listener.payloads("edgemass/v1/private/camera/door/settings"), "it runs")
        assert "counts-only" in asker.ask("camera/door/command/snapshot")["error"]
    assert not any(listener.payloads("edgemass/v1/private/camera/door/snapshot"))


@pytest.mark.parametrize(
    ("leaf", "value", "told"),
    [
        ("command/explode", "", "there is no command 'explode'"),
        ("command/restat", "", "did you mean `restart`?"),
        ("command/enabled", "ON", "enabled is asked of a camera"),
        ("camera/doro/command/enabled", "ON", "there is no camera 'doro'; did you mean `door`?"),
        ("camera/door/command/restart", "", "asked of the whole device"),
        ("camera/door/command/enabled", "maybe", "takes ON, OFF or default, found 'maybe'"),
        ("camera/door/command/score", "7", "a number from 0 to 1, or default, found '7'"),
        ("camera/door/command/score", "nan", "a number from 0 to 1"),
        ("camera/door/command/max_fps", "-1", "a number from 0.01"),
        ("camera/door/command/enabled", '{"value": "OFF", "expires": "2020-01-01T00:00:00Z"}', "expire"),
        ("camera/door/command/enabled", '{"value": ', "it is not"),
        ("camera/door/command/enabled", "x" * 5000, "at most 4096"),
        ("command/restart", "", "no service manager would start it again"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(
    asker: Asker, listener: Listener, leaf: str, value: str, told: str
) -> None:
    answer = asker.ask(leaf, value)
    assert not answer["ok"]
    assert told in answer["error"] or "clock is not set" in answer["error"]
    assert settings(listener)["enabled"]


def test_a_retained_command_is_not_done_again_after_a_restart(
    tmp_path: Path, broker: Broker, listener: Listener
) -> None:
    with Asker(broker, "edgemass/v1/retained") as asker:
        asker.tell("camera/door/command/enabled", "OFF", retain=True)
        with start(tmp_path, broker, device="retained") as daemon:
            wait_until(lambda: "it was retained" in daemon.err, "it is refused, and said so")
            wait_until(lambda: frames(listener, "edgemass/v1/retained/camera/door"), "the camera runs on")


def test_the_doctor_answers(asker: Asker) -> None:
    answer = asker.ask("command/doctor")
    assert answer["ok"]
    assert {check["code"] for check in answer["result"]["checks"]} >= {"EM101", "EM601"}


def test_a_snapshot_does_not_wait_for_the_doctor(asker: Asker, board: Daemon) -> None:
    examined = board.err.count("command done command=doctor")
    for _ in range(2):
        asker.tell("command/doctor")
    assert asker.ask("camera/door/command/snapshot")["ok"]
    assert board.err.count("command done command=doctor") < examined + 2
    wait_until(lambda: board.err.count("command done command=doctor") == examined + 2, "the doctor is done", 60)


def test_a_flood_of_commands_is_bounded_and_does_not_stop_frames(asker: Asker, listener: Listener) -> None:
    for _ in range(300):
        asker.tell("camera/door/command/snapshot")
    listener.forget()
    wait_until(lambda: len(frames(listener)) > 10, "frames go on")
    wait_until(lambda: asker.ask("camera/door/command/max_fps", "20")["ok"], "it still obeys")


def test_restart_ends_with_the_code_that_has_it_started_again(
    tmp_path: Path, broker: Broker, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with start(tmp_path, broker, device="again") as daemon, Asker(broker, "edgemass/v1/again") as asker:
        wait_until(lambda: listener.payloads("edgemass/v1/again/camera/door/settings"), "it runs")
        assert asker.ask("command/restart") == {"ok": True}
        assert daemon.wait(20) == 75


class Asking:
    """A sink that gives a command as soon as it hears anything of a camera, and notes the answers.

    early: it heard of a camera before it could give any, which a moment in which the machine is busy brings to light.
    """

    name = "asking"

    def __init__(self) -> None:
        self.early = False
        self.answers: list[sinks.Answer] = []
        self._handle: sinks.Commanded | None = None
        self._heard = threading.Event()

    def obey(self, handle: sinks.Commanded) -> None:
        self.early = self._heard.wait(0.3)
        self._handle = handle

    def camera_state(self, *_: object) -> None:
        if self._handle is not None and not self._heard.is_set():
            self._handle(sinks.Command("max_fps", "door", "7"), self.answers.append)
        self._heard.set()

    publish = event = counts = camera_state

    def close(self, timeout_s: float) -> None:
        pass


def test_a_command_that_comes_with_the_first_word_of_a_camera_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, module = Asking(), types.ModuleType("asking_sink")
    module.open = lambda *_: sink  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "asking_sink", module)
    monkeypatch.setitem(sinks.SINKS, "asking", "asking_sink")
    config = Config(
        cameras={"door": CameraConfig(source=SOURCE)},
        model=str(yolo_v8(tmp_path / "tiny.onnx")),
        sinks=("asking:",),
        tune=False,
        state=str(tmp_path / "state"),
    )
    stop = threading.Event()
    thread = threading.Thread(target=Agent(config).run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: sink.answers or sink.early, "an answer")
    finally:
        stop.set()
        thread.join(20)
    assert not sink.early
    assert sink.answers == [sinks.Answer(ok=True, result={"enabled": True, "score": None, "max_fps": 7.0})]
