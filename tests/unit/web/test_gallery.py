"""Views cost nothing while nobody looks, and never hold up a camera."""

from __future__ import annotations

import threading
import time

import pytest

from edgemass.clock import SystemClock
from edgemass.frame import Frame
from edgemass.messages import FrameMessage
from edgemass.web.gallery import Gallery, View
from tests.simulators.device_page import Line, draw
from tests.simulators.manual_clock import ManualClock

PATIENCE_S = 10.0


class Woken:
    """Counts wakes."""

    def __init__(self) -> None:
        self.times = 0
        self._lock = threading.Condition()

    def __call__(self) -> None:
        with self._lock:
            self.times += 1
            self._lock.notify_all()

    def wait(self, times: int = 1) -> None:
        with self._lock:
            assert self._lock.wait_for(lambda: self.times >= times, PATIENCE_S)


def gallery_of(line: Line, *, viewers: int = 2) -> Gallery:
    gallery = Gallery(viewers=viewers)
    gallery.show([line.camera], {line.camera: View(line, draw, fps=1000.0, clock=SystemClock())}, {})
    return gallery


def view_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("view-")]


def wait_for_no_threads() -> None:
    for thread in view_threads():
        thread.join(PATIENCE_S)
    assert not view_threads()


def test_nobody_watches_the_camera_until_somebody_looks_and_after_the_last_has_left() -> None:
    line = Line()
    gallery = gallery_of(line)
    assert not line.watchers
    one, other = gallery.seat("door", Woken()), gallery.seat("door", Woken())
    assert one is not None
    assert other is not None
    assert len(line.watchers) == 1, "all viewers share one drawing"
    one.leave()
    assert len(line.watchers) == 1
    other.leave()
    assert not line.watchers
    assert gallery.viewers == 0
    wait_for_no_threads()


def test_a_viewer_gets_the_newest_picture_and_each_once() -> None:
    line, woken = Line(), Woken()
    seat = gallery_of(line).seat("door", woken)
    assert seat is not None
    assert seat.after(0) is None
    line.give(seq=7)
    woken.wait()
    picture = seat.after(0)
    assert picture is not None
    assert picture.jpeg == b"picture 7"
    assert seat.after(picture.number) is None
    seat.leave()


def test_no_picture_is_kept_when_the_last_viewer_has_left() -> None:
    line, woken = Line(), Woken()
    gallery = gallery_of(line)
    seat = gallery.seat("door", woken)
    assert seat is not None
    line.give()
    woken.wait()
    seat.leave()
    again = gallery.seat("door", Woken())
    assert again is not None
    assert again.after(0) is None
    again.leave()


def test_there_are_only_so_many_viewers_of_all_cameras_together() -> None:
    gallery = gallery_of(Line(), viewers=1)
    seat = gallery.seat("door", Woken())
    assert seat is not None
    assert gallery.seat("door", Woken()) is None
    seat.leave()
    again = gallery.seat("door", Woken())
    assert again is not None
    again.leave()


def test_a_camera_without_a_view_has_no_seat() -> None:
    gallery = Gallery(viewers=1)
    gallery.show(["hall"], {}, {"hall": "counts only"})
    with pytest.raises(KeyError):
        gallery.seat("hall", Woken())
    assert gallery.viewers == 0


def test_drawing_that_hangs_does_not_hold_the_camera_and_only_the_newest_frame_waits() -> None:
    drawing, go_on = threading.Event(), threading.Event()
    drawn: list[int] = []

    def slow(message: FrameMessage, frame: Frame) -> bytes:  # noqa: ARG001 (as the artist's)
        drawn.append(message.seq)
        drawing.set()
        assert go_on.wait(PATIENCE_S)
        return b"x"

    line, woken = Line(), Woken()
    view = View(line, slow, fps=1000.0, clock=SystemClock())
    view.join(woken)
    line.give(seq=1)
    assert drawing.wait(PATIENCE_S)
    for seq in range(2, 500):  # returns at once, though nothing is drawn meanwhile
        line.give(seq=seq)
    go_on.set()
    woken.wait(2)
    view.leave(woken)
    assert drawn == [1, 499]


def test_no_more_pictures_are_made_than_are_asked_for() -> None:
    clock, line, woken = ManualClock(), Line(), Woken()
    view = View(line, draw, fps=4.0, clock=clock)
    view.join(woken)
    line.give(seq=1)
    woken.wait(1)
    line.give(seq=2)
    clock.pass_wait(0.25)
    woken.wait(2)
    view.leave(woken)
    clock.advance(10)
    wait_for_no_threads()
    assert clock.waits.count(0.25) == 2, "behind each picture"


def test_a_picture_that_cannot_be_drawn_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    def fails_first(message: FrameMessage, frame: Frame) -> bytes:
        if message.seq < 3:
            failed.release()
            raise ValueError("no picture")
        return draw(message, frame)

    failed = threading.Semaphore(0)
    line, woken = Line(), Woken()
    view = View(line, fails_first, fps=1000.0, clock=SystemClock())
    view.join(woken)
    for seq in (1, 2):
        line.give(seq=seq)
        assert failed.acquire(timeout=PATIENCE_S)
    line.give(seq=3)
    woken.wait()
    view.leave(woken)
    assert len(caplog.records) == 1, "trouble is told when it starts"


def test_a_gallery_that_changes_or_closes_shows_everybody_out() -> None:
    line, woken = Line(), Woken()
    gallery = gallery_of(line)
    seat = gallery.seat("door", woken)
    assert seat is not None
    gallery.show(["door"], {}, {"door": "the camera is switched off"})
    woken.wait()
    assert seat.over
    seat.leave()
    gallery.close()
    assert gallery.hidden == {"door": "the camera is switched off"}


def test_a_closed_gallery_lets_nobody_in() -> None:
    gallery = gallery_of(Line())
    gallery.close()
    assert gallery.seat("door", Woken()) is None


def test_viewers_that_come_and_go_at_once_leave_nothing_behind() -> None:
    line = Line()
    gallery = gallery_of(line, viewers=100)
    ends = time.monotonic() + PATIENCE_S

    def come_and_go() -> None:
        for _ in range(50):
            assert time.monotonic() < ends
            seat = gallery.seat("door", Woken())
            assert seat is not None
            line.give()
            seat.leave()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert gallery.viewers == 0
    assert not line.watchers
    wait_for_no_threads()
