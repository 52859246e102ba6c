from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemass.pipeline.retry import EARLY_S, is_news, pause_s
from edgemass.sources import rtsp

draws = st.floats(0, 1, exclude_max=True)
OPENING_S = 2.0  # of a camera that is there, key frame included; measured 0.7 to 1.1 s


@given(st.integers(1, 10**6), st.floats(0, 1e7), draws)
def test_a_pause_lies_between_half_a_second_and_half_a_minute(failures: int, outage_s: float, draw: float) -> None:
    assert 0.5 <= pause_s(failures, outage_s, draw) <= 30.0


def test_the_ceiling_doubles_and_the_whole_range_below_it_is_used() -> None:
    ceilings = [pause_s(failures, 0.0, 0.75) / 0.75 for failures in (2, 3, 4, 5, 99)]
    assert ceilings == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert pause_s(1, 0.0, 0.75) == 0.5
    assert [pause_s(99, 0.0, draw) for draw in (0.0, 0.25, 0.5)] == [0.5, 1.0, 2.0]
    assert pause_s(99, EARLY_S + 1, 0.999) > 29


@given(st.integers(1, 10**6), st.floats(0, EARLY_S), draws)
def test_in_the_first_ten_minutes_a_return_is_noticed_within_ten_seconds(
    failures: int, outage_s: float, draw: float
) -> None:
    assert rtsp.SILENCE_S + pause_s(failures, outage_s, draw) + OPENING_S <= 10.0


def test_failures_are_told_ever_less_and_never_no_more() -> None:
    told = [failures for failures in range(1, 400) if is_news(failures)]
    assert told == [1, 2, 4, 8, 16, 32, 64, 128, 192, 256, 320, 384]
