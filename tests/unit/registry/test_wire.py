"""The pace of one request: what counts as too slow, and what does not."""

from __future__ import annotations

import httpcore
import pytest

from edgemass.registry.wire import Pace
from tests.simulators.manual_clock import NS, ManualClock

LIMITLESS = 10**12


class Server(httpcore.NetworkStream):
    """Each read takes its seconds and brings its bytes."""

    def __init__(self, clock: ManualClock, script: list[tuple[float, int]]) -> None:
        self._clock = clock
        self._script = script

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        seconds, size = self._script.pop(0)
        assert timeout is not None
        self._clock.advance(min(seconds, timeout))
        if seconds >= timeout:
            raise httpcore.ReadTimeout
        return bytes(min(size, max_bytes))


def pace(clock: ManualClock, *, bandwidth: float | None = None, total_s: float = 100.0) -> Pace:
    made = Pace(clock, stall_s=10.0, least_bytes_s=100.0, bandwidth_bytes_s=bandwidth)
    made.begin(clock.monotonic_ns() + round(total_s * NS))
    return made


def test_a_drip_is_too_slow_although_it_is_never_silent() -> None:
    clock = ManualClock()
    held, server = pace(clock), Server(clock, [(1.0, 1)] * 20)
    for _ in range(9):
        held.read(server, LIMITLESS, 10.0)
    with pytest.raises(httpcore.ReadTimeout, match=r"only 10 bytes came in 10\.0 s"):
        held.read(server, LIMITLESS, 10.0)


def test_a_speed_just_above_the_least_will_do() -> None:
    clock = ManualClock()
    held, server = pace(clock), Server(clock, [(1.0, 101)] * 90)
    for _ in range(90):
        held.read(server, LIMITLESS, 10.0)
    assert held.received == 90 * 101


def test_time_that_we_need_ourselves_is_not_held_against_the_server() -> None:
    clock = ManualClock()
    held, server = pace(clock), Server(clock, [(0.001, 10)] * 9)
    for _ in range(9):
        held.read(server, LIMITLESS, 10.0)
        clock.advance(9.0)  # as for a slow disk


def test_an_answer_that_was_long_thought_about_is_no_drip() -> None:
    clock = ManualClock()
    held = pace(clock)
    for _ in range(5):
        held.begin(clock.monotonic_ns() + 100 * NS)
        held.read(Server(clock, [(9.0, 50)]), LIMITLESS, 10.0)


def test_the_deadline_ends_a_read_and_says_so() -> None:
    clock = ManualClock()
    held, server = pace(clock, total_s=25.0), Server(clock, [(9.0, 5000)] * 2 + [(9.0, 5000)])
    held.read(server, LIMITLESS, 10.0)
    held.read(server, LIMITLESS, 10.0)
    with pytest.raises(httpcore.ReadTimeout, match="it took too long in all"):
        held.read(server, LIMITLESS, 10.0)
    with pytest.raises(httpcore.ConnectTimeout, match="it took too long in all"):
        held.left_s(5.0, httpcore.ConnectTimeout)


def test_a_bandwidth_holds_over_many_reads_and_is_not_saved_up() -> None:
    clock = ManualClock(jump=True)
    held, server = pace(clock, bandwidth=1000.0), Server(clock, [(0.0, 500)] * 4)
    for _ in range(2):
        held.read(server, LIMITLESS, 10.0)
    assert sum(clock.waits) == pytest.approx(1.0)
    clock.advance(30.0)
    held.read(server, LIMITLESS, 10.0)
    held.read(server, LIMITLESS, 10.0)
    assert sum(clock.waits) == pytest.approx(2.0)
