from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import cast

import numpy as np
import pytest

from edgemass.clock import Clock, SystemClock
from edgemass.counters import Counters
from edgemass.errors import BackendError, SourceError, StaleFrameError
from edgemass.frame import Frame, Image
from edgemass.in_order import InOrder
from edgemass.pipeline.camera import FAILURES_IN_A_ROW, POLL_S, Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns
from edgemass.sources import Source
from tests.simulators.manual_clock import PATIENCE_S, ManualClock
from tests.simulators.scripted_camera import Give, ScriptedCamera, Wait, fail

BROKEN = 2
NS = 1_000_000_000


class Pictures:
    """Implements `edgemass.sources.Source`: four frames a second apart, of which number BROKEN cannot be converted."""

    live = False
    realtime = False
    name = "pictures"
    read_timeout_s = 5.0

    def frames(self) -> Iterator[Frame]:
        for number in range(1, 5):

            def load(number: int = number) -> Image:
                if number == BROKEN:
                    raise SourceError("a JPEG that cannot be decoded")
                return np.full((6, 8, 3), number, np.uint8)

            at_ns = number * NS
            yield Frame(load, width=8, height=6, mono_ns=at_ns, time_ns=at_ns, arrived_ns=at_ns)

    def close(self) -> None:
        pass


class Looking:
    """Stands for a line that looks at every picture.

    first: what happens before each look; it may wait, and may raise.
    """

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self.camera = "cam"
        self.heard = True
        self.seen: list[int] = []
        self.forgot = 0
        self._first = first

    @property
    def processed(self) -> int:
        return len(self.seen)

    def process(self, frame: Frame) -> None:
        value = int(frame.image[0, 0, 0])
        self._first()
        self.seen.append(value)

    def forget(self) -> None:
        self.forgot += 1


def camera_of(
    source: Source,
    line: Looking,
    turns: Turns,
    *,
    clock: Clock,
    max_fps: float | None = None,
    frames: int | None = None,
) -> Camera:
    counters = Counters()
    return Camera(
        Capture("cam", source, clock=clock, counters=counters),
        cast("CameraLine", line),
        selection=Selection(max_fps=max_fps),
        place=turns.place(),
        frames=frames,
        clock=clock,
        counters=counters,
    )


def until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.0005)


def test_a_picture_that_cannot_be_converted_is_counted_and_the_camera_goes_on() -> None:
    line, clock = Looking(), SystemClock()
    camera = camera_of(Pictures(), line, Turns(1, clock), clock=clock)
    camera.start()
    assert camera.join(PATIENCE_S)
    assert camera.failure is None
    assert line.seen == [1, 3, 4]
    assert camera.counters["frames_broken"] == 1


def test_frames_that_max_fps_skips_use_no_turn() -> None:
    line, clock = Looking(), SystemClock()
    turns = Turns(1, clock)
    camera = camera_of(Pictures(), line, turns, clock=clock, max_fps=0.4)
    camera.start()
    assert camera.join(PATIENCE_S)
    assert line.seen == [1, 4]
    assert camera.counters["frames_skipped"] == 2
    assert turns._served == 2


def test_a_frame_does_not_grow_old_while_it_waits_for_its_turn() -> None:
    clock = ManualClock()
    turns = Turns(1, clock)
    other = turns.place()
    assert other.take(0.0)
    line, source = Looking(), ScriptedCamera(clock, [[Give(1), Wait(), Give(4), Wait()]])
    camera = camera_of(source, line, turns, clock=clock)
    camera.start()
    until(lambda: turns._waiting)
    source.go_on()
    until(lambda: camera.counters["frames_captured"] == 5)
    other.give_back()
    until(lambda: line.seen)
    camera.request_stop()
    camera.capture.slot.close()
    assert camera.join(PATIENCE_S)
    assert line.seen == [5]
    assert camera.counters["frames_dropped"] == 4


def test_a_frame_too_old_for_its_run_is_counted_and_the_newest_takes_the_same_turn() -> None:
    clock = ManualClock()
    turns = Turns(1, clock)
    source = ScriptedCamera(clock, [[Give(1), Wait(), Give(2), Wait()]])

    def wait_too_long_once() -> None:
        if not camera.counters["frames_stale"]:
            source.go_on()
            until(lambda: camera.counters["frames_captured"] == 3)
            raise StaleFrameError("2000 ms old")

    line = Looking(wait_too_long_once)
    camera = camera_of(source, line, turns, clock=clock, frames=1)
    camera.start()
    assert camera.join(PATIENCE_S)
    assert line.seen == [3]
    assert camera.counters.snapshot() == {"frames_captured": 3, "frames_stale": 1, "frames_dropped": 1}
    assert turns._served == 1


@pytest.mark.parametrize(("live", "captured"), [(True, 4), (False, 2)])
def test_frames_that_wait_when_a_camera_is_stopped_are_counted(live: bool, captured: int) -> None:
    clock = SystemClock()
    turns = Turns(1, clock)
    other = turns.place()
    assert other.take(0.0)
    source = ScriptedCamera(clock, [[Give(4), Wait()]], live=live)
    camera = camera_of(source, Looking(), turns, clock=clock)
    camera.start()
    until(lambda: camera.counters["frames_captured"] == captured)
    camera.request_stop()
    assert camera.join(PATIENCE_S)
    counts = camera.counters.snapshot()
    assert counts.pop("frames_captured") == sum(counts.values()) == captured
    assert counts["frames_left"] == captured - counts.get("frames_dropped", 0)


