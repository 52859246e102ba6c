from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from edgemass.counters import Counters
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image
from edgemass.imaging.orient import Orientation
from edgemass.messages import CameraState
from edgemass.pipeline.capture import MAX_STUCK, STEADY_S, Capture
from tests.simulators.manual_clock import PATIENCE_S, ManualClock
from tests.simulators.scripted_camera import Fail, Give, Hang, ScriptedCamera, Step, Wait, fail

HUNG_S = 8.0  # more than STEADY_S, so that a test can let that pass between two frames
PAUSES = 0.5, 1.0, 2.0, 4.0


class Running:
    """A capture of a scripted camera on a clock that stands still; `draw` makes every pause its ceiling."""

    def __init__(self, *openings: list[Step], live: bool = True, realtime: bool | None = None, **more: object) -> None:
        self.clock = ManualClock()
        self.source = ScriptedCamera(self.clock, openings, live=live, realtime=realtime, read_timeout_s=HUNG_S)
        self.counters = Counters()
        self.states: list[CameraState] = []
        self.capture = Capture(
            "door",
            self.source,
            clock=self.clock,
            counters=self.counters,
            on_state=self.states.append,
            draw=lambda: 1.0,
            **more,  # type: ignore[arg-type]  # orientation
        )
        self.capture.start()

    def frame(self) -> Frame:
        frame = self.capture.slot.get(3600.0)
        assert frame is not None
        return frame

    def value(self) -> int:
        """Number of the next frame."""
        return int(self.frame().image[0, 0, 0])

    def until(self, true: Callable[[], object]) -> None:
        """Wait for other threads, not for time: the clock stands still."""
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < give_up, f"in vain; states {self.states}"
            time.sleep(0.0005)

    def told(self, *states: str) -> None:
        self.until(lambda: len(self.states) >= len(states))
        assert tuple(state.state for state in self.states) == states

    def abandon(self) -> None:
        """Let a read hang past the deadline."""
        self.until(self.source.hanging.is_set)
        threads = len(self.capture._stuck)
        self.clock.advance(HUNG_S + 0.1)
        self.until(lambda: len(self.capture._stuck) > threads)
        self.source.hanging.clear()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*openings: list[Step], **more: object) -> Running:
        started.append(Running(*openings, **more))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for running in started:
        running.source.release()
        assert running.capture.stop(PATIENCE_S)


def test_every_frame_of_a_file_is_given_and_its_end_closes_the_slot(run: Callable[..., Running]) -> None:
    camera = run([Give(20)], live=False)
    values = []
    while not camera.capture.slot.closed:
        frame = camera.capture.slot.get(3600.0)
        if frame is not None:
            values.append(int(frame.image[0, 0, 0]))
    assert values == list(range(1, 21))
    assert camera.counters.snapshot() == {"frames_captured": 20}
    assert camera.capture.error is None
    camera.told("online", "offline")
    assert camera.source.opened == 1


@pytest.mark.parametrize(("realtime", "ahead", "converted"), [(False, True, 2), (False, False, 0), (True, True, 0)])
def test_frames_of_a_file_are_converted_before_they_are_taken_if_asked(
    realtime: bool, ahead: bool, converted: int, run: Callable[..., Running]
) -> None:
    conversions = []

    class Noting(Orientation):
        changes = True

        def apply(self, image: Image) -> Image:
            conversions.append(image[0, 0, 0])
            return image

    camera = run([Give(2), Wait()], live=False, realtime=realtime, orientation=Noting(), convert_ahead=ahead)
    camera.until(lambda: camera.counters["frames_captured"] == 2 and len(conversions) >= converted)
    assert len(conversions) == converted


def test_a_file_that_breaks_gives_its_frames_and_then_the_error(run: Callable[..., Running]) -> None:
    camera = run([Give(2), fail("the disk is gone")], live=False)
    assert [camera.value(), camera.value()] == [1, 2]
    assert camera.capture.slot.get(3600.0) is None
    assert str(camera.capture.error) == "the disk is gone"
    assert camera.capture.slot.closed


def test_a_file_that_hangs_ends_with_an_error(run: Callable[..., Running]) -> None:
    camera = run([Hang()], live=False)
    camera.abandon()
    assert camera.capture.slot.get(3600.0) is None
    assert "no frame for 8 s" in str(camera.capture.error)


