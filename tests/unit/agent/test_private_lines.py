"""Pictures that are taken to measure and to prove models on never come from a camera of counts only."""

from __future__ import annotations

import logging
import threading
import types
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from edgemass.agent import tuner
from edgemass.agent.observing import Observer
from edgemass.agent.slot import ModelSlot
from edgemass.bundles import Bundle
from edgemass.config import Config
from edgemass.frame import Frame
from edgemass.pipeline.line import CameraLine, LoadedModel
from tests import documents
from tests.simulators.manual_clock import ManualClock


class Line:
    """Gives its watchers a frame whenever it is asked to."""

    def __init__(self, value: int, *, private: bool) -> None:
        self.private = private
        self.watchers: list[Callable[..., None]] = []
        self._value = value

    def watch(self, watcher: Callable[..., None]) -> None:
        self.watchers.append(watcher)

    def unwatch(self, watcher: Callable[..., None]) -> None:
        if watcher in self.watchers:
            self.watchers.remove(watcher)

    def give(self) -> None:
        picture = np.full((4, 4, 3), self._value, np.uint8)
        frame = Frame(lambda: picture, width=4, height=4, mono_ns=0, time_ns=0, arrived_ns=0)
        for watcher in tuple(self.watchers):
            watcher(documents.detections("person"), frame)


class Giving(ManualClock):
    """A clock under which every wait lets every line give a frame."""

    def __init__(self, lines: list[Line]) -> None:
        super().__init__(jump=True)
        self._lines = lines

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        for line in self._lines:
            line.give()
        return super().wait(event, timeout_s)


def slot_of(lines: list[Line], clock: ManualClock) -> ModelSlot:
    running = cast("LoadedModel", types.SimpleNamespace(ref=None))
    slot = ModelSlot("main", cast("Bundle", None), running, clock=clock)
    slot.lines = tuple(cast("CameraLine", line) for line in lines)
    return slot


def pictures(*private: bool) -> tuple[set[int], ManualClock]:
    """Values of the pictures that are taken to prove a model on; line n gives pictures of n."""
    lines = [Line(number, private=each) for number, each in enumerate(private)]
    clock = Giving(lines)
    observer = Observer(slot_of(lines, clock), list, clock)
    return {int(picture[0, 0, 0]) for picture in observer.pictures(threading.Event())}, clock


def test_models_are_proven_on_pictures_of_cameras_that_may_be_shown() -> None:
    assert pictures(False)[0] == {0}
    assert pictures(True, False, True)[0] == {1}


def test_where_none_may_be_shown_nobody_waits_for_pictures() -> None:
    taken, clock = pictures(True, True)
    assert taken == set()
    assert clock.waits == []


@pytest.mark.parametrize("private", [[True], [True, True]])
def test_nothing_is_measured_where_none_may_be_shown(
    private: list[bool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    lines = [Line(number, private=each) for number, each in enumerate(private)]
    watched = measured_on(lines, monkeypatch)
    assert watched == []
    assert "no picture of these cameras may be kept" in caplog.text


def test_what_runs_best_is_measured_on_pictures_of_cameras_that_may_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured_on([Line(0, private=True), Line(1, private=False)], monkeypatch) == [1]


def measured_on(lines: list[Line], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the lines that a tuner watches when it starts."""
    clock = ManualClock()
    monkeypatch.setattr(tuner, "refusal", lambda *_: "")  # it would ask for a whole bundle
    made = tuner.Tuner(slot_of(lines, clock), Config(cameras={}), clock=clock)
    made.start()
    watched = [number for number, line in enumerate(lines) if line.watchers]
    clock_thread: Any = made._thread
    made._stop.set()
    if clock_thread is not None:
        clock_thread.join(10)
    return watched
