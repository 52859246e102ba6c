"""Whose frame is run next where several cameras share one detector."""

from __future__ import annotations

import os
import threading

from edgemass.clock import Clock


def default_at_once() -> int:
    """2 where there is a second core: one frame runs while the next is prepared; else 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 if cores > 1 else 1


class Turns:
    """Hands out at most `at_once` turns; a turn that is free goes to the waiting camera that was served least recently.

    That is max-min fair: with room for all, nobody waits; without, those that always wait come round one after the
    other, and a camera that asks seldom is the next whenever it asks.
    """

    def __init__(self, at_once: int, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._free = at_once
        self._waiting: list[Place] = []  # in order of arrival, which decides between those that were never served
        self._served = 0

    def place(self) -> Place:
        """A place for one more camera."""
        return Place(self)

    def take(self, place: Place, timeout_s: float) -> bool:
        """See Place."""
        with self._lock:
            if self._free:  # then nobody waits: a turn that is given back goes to a waiting camera at once
                self._free -= 1
                self._serve(place)
                return True
            place.granted.clear()
            self._waiting.append(place)
        self._clock.wait(place.granted, timeout_s)
        with self._lock:
            if place in self._waiting:
                self._waiting.remove(place)
                return False
        return True

    def give_back(self) -> None:
        """See Place."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            place = min(self._waiting, key=lambda waiting: waiting.served)
            self._waiting.remove(place)
            self._serve(place)
            place.granted.set()

    def _serve(self, place: Place) -> None:
        self._served += 1
        place.served = self._served


class Place:
    """One camera's place in the turns; used by one thread.

    served: number of its last turn among those of all cameras; 0 before its first. granted: ends its waiting.
    """

    def __init__(self, turns: Turns) -> None:
        self.served = 0
        self.granted = threading.Event()
        self._turns = turns

    def take(self, timeout_s: float) -> bool:
        """Wait for a turn; False when none came in time, and then it waits no more.

        Asking again loses nothing: the order is that of the last turns, not of asking. What was taken must be given
        back.
        """
        return self._turns.take(self, timeout_s)

    def give_back(self) -> None:
        """End the turn."""
        self._turns.give_back()
