from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass.scene.visits import Visit
from tests.simulators.walkers import NS


def seen(marks: str, inertia: int = 3) -> Visit:
    """One frame a second: # inside, . outside, a blank where it was not seen."""
    visit = Visit()
    for second, mark in enumerate(marks):
        if mark != " ":
            visit.see(inside=mark == "#", inertia=inertia, mono_ns=second * NS)
    return visit


def test_a_stay_is_believed_after_its_inertia_and_counts_from_its_first_frame() -> None:
    assert not seen("##").inside
    assert seen(".###").since_ns == 1 * NS
    assert seen(".###").dwell_s(10 * NS) == 9


def test_an_absence_is_believed_after_its_inertia_and_counts_from_its_first_frame() -> None:
    assert seen("###..").inside
    left = seen("###....")
    assert not left.inside
    assert left.dwell_s(60 * NS) == 3


def test_a_wobble_at_the_border_neither_begins_nor_ends_a_stay() -> None:
    assert not seen("#.##.#.##.##").inside
    assert seen("###.#..#.#..#").inside


def test_frames_in_which_it_is_not_seen_say_nothing() -> None:
    assert seen("# #   #").inside
    assert seen("###         ").inside


def test_stays_add_up() -> None:
    assert seen("####....###").dwell_s(11 * NS) == 4 + 3


@settings(max_examples=200)
@given(st.text("#. ", max_size=60), st.integers(1, 5))
def test_dwell_is_never_negative_nor_longer_than_the_time_there_was(marks: str, inertia: int) -> None:
    visit = seen(marks, inertia)
    assert 0 <= visit.dwell_s(len(marks) * NS) <= len(marks)


def test_what_the_camera_was_away_for_belongs_to_one_stay() -> None:
    visit = seen("####")
    visit.missed_ns = 60 * NS
    for second in (5, 6, 7):
        visit.see(inside=False, inertia=3, mono_ns=second * NS)
    assert not visit.inside
    for second in (8, 9, 10):
        visit.see(inside=True, inertia=3, mono_ns=second * NS)
    assert visit.missed_ns == 0
