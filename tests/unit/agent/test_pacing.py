"""What a camera is left of its frames."""

from __future__ import annotations

import pytest

from edgemass.agent.pacing import HALF_LIFE_S, LEAST_FPS, Pace


def seen(pace: Pace, fps: float, seconds: float, *, start_s: float = 0.0, frames: float = 0.0) -> float:
    """Looks every 2 s; returns the frames at the end."""
    for index in range(round(seconds / 2) + 1):
        pace.see(round(frames + fps * 2 * index), start_s + 2 * index, held=False)
    return frames + fps * seconds


def test_nothing_is_held_back_at_a_ratio_of_one() -> None:
    pace = Pace()
    seen(pace, 10, 60)
    assert pace.limit(1.0, None) is None
    assert pace.limit(1.0, 5.0) is None


@pytest.mark.parametrize(("fps", "max_fps"), [(8.0, None), (8.0, 30.0), (5.0, 5.0)])
def test_the_share_is_of_what_is_really_run(fps: float, max_fps: float | None) -> None:
    """Of 30 frames a second that are asked for, a model may manage 8: then half are 4."""
    pace = Pace()
    seen(pace, fps, 60)
    assert pace.limit(0.5, max_fps) == pytest.approx(fps / 2, rel=0.05)


def test_what_is_run_while_held_back_says_nothing() -> None:
    pace = Pace()
    frames = seen(pace, 10, 60)
    for index in range(100):
        pace.see(round(frames + index), 62 + 2 * index, held=True)
    assert pace.limit(0.25, None) == pytest.approx(2.5, rel=0.05)


def test_a_still_scene_does_not_make_it_forget_what_motion_takes() -> None:
    pace = Pace()
    frames = seen(pace, 10, 60)
    seen(pace, 0.2, 120, start_s=60, frames=frames)
    assert pace.usual_fps > 9
    seen(pace, 0.2, 2 * HALF_LIFE_S, start_s=180, frames=frames + 24)
    assert pace.usual_fps < 3


def test_a_camera_that_was_still_all_along_is_left_a_frame_a_second() -> None:
    pace = Pace()
    seen(pace, 0.2, 60)
    assert pace.limit(0.5, None) == LEAST_FPS / 2
    assert pace.limit(0.5, 0.2) == pytest.approx(0.1, rel=0.1)


def test_before_anything_is_seen_the_configuration_counts() -> None:
    assert Pace().limit(0.5, 10) == 5
    assert Pace().limit(0.5, None) == LEAST_FPS / 2


def test_a_camera_that_counts_anew_is_seen_anew() -> None:
    pace = Pace()
    seen(pace, 10, 60)
    pace.see(0, 62, held=False)
    seen(pace, 4, 30, start_s=64)
    assert 4 <= pace.usual_fps <= 10
