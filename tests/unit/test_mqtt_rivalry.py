from __future__ import annotations

import pytest

from edgemass.mqtt.rivalry import RIVAL_S, SHORT_S, Rivalry


def lost(rivalry: Rivalry, *lasted_s: float) -> Rivalry:
    for seconds in lasted_s:
        rivalry.ended(closed=True, said=False, lasted_s=seconds)
    return rivalry


def test_a_rival_is_suspected_when_three_connections_in_a_row_are_closed_soon() -> None:
    assert not lost(Rivalry(), 3600, 1, 1).suspected
    assert lost(Rivalry(), 3600, 1, 1, 1).suspected


def test_a_rival_that_waits_as_we_do_stays_suspected() -> None:
    assert lost(Rivalry(), 1, 1, 1, 58, 0.5, 40, 31).suspected


@pytest.mark.parametrize("lasted_s", [SHORT_S, 3600])
def test_connections_that_lasted_begin_anew(lasted_s: float) -> None:
    assert not lost(Rivalry(), 1, 1, lasted_s, 1, 1).suspected


def test_a_broker_that_is_down_between_is_no_rival() -> None:
    rivalry = lost(Rivalry(), 1, 1)
    rivalry.ended(closed=False, said=False, lasted_s=0)
    assert not lost(rivalry, 1).suspected


def test_what_the_broker_says_is_believed_at_once() -> None:
    rivalry = Rivalry()
    rivalry.ended(closed=False, said=True, lasted_s=3600)
    assert rivalry.suspected


def test_a_connection_that_outlasts_the_longest_pause_ends_the_suspicion() -> None:
    rivalry = lost(Rivalry(), 1, 1, 1)
    rivalry.lasts(RIVAL_S)
    assert rivalry.suspected
    rivalry.lasts(RIVAL_S + 1)
    assert not rivalry.suspected
