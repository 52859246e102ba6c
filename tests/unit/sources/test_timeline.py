from __future__ import annotations

import itertools
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgemass.frame import Frame
from edgemass.sources._timeline import Timeline, ready
from tests.simulators.manual_clock import START_MONO_NS, START_UNIX_NS, ManualClock

PIXELS = ready(np.zeros((2, 3, 3), np.uint8))
presentation_times = st.lists(st.one_of(st.none(), st.integers(-(10**15), 10**15)), min_size=1, max_size=30)


def stamp(times: list[int | None], step_ns: int = 40_000_000) -> list[Frame]:
    timeline = Timeline(ManualClock(), threading.Event(), step_ns=step_ns, realtime=False)
    frames = [timeline.frame(PIXELS, width=3, height=2, presentation_ns=time) for time in times]
    return [frame for frame in frames if frame is not None]


@given(presentation_times)
def test_times_strictly_increase_whatever_the_file_says(times: list[int | None]) -> None:
    frames = stamp(times)
    assert len(frames) == len(times)
    assert all(later.mono_ns > earlier.mono_ns for earlier, later in itertools.pairwise(frames))


@given(presentation_times)
def test_both_clocks_tell_the_same_instant(times: list[int | None]) -> None:
    assert {frame.mono_ns - frame.time_ns for frame in stamp(times)} == {START_MONO_NS - START_UNIX_NS}


@given(st.lists(st.integers(0, 10**15), min_size=2, max_size=30, unique=True).map(sorted))
def test_distances_of_a_sound_file_are_kept(times: list[int]) -> None:
    frames = stamp(list(times))
    assert [frame.mono_ns - frames[0].mono_ns for frame in frames] == [time - times[0] for time in times]


def test_the_first_frame_is_now_wherever_the_file_begins() -> None:
    assert stamp([5_000_000_000])[0].mono_ns == START_MONO_NS
