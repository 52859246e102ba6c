from __future__ import annotations

import numpy as np
import pytest

from edgemass.config.motion import MotionConfig
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image
from edgemass.pipeline.selection import Selection
from edgemass.scene.motion import MotionGate

NS = 1_000_000_000


def frame(at_s: float, value: int = 0) -> Frame:
    def load() -> Image:
        if value < 0:
            raise SourceError("damaged")
        return np.full((36, 64, 3), value, np.uint8)

    at_ns = round(at_s * NS)
    return Frame(load, width=64, height=36, mono_ns=at_ns, time_ns=at_ns, arrived_ns=at_ns)


def ran(selection: Selection, times: list[float]) -> list[float]:
    """The times of the frames that are run where each can be run at once."""
    kept = []
    for at_s in times:
        if selection.refuses(frame(at_s)) is None:
            selection.ran(frame(at_s))
            kept.append(at_s)
    return kept


def test_without_a_limit_every_frame_is_run() -> None:
    assert ran(Selection(), [1.0, 1.0, 1.1, 0.5]) == [1.0, 1.0, 1.1, 0.5]


@pytest.mark.parametrize(("fps", "max_fps"), [(30, 5), (30, 20), (25, 10), (10, 25), (29.97, 15)])
def test_max_fps_is_kept_on_average_at_any_rate_of_the_camera(fps: float, max_fps: float) -> None:
    kept = ran(Selection(max_fps=max_fps), [number / fps for number in range(1000)])
    assert len(kept) == pytest.approx(1000 / fps * min(fps, max_fps), rel=0.01)


def test_a_camera_that_is_held_back_runs_fewer_and_then_as_many_as_before() -> None:
    selection = Selection(max_fps=20)
    seconds = [0.0, 10.0, 20.0, 30.0]
    rates = []
    for start_s, held in zip(seconds, (None, 5.0, 50.0, None), strict=True):
        selection.hold(held)
        rates.append(len(ran(selection, [start_s + number / 60 for number in range(600)])) / 10)
    assert rates == pytest.approx([20, 5, 20, 20], rel=0.02)


def test_a_camera_without_max_fps_can_be_held_back_too() -> None:
    selection = Selection()
    selection.hold(2)
    assert len(ran(selection, [number / 30 for number in range(300)])) == 20
    selection.hold(None)
    assert len(ran(selection, [10 + number / 30 for number in range(300)])) == 300


def test_the_end_of_a_long_pause_is_not_waited_for() -> None:
    selection = Selection(max_fps=10)
    selection.hold(0.01)
    assert ran(selection, [0.0, 1.0, 50.0]) == [0.0]
    selection.hold(None)
    assert ran(selection, [50.1]) == [50.1]


def test_a_frame_that_had_to_wait_gives_its_time_to_the_newer_one_that_is_run() -> None:
    selection = Selection(max_fps=5)
    assert selection.refuses(frame(1.0)) is None
    selection.ran(frame(2.0))  # it waited for a second, and its successors with it
    assert selection.refuses(frame(2.1)) == "frames_skipped"
    assert selection.refuses(frame(2.2)) is None


def test_a_still_frame_is_refused_and_uses_up_its_time() -> None:
    selection = Selection(max_fps=1, gate=MotionGate(MotionConfig(linger_s=0)))
    assert selection.refuses(frame(1)) is None
    selection.ran(frame(1))
    assert [selection.refuses(frame(at_s)) for at_s in (2, 2.5, 3)] == [
        "frames_still",
        "frames_skipped",
        "frames_still",
    ]
    assert selection.refuses(frame(4, value=200)) is None


def test_frames_that_are_skipped_are_not_even_looked_at() -> None:
    selection = Selection(max_fps=1, gate=MotionGate(MotionConfig()))
    selection.ran(frame(1))
    assert selection.refuses(frame(1.5, value=-1)) == "frames_skipped"


def test_a_picture_that_the_gate_cannot_see_is_broken() -> None:
    assert Selection(gate=MotionGate(MotionConfig())).refuses(frame(1, value=-1)) == "frames_broken"


def test_after_a_gap_the_next_frame_passes() -> None:
    selection = Selection(gate=MotionGate(MotionConfig(linger_s=0)))
    assert [selection.refuses(frame(at_s)) for at_s in (1, 2)] == [None, "frames_still"]
    selection.forget()
    assert selection.refuses(frame(3)) is None
