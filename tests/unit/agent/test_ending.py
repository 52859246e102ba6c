"""What hangs costs one deadline at the end, however much of it there is."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgemass.agent import cameras
from edgemass.agent.cameras import Cameras, Station
from edgemass.agent.ending import all_at_once
from edgemass.agent.scenes import Scenes
from edgemass.config import Config
from edgemass.counters import Counters
from edgemass.pipeline.moment import Identity
from tests.simulators.manual_clock import ManualClock


class HungCamera:
    """A frame of it never comes back from the model."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.line = SimpleNamespace(camera=name, total_ms=[])
        self.counters = Counters()
        self.failure = None
        self.first_ns = self.last_ns = 0
        self.asked_at_ns: int | None = None
        self._clock = clock

    def request_stop(self) -> None:
        self.asked_at_ns = self._clock.monotonic_ns()

    def join(self, timeout_s: float) -> bool:
        self._clock.advance(timeout_s)
        return False


def test_cameras_that_all_hang_in_the_model_are_waited_for_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock, config, who = ManualClock(), Config(cameras={}, state=str(tmp_path)), Identity("pi", "b", "r")
    began_ns = clock.monotonic_ns()
    scenes = Scenes(config, [], identity=who, clock=clock)
    nothing = cast("Any", None)
    board = Cameras(config, nothing, scenes, [], identity=who, clock=clock, on_failing=lambda _: False)
    hung = {name: HungCamera(name, clock) for name in map(str, range(20))}
    for name, camera in hung.items():
        board._stations[name] = Station(cast("Any", camera), nothing, nothing)
    assert not board.end()
    scenes.close()
    assert {camera.asked_at_ns for camera in hung.values()} == {began_ns}
    assert clock.monotonic_ns() - began_ns == cameras.STOP_S * 1e9
    assert sum("did not end" in record.getMessage() for record in caplog.records) == len(hung)


def test_what_hangs_does_not_keep_the_others_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    ended: set[str] = set()
    others = threading.Event()

    def hangs() -> None:
        ended.add("hung" if others.wait(20) else "alone")

    def fails() -> None:
        raise OSError("no room")

    def closes() -> None:
        ended.add("well")
        others.set()

    with caplog.at_level(logging.ERROR):
        all_at_once([hangs, fails, closes])
    assert ended == {"hung", "well"}
    assert ["no room" in str(record.exc_info) for record in caplog.records] == [True]
