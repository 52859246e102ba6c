from __future__ import annotations

import numpy as np
import pytest

from edgemass.agent.tuning_frames import MOST, TuningFrames
from edgemass.frame import Frame
from tests import documents
from tests.simulators.manual_clock import ManualClock

AFTER_S = 80.0
STEP_S = AFTER_S / MOST


class Camera:
    """Gives frames whose pixels tell their number."""

    def __init__(self) -> None:
        self.clock = ManualClock(jump=True)
        self.idle_s = 0.0
        self.frames = TuningFrames(self.clock, AFTER_S, lambda: self.idle_s)
        self.count = 0

    def give(self, detections: int = 0, *, side: int = 2) -> None:
        number = self.count
        self.count += 1
        picture = np.full((side, side, 3), number, np.uint8)
        frame = Frame(lambda: picture, width=side, height=side, mono_ns=0, time_ns=0, arrived_ns=0)
        self.frames.see(documents.detections(*["cat"] * detections), frame)

    def taken(self) -> list[int]:
        return [int(picture[0, 0, 0]) for picture in self.frames.take()]


def test_a_short_run_is_never_measured() -> None:
    camera = Camera()
    for _ in range(100):
        camera.give()
    assert not camera.frames.enough


def test_frames_over_the_whole_time_are_kept_the_busiest_of_each_part() -> None:
    camera = Camera()
    for _ in range(MOST):
        for detections in (1, 3, 2, 0):
            camera.give(detections)
        assert not camera.frames.enough
        camera.clock.advance(STEP_S)
    assert camera.frames.enough
    assert camera.taken() == [1 + 4 * part for part in range(MOST)]
    assert camera.taken() == []


def test_a_camera_that_went_away_is_not_enough() -> None:
    camera = Camera()
    camera.give()
    camera.clock.advance(10 * AFTER_S)
    assert not camera.frames.enough
    for _ in range(MOST):
        camera.give()
        camera.clock.advance(STEP_S)
    assert camera.frames.enough


def test_of_large_pictures_fewer_are_kept() -> None:
    camera = Camera()
    for _ in range(2):
        camera.give(side=4000)
        camera.clock.advance(AFTER_S / 2)
    assert camera.frames.enough
    assert camera.taken() == [0, 1]


def test_idle_cores_are_those_of_the_time_that_was_watched() -> None:
    camera = Camera()
    camera.idle_s = 1000.0
    camera.give()
    camera.clock.advance(AFTER_S)
    camera.idle_s += 1.5 * AFTER_S
    assert camera.frames.idle_cores() == pytest.approx(1.5)
