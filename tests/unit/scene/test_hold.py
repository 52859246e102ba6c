from __future__ import annotations

from edgemass.config.integrity import Cause
from edgemass.scene._hold import Hold
from tests.simulators.manual_clock import NS


class Watched:
    """A hold that sees a look every half second."""

    def __init__(self, *, confirm_s: float = 3.0, recover_s: float = 3.0) -> None:
        self.hold = Hold(confirm_s=confirm_s, recover_s=recover_s)
        self.second = 0.0

    def see(self, *causes: Cause | None, every_s: float = 0.5) -> str:
        """What is told after these looks."""
        for cause in causes:
            self.second += every_s
            self.hold.see(cause, every_s, round(self.second * NS))
        return self.hold.cause


def _times(cause: Cause | None, times: int) -> list[Cause | None]:
    return [cause] * times


def test_a_cause_is_told_when_it_has_held_for_long_enough_and_from_when_it_began() -> None:
    watched = Watched()
    assert watched.see(None, None, *_times("covered", 6)) == ""
    assert watched.see("covered") == "covered"
    assert watched.hold.since_ns == 1.5 * NS


def test_the_time_before_the_first_bad_look_does_not_count() -> None:
    watched = Watched()
    assert watched.see(None, "covered", every_s=60) == ""
    assert watched.see("covered", "covered") == ""


def test_looks_that_are_far_apart_must_still_be_three() -> None:
    watched = Watched()
    assert watched.see("black", "black", every_s=60) == ""
    assert watched.see("black", every_s=60) == "black"


def test_one_bad_look_now_and_then_is_never_told() -> None:
    watched = Watched()
    assert {watched.see("blurred", None) for _ in range(200)} == {""}
    assert watched.see(None) == ""
    assert not watched.hold.suspicious


def test_what_most_looks_speak_for_is_told_whatever_the_last_one_says() -> None:
    assert Watched().see(*_times("moved", 6), "blurred") == "moved"


def test_what_was_suspected_before_a_good_while_has_no_vote() -> None:
    watched = Watched()
    watched.see(*_times("blurred", 4), *_times(None, 6))
    assert not watched.hold.suspicious
    assert watched.see(*_times("moved", 7)) == "moved"


def test_a_frozen_picture_has_been_waited_for_already() -> None:
    assert Watched().see("frozen") == "frozen"


def test_it_is_over_after_good_looks_for_long_enough_in_a_row() -> None:
    watched = Watched()
    watched.see(*_times("covered", 7))
    assert watched.see(*_times(None, 5), "covered", *_times(None, 5)) == "covered"
    assert watched.see(None) == ""
    assert watched.hold.since_ns == round(watched.second * NS)


def test_another_cause_must_hold_too_before_it_takes_the_place_of_the_first() -> None:
    watched = Watched()
    watched.see(*_times("blurred", 7))
    began_ns = watched.hold.since_ns
    assert watched.see("covered", "blurred", *_times("covered", 6)) == "blurred"
    assert watched.see("covered") == "covered"
    assert watched.hold.since_ns == began_ns, "it is one outage"


def test_while_something_is_suspected_or_told_it_is_suspicious() -> None:
    watched = Watched()
    before = watched.hold.suspicious
    watched.see("covered")
    assert (before, watched.hold.suspicious) == (False, True)
    watched.see(*_times("covered", 6))
    assert watched.hold.suspicious
    watched.hold.clear(NS)
    assert watched.see() == ""