def test_a_file_may_wait_for_a_slow_taker_without_being_taken_for_broken(run: Callable[..., Running]) -> None:
    camera = run([Give(3)], live=False)
    camera.until(lambda: camera.counters["frames_captured"] == 2)
    camera.clock.advance(100 * HUNG_S)
    assert [camera.value() for _ in range(3)] == [1, 2, 3]
    assert camera.capture.error is None


def test_of_a_camera_only_the_newest_frame_counts(run: Callable[..., Running]) -> None:
    camera = run([Give(10), Wait(), Give(1), Hang()])
    camera.until(lambda: camera.counters["frames_captured"] == 10)
    assert camera.value() == 10
    assert camera.counters["frames_dropped"] == 9
    camera.source.go_on()
    assert camera.value() == 11


def test_a_file_that_is_played_drops_like_a_camera_and_ends_like_a_file(run: Callable[..., Running]) -> None:
    camera = run([Give(10)], live=False, realtime=True)
    camera.told("online", "offline")
    assert camera.value() == 10
    assert camera.counters["frames_dropped"] == 9
    assert camera.capture.slot.closed
    assert camera.source.opened == 1


def test_a_camera_that_breaks_is_opened_again_after_pauses_that_double(run: Callable[..., Running]) -> None:
    camera = run(*[[fail("refused")]] * 6, [Give(1), Hang()])
    for pause in (0.5, 1.0, 2.0, 4.0, 4.0, 4.0):
        camera.clock.pass_wait(pause)
    assert camera.value() == 1
    camera.told("offline", "online")
    assert camera.counters["reconnects"] == 1


def test_after_frames_have_flowed_the_pauses_begin_anew(run: Callable[..., Running]) -> None:
    flow: list[Step] = [Give(1), Wait(), Give(1), fail("cable")]
    camera = run([fail("a")], [fail("b")], flow, [Give(1), Hang()])
    camera.clock.pass_wait(0.5)
    camera.clock.pass_wait(1.0)
    assert camera.value() == 1
    camera.clock.advance(STEADY_S)
    camera.source.go_on()
    camera.clock.pass_wait(0.5)
    camera.told("offline", "online", "offline", "online")


def test_a_camera_that_breaks_after_each_first_frame_is_not_tried_ever_faster(run: Callable[..., Running]) -> None:
    camera = run(*[[Give(1), fail("loose cable")]] * 4, [Hang()])
    for pause in PAUSES:
        camera.clock.pass_wait(pause)
    assert camera.counters["frames_captured"] == 4


def test_a_stream_that_ends_is_opened_again(run: Callable[..., Running]) -> None:
    camera = run([Give(1)], [Give(1), Hang()])
    assert camera.value() == 1
    camera.told("online", "offline")
    assert camera.states[-1].reason == "scripted ended the stream"
    camera.clock.pass_wait(0.5)
    assert camera.value() == 2
    camera.told("online", "offline", "online")


def test_a_read_that_hangs_is_abandoned_and_the_camera_opened_anew(run: Callable[..., Running]) -> None:
    camera = run([Give(1), Hang(), Give(3)], [Give(1), Wait(), Give(1), Hang()])
    assert camera.value() == 1
    camera.abandon()
    camera.told("online", "offline")
    assert "hangs: no frame for 8 s" in camera.states[-1].reason
    camera.clock.pass_wait(0.5)
    assert camera.value() == 2


def test_frames_of_an_abandoned_read_count_as_nothing(run: Callable[..., Running]) -> None:
    camera = run([Hang(), Give(3)], [Give(1), Wait(), Give(1), Wait()])
    camera.abandon()
    (hung,) = camera.capture._stuck
    camera.clock.pass_wait(0.5)
    assert camera.value() == 1
    camera.source.release()
    hung.join(PATIENCE_S)  # it came back with frame 2, which nobody wants
    assert not hung.is_alive()
    camera.source.go_on()
    assert camera.value() == 3
    assert camera.counters["frames_captured"] == 2