def test_a_camera_that_is_stopped_while_it_waits_leaves_the_queue() -> None:
    clock = ManualClock()
    turns = Turns(1, clock)
    other = turns.place()
    assert other.take(0.0)
    line = Looking()
    camera = camera_of(ScriptedCamera(clock, [[Give(1), Wait()]]), line, turns, clock=clock)
    camera.start()
    until(lambda: turns._waiting)
    camera.request_stop()
    clock.pass_wait(POLL_S)
    assert camera.join(PATIENCE_S)
    assert not turns._waiting
    assert not line.seen
    other.give_back()
    assert turns.place().take(0.0)


@pytest.mark.parametrize("error", [BackendError("the runtime failed"), ZeroDivisionError("oops")])
def test_a_camera_that_fails_gives_its_turn_back(error: Exception) -> None:
    def break_down() -> None:
        raise error

    clock = SystemClock()
    turns = Turns(1, clock)
    source = ScriptedCamera(clock, [[Give(9)]], live=False)
    camera = camera_of(source, Looking(break_down), turns, clock=clock)
    camera.start()
    assert camera.join(PATIENCE_S)
    assert camera.failure is error
    assert camera.counters["backend_failures"] == (FAILURES_IN_A_ROW if isinstance(error, BackendError) else 0)
    assert turns.place().take(0.0)


def test_after_a_gap_what_was_remembered_is_forgotten_once() -> None:
    clock = ManualClock(jump=True)
    line = Looking()
    source = ScriptedCamera(clock, [[Give(1), fail("gone")], [Give(1), Wait()]])
    camera = camera_of(source, line, Turns(1, clock), clock=clock)
    camera.start()
    until(lambda: line.seen and line.seen[-1] == 2)
    camera.request_stop()
    assert camera.join(PATIENCE_S)
    assert line.forgot == 1


def test_files_that_share_a_detector_give_every_frame_once_and_in_order() -> None:
    clock = SystemClock()
    turns = Turns(2, clock)
    lines = [Looking() for _ in range(4)]
    cameras = [camera_of(ScriptedCamera(clock, [[Give(100)]], live=False), line, turns, clock=clock) for line in lines]
    for camera in cameras:
        camera.start()
    assert all(camera.join(PATIENCE_S) for camera in cameras)
    assert [line.seen for line in lines] == [list(range(1, 101))] * 4


class SlowDetector:
    """A runtime that runs one frame at a time, and each only as long as the test lets it.

    at_once: so many cameras have a turn.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = InOrder()
        self._steps = threading.Semaphore(0)

    def run(self) -> None:
        with self._lock:
            assert self._steps.acquire(timeout=PATIENCE_S)

    def finish_one(self, lines: Sequence[Looking]) -> int:
        """Let one run end, and wait until its line knows; how many runs have ended by then.

        All that have a turn are here first: on a busy machine one may be woken late, and be overtaken on its way.
        """
        until(lambda: self._lock._held + len(self._lock._waiting) == self._at_once)
        done = sum(line.processed for line in lines)
        self._steps.release()
        until(lambda: sum(line.processed for line in lines) > done)
        return done + 1

    def finish_all(self, cameras: Sequence[Camera]) -> None:
        """Stop the cameras and let go what they run."""
        for camera in cameras:
            camera.request_stop()
            self._steps.release()
        assert all(camera.join(PATIENCE_S) for camera in cameras)


class Unhurried(SystemClock):
    """For turns: nobody leaves the queue for an instant to look around, which a busy machine makes a long one."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:  # noqa: ARG002 (the clock's contract)
        return event.wait(PATIENCE_S)


def busy_camera(line: Looking, turns: Turns, clock: Clock) -> Camera:
    """One that always has another frame waiting: a file without end."""
    return camera_of(ScriptedCamera(clock, [[Give(10**9)]], live=False), line, turns, clock=clock)


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_busy_camera_cannot_starve_a_quiet_one(at_once: int) -> None:
    """Three cameras that always have a frame waiting, beside one that gives a frame now and then."""
    clock, random = SystemClock(), Random(4)
    turns, detector = Turns(at_once, Unhurried()), SlowDetector(at_once)
    quiet, *busy = lines = [Looking(detector.run) for _ in range(4)]
    source = ScriptedCamera(clock, [[step for _ in range(10) for step in (Wait(), Give(1))] + [Wait()]])
    cameras = [camera_of(source, quiet, turns, clock=clock), *(busy_camera(line, turns, clock) for line in busy)]
    for camera in cameras:
        camera.start()
    waited = []
    for number in range(1, 11):
        for _ in range(random.randint(3, 9)):  # the others have all been served since
            until(lambda: len(turns._waiting) == 3 - at_once)
            done = detector.finish_one(lines)
        until(lambda: len(turns._waiting) == 3 - at_once)
        source.go_on()
        until(lambda: len(turns._waiting) == 4 - at_once)
        asked_at = done
        while quiet.processed < number:
            done = detector.finish_one(lines)
        waited.append(done - asked_at)
    detector.finish_all(cameras)
    assert (quiet.processed, cameras[0].counters["frames_dropped"]) == (10, 0)
    assert max(waited) <= at_once + 1  # those that had a turn already when it asked, and itself


def test_cameras_that_are_all_busy_have_equal_shares() -> None:
    clock = SystemClock()
    turns, detector = Turns(2, Unhurried()), SlowDetector(2)
    lines = [Looking(detector.run) for _ in range(5)]
    cameras = [busy_camera(line, turns, clock) for line in lines]
    for camera in cameras:
        camera.start()
    for _ in range(50):
        until(lambda: len(turns._waiting) == 3)
        detector.finish_one(lines)
    shares = [line.processed for line in lines]
    detector.finish_all(cameras)
    assert max(shares) - min(shares) <= 1
