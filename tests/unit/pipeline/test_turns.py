from __future__ import annotations

import threading
from collections.abc import Callable

from edgemass.clock import SystemClock
from edgemass.pipeline.turns import Place, Turns
from tests.simulators.manual_clock import PATIENCE_S, ManualClock


class Waiter:
    """A thread that waits for one turn of a place; `got` says that it has it."""

    def __init__(self, turns: Turns, place: Place) -> None:
        self.got = threading.Event()
        thread = threading.Thread(target=self._wait, args=(place,), daemon=True)
        thread.start()
        while place not in turns._waiting and thread.is_alive():
            thread.join(0.0005)

    def _wait(self, place: Place) -> None:
        if place.take(3600.0):
            self.got.set()


def test_with_room_nobody_waits_and_without_one_waits_no_longer_than_it_was_told() -> None:
    clock = ManualClock(jump=True)
    turns = Turns(2, clock)
    first, second, third = (turns.place() for _ in range(3))
    assert first.take(0.0)
    assert second.take(0.0)
    assert not third.take(2.5)
    assert clock.waits == [2.5]
    first.give_back()
    assert third.take(0.0)


def test_a_turn_goes_to_the_camera_that_was_served_least_recently() -> None:
    turns = Turns(1, ManualClock())
    places = {name: turns.place() for name in ("busy", "other", "quiet")}
    assert places["busy"].take(0.0)
    waiters = {name: Waiter(turns, places[name]) for name in ("other", "quiet")}
    order = []
    holder = "busy"
    for _ in range(9):  # each of them asks again as soon as it has had its turn
        places[holder].give_back()
        waiters.pop(holder, None)
        given = next(name for name, waiter in waiters.items() if waiter.got.wait(0) or places[name].granted.is_set())
        waiters[holder] = Waiter(turns, places[holder])
        holder = given
        order.append(given)
    assert order == ["other", "quiet", "busy"] * 3


def test_a_camera_that_asks_seldom_is_the_next_whenever_it_asks() -> None:
    turns = Turns(1, ManualClock())
    quiet, *busy = (turns.place() for _ in range(4))
    assert quiet.take(0.0)
    quiet.give_back()
    for place in busy:  # they have all been served since
        assert place.take(0.0)
        place.give_back()
    assert busy[0].take(0.0)
    waiting = [Waiter(turns, place) for place in busy[1:]]
    last = Waiter(turns, quiet)
    busy[0].give_back()
    assert last.got.wait(PATIENCE_S)
    assert not any(waiter.got.is_set() for waiter in waiting)


def test_a_camera_that_gave_up_waiting_is_given_nothing() -> None:
    turns = Turns(1, ManualClock(jump=True))
    first, second, third = (turns.place() for _ in range(3))
    assert first.take(0.0)
    assert not second.take(1.0)
    first.give_back()
    assert third.take(0.0)


def test_a_turn_that_comes_at_the_deadline_is_not_lost() -> None:
    class LateClock(ManualClock):
        at_deadline: Callable[[], None]

        def wait(self, event: threading.Event, timeout_s: float) -> bool:  # noqa: ARG002
            self.at_deadline()
            return False

    clock = LateClock()
    turns = Turns(1, clock)
    first, second, third = (turns.place() for _ in range(3))
    assert first.take(0.0)
    clock.at_deadline = first.give_back
    assert second.take(1.0)
    clock.at_deadline = lambda: None
    assert not third.take(0.0)
    second.give_back()
    assert third.take(0.0)


def test_never_more_at_once_than_there_are_turns_and_each_comes_to_its_own() -> None:
    turns = Turns(2, SystemClock())
    lock = threading.Lock()
    holding, most, served = 0, 0, [0] * 8

    def work(number: int) -> None:
        nonlocal holding, most
        place = turns.place()
        for _ in range(100):
            assert place.take(PATIENCE_S)
            with lock:
                holding += 1
                most = max(most, holding)
                served[number] += 1
            with lock:
                holding -= 1
            place.give_back()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert served == [100] * 8
    assert most <= 2
    assert turns._free == 2