def test_after_three_reads_that_hang_it_gives_up_and_says_why(
    run: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    camera = run(*[[Hang()]] * (MAX_STUCK + 1))
    for number in range(MAX_STUCK):
        assert camera.capture.gave_up is None
        camera.abandon()
        camera.clock.pass_wait(PAUSES[number])
    camera.until(lambda: camera.capture.slot.closed)
    assert camera.capture.gave_up == "scripted hangs: 3 reads did not come back"
    assert camera.source.opened == MAX_STUCK
    assert [record.levelno for record in caplog.records if "did not come back" in record.getMessage()] == [
        logging.ERROR
    ]


def test_hung_reads_that_have_ended_since_are_forgiven(run: Callable[..., Running]) -> None:
    camera = run([Hang()], [Hang()], [Hang()], [Give(1), Wait()])
    for number in range(MAX_STUCK - 1):
        camera.abandon()
        camera.clock.pass_wait(PAUSES[number])
    camera.until(camera.source.hanging.is_set)
    hung = list(camera.capture._stuck)
    camera.source.release()
    for thread in hung:
        thread.join(PATIENCE_S)
    camera.clock.pass_wait(PAUSES[MAX_STUCK - 1])
    assert camera.frame() is not None
    assert camera.capture.gave_up is None


AGAIN = [f" ({times} times in a row)" for times in (2, 4, 8)]


def test_an_outage_is_logged_when_it_starts_and_when_it_ends(
    run: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        camera = run([Give(1), fail("cable")], *[[fail("refused")]] * 4, [Give(1), Hang()])
        for pause in (*PAUSES, PAUSES[-1]):
            camera.clock.pass_wait(pause)
        camera.told("online", "offline", "online")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "camera online"),
        ("WARNING", "camera offline, trying again: cable"),
        ("WARNING", "camera still offline, trying again: refused"),
        ("INFO", "camera is back"),
    ]
    assert [state.reason for state in camera.states] == ["", "cable", ""]
    assert all(state.since.startswith("2026-11-22T02:00:") for state in camera.states)


def test_a_camera_that_comes_and_goes_for_ever_is_logged_ever_less(
    run: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    camera = run(*[[Give(1), fail("cable")]] * 9, [Give(1), Hang()])
    for pause in (*PAUSES, *[PAUSES[-1]] * (9 - len(PAUSES))):
        camera.clock.pass_wait(pause)
    camera.told("online", *["offline", "online"] * 9)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"camera offline{again}, trying again: cable" for again in ("", *AGAIN)]
    assert camera.capture.reason == ""


def test_a_bug_in_a_source_is_logged_with_its_trace_and_tried_again(
    run: Callable[..., Running], caplog: pytest.LogCaptureFixture
) -> None:
    camera = run([Fail(ZeroDivisionError("oops"))], [Give(1), Hang()])
    camera.clock.pass_wait(0.5)
    assert camera.value() == 1
    assert [record.exc_info is not None for record in caplog.records if "the source failed" in record.getMessage()] == [
        True
    ]


def test_frames_are_cropped_and_rotated_when_they_are_looked_at(run: Callable[..., Running]) -> None:
    turned = Orientation(90, (0, 0, 0.5, 1))
    camera = run([Give(1, width=8, height=6), Give(1, width=4, height=2)], live=False, orientation=turned)
    first, second = camera.frame(), camera.frame()
    assert [(frame.width, frame.height) for frame in (first, second)] == [(6, 4), (2, 2)]
    assert [frame.image.shape for frame in (first, second)] == [(4, 6, 3), (2, 2, 3)]


@pytest.mark.parametrize("step", [Wait(), Hang(), Give(1), fail("refused")])
def test_stop_comes_back_in_time_whatever_the_source_does(step: Step) -> None:
    camera = Running([Give(1), step])
    camera.until(lambda: camera.counters["frames_captured"] >= 1)
    if isinstance(step, Hang):
        camera.until(camera.source.hanging.is_set)
    started = time.monotonic()
    ended = camera.capture.stop(0.5)
    assert time.monotonic() - started < 1.5
    assert ended is not isinstance(step, Hang)
    assert camera.capture.slot.get(0.0) is None or camera.capture.slot.closed
    camera.source.release()


def test_a_stopped_capture_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    for _ in range(5):
        camera = Running([Give(3), Wait()])
        camera.frame()
        assert camera.capture.stop(PATIENCE_S)
    assert set(threading.enumerate()) <= before


def test_stop_before_start_is_fine() -> None:
    clock = ManualClock()
    capture = Capture("door", ScriptedCamera(clock, []), clock=clock, counters=Counters())
    assert capture.stop()
    assert capture.slot.closed


def test_a_source_error_is_the_only_kind_a_reader_of_the_error_must_know(run: Callable[..., Running]) -> None:
    camera = run([Fail(ZeroDivisionError("oops"))], live=False)
    assert camera.capture.slot.get(3600.0) is None
    assert isinstance(camera.capture.error, SourceError)
