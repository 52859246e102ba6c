"""The watchdog is fed while everything moves, and not a beat longer."""

from __future__ import annotations

import socket
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast, final

import pytest

from edgemass.agent.heartbeat import (
    EXCHANGE_MOST_S,
    FRAME_MOST_S,
    LOADING_MOST_S,
    LOOP_MOST_S,
    OVERDUE_MOST_S,
    Heartbeat,
    Pulse,
    what_hangs,
)
from edgemass.agent.slot import ModelSlot
from edgemass.bundles import Bundle
from edgemass.counters import Counters
from edgemass.frame import Frame
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns
from edgemass.sdnotify import Notifier
from tests.simulators.manual_clock import PATIENCE_S, ManualClock
from tests.simulators.scripted_camera import Give, Hang, ScriptedCamera, Wait, fail


class Manager:
    """A service manager's end: what it was told since it was asked last."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        self.notifier = Notifier(str(folder / "notify"), 30)

    def told(self) -> list[str]:
        lines = []
        while True:
            try:
                lines.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path)
    yield listening
    listening.close()


class Line:
    """Stands for a line whose model hangs until `release` is set; None = it does not hang."""

    camera = "door"
    heard = True

    def __init__(self, release: threading.Event | None = None) -> None:
        self.processed = 0
        self.inside = threading.Event()
        self._release = release

    def process(self, frame: Frame) -> None:
        assert frame.width
        self.inside.set()
        if self._release is not None:
            self._release.wait(PATIENCE_S)
        self.processed += 1

    def forget(self) -> None:
        pass

    def held(self, timeout_s: float) -> threading.Lock:
        assert timeout_s
        return threading.Lock()

    def replace(self, model: LoadedModel) -> None:
        pass


@final
class Rig:
    """One camera, a slot and the heartbeat over them; `beat` is called by the test, not by the thread."""

    def __init__(self, manager: Manager, source: ScriptedCamera, line: Line, clock: ManualClock) -> None:
        self.clock, self.source, self.line = clock, source, line
        counters = Counters()
        self.capture = Capture("door", source, clock=clock, counters=counters)
        self.camera = Camera(
            self.capture,
            cast("CameraLine", line),
            selection=Selection(max_fps=None),
            place=Turns(1, clock).place(),
            frames=None,
            clock=clock,
            counters=counters,
        )
        backend = types.SimpleNamespace(name="litert/xnnpack", close=lambda: None)
        running = types.SimpleNamespace(
            ref=types.SimpleNamespace(name="toy", version="1"), detector=types.SimpleNamespace(backend=backend)
        )
        self.slot = ModelSlot("main", cast("Bundle", None), cast("LoadedModel", running), clock=clock)
        self.heartbeat = Heartbeat(manager.notifier, clock)
        self._manager = manager
        self.camera.start()
        self.heartbeat.ready(lambda: [self.camera], self.slot)

    def fed(self) -> bool:
        """Whether the watchdog is fed by a beat now; the agent's loop came by."""
        self._manager.told()
        self.heartbeat.tick()
        self.heartbeat.beat()
        return "WATCHDOG=1" in self._manager.told()

    def end(self) -> None:
        self.camera.request_stop()
        self.capture.slot.close()  # ends its waiting, as time does not pass here
        assert self.camera.join(PATIENCE_S)


def until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.0005)


def test_a_detector_that_hangs_is_not_vouched_for(manager: Manager) -> None:
    release, clock = threading.Event(), ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[Give(), Wait()]]), Line(release), clock)
    assert rig.line.inside.wait(PATIENCE_S)
    assert rig.fed()
    clock.advance(FRAME_MOST_S - 1)
    assert rig.fed()
    clock.advance(2)
    assert not rig.fed()
    release.set()
    until(rig.fed)
    rig.end()


def test_a_camera_that_is_away_and_tried_again_moves(manager: Manager) -> None:
    clock = ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[fail("unplugged")]] * 50), Line(), clock)
    for _ in range(20):
        until(lambda: 0.25 in clock.waits)
        clock.waits.clear()
        clock.advance(30)
        until(rig.fed)
    rig.end()


def test_a_read_that_hangs_is_given_up_and_is_no_hang_of_ours(manager: Manager) -> None:
    clock = ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[Hang()], [Give(), Wait()]]), Line(), clock)
    until(rig.source.hanging.is_set)
    clock.advance(rig.source.read_timeout_s + 1)
    until(lambda: rig.capture.overdue_s == 0)
    assert OVERDUE_MOST_S > 0
    until(rig.fed)
    rig.end()


def test_frames_wait_for_an_exchange_of_the_model_for_as_long_as_that_may_take(manager: Manager) -> None:
    clock = ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[Wait()]]), Line(), clock)
    seen = []

    def load() -> LoadedModel:
        clock.advance(EXCHANGE_MOST_S - 1)
        until(rig.fed)  # the capture takes its time to give up a read of so long
        clock.advance(2)
        seen.append(rig.fed())
        return rig.slot.running

    rig.slot.replace(rig.slot.bundle, load, load)
    assert seen == [False]
    until(rig.fed)
    rig.end()


def test_the_agent_s_own_loop_has_to_come_by(manager: Manager) -> None:
    clock = ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[Wait()]]), Line(), clock)
    rig.end()
    assert rig.fed()
    clock.advance(LOOP_MOST_S + 1)
    manager.told()
    rig.heartbeat.beat()
    assert manager.told() == ["STATUS=the agent has not moved for 61 s"]


def test_loading_asks_for_more_time_and_says_so_but_not_for_ever(manager: Manager) -> None:
    clock = ManualClock()
    heartbeat = Heartbeat(manager.notifier, clock)
    heartbeat.beat()
    assert manager.told() == ["EXTEND_TIMEOUT_USEC=90000000", "STATUS=loading the model"]
    clock.advance(LOADING_MOST_S)
    heartbeat.beat()
    assert manager.told() == ["STATUS=loading the model"]


def test_ready_comes_with_the_cameras_wired_and_the_status_tells_of_them(manager: Manager) -> None:
    clock = ManualClock()
    rig = Rig(manager, ScriptedCamera(clock, [[fail("unplugged")]] * 9), Line(), clock)
    status = "STATUS=0 of 1 cameras up, 0.0 fps, toy 1 on litert/xnnpack"
    assert manager.told() == [status, "READY=1"]
    rig.heartbeat.beat()
    assert manager.told() == ["WATCHDOG=1", status]
    rig.heartbeat.stopping()
    assert manager.told() == ["STOPPING=1", "STATUS="]
    rig.end()


def test_what_hangs_is_named_with_its_time() -> None:
    pulses = [Pulse("a", 3, 5), Pulse("b", 6, 5), Pulse("c", 7.4, 7)]
    assert what_hangs(pulses) == "b has not moved for 6 s, c has not moved for 7 s"
    assert not what_hangs(pulses[:1])
