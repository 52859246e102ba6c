from __future__ import annotations

import threading

from edgemass.counters import Counters
from edgemass.pipeline.latest_frame import LatestFrame
from tests.simulators.manual_clock import ManualClock
from tests.simulators.scripted_camera import picture


def slot_on(clock: ManualClock) -> tuple[LatestFrame, Counters]:
    counters = Counters()
    return LatestFrame(clock, counters), counters


def test_the_newest_frame_wins_and_drops_are_counted() -> None:
    clock = ManualClock()
    slot, counters = slot_on(clock)
    frames = [picture(clock, n) for n in range(3)]
    for frame in frames:
        slot.put(frame)
    assert slot.get(0.0) is frames[2]
    assert slot.get(0.0) is None
    assert counters["frames_dropped"] == 2


def test_an_empty_slot_waits_as_long_as_it_was_told() -> None:
    clock = ManualClock(jump=True)
    slot, _ = slot_on(clock)
    before = clock.monotonic_ns()
    assert slot.get(2.5) is None
    assert clock.monotonic_ns() - before == 2_500_000_000


def test_a_frame_that_comes_ends_the_wait() -> None:
    clock = ManualClock()
    slot, _ = slot_on(clock)
    frame = picture(clock, 1)
    threading.Timer(0.02, slot.put, [frame]).start()
    assert slot.get(3600.0) is frame  # time stands still: only the frame can end it


def test_every_frame_of_a_file_is_given_in_order() -> None:
    clock = ManualClock()
    slot, counters = slot_on(clock)
    frames = [picture(clock, n) for n in range(50)]
    taken = []

    def fill() -> None:
        for frame in frames:
            assert slot.put_wait(frame)
        slot.close()

    threading.Thread(target=fill).start()
    while not slot.closed:
        frame = slot.get(3600.0)
        if frame is not None:
            taken.append(frame)
    assert taken == frames
    assert counters["frames_dropped"] == 0


def test_waiting_for_room_is_bounded_and_ends_with_close() -> None:
    clock = ManualClock()
    slot, _ = slot_on(clock)
    assert slot.put_wait(picture(clock, 1))
    assert not slot.put_wait(picture(clock, 2), timeout_s=0.0)
    threading.Timer(0.02, slot.close).start()
    assert not slot.put_wait(picture(clock, 2))


def test_the_last_frame_can_be_taken_after_close() -> None:
    clock = ManualClock()
    slot, _ = slot_on(clock)
    frame = picture(clock, 1)
    slot.put(frame)
    slot.close()
    before = slot.closed
    assert slot.get(3600.0) is frame
    assert (before, slot.closed) == (False, True)
    assert slot.get(3600.0) is None


def test_nothing_gets_into_a_closed_slot() -> None:
    clock = ManualClock()
    slot, counters = slot_on(clock)
    slot.close()
    slot.put(picture(clock, 1))
    assert not slot.put_wait(picture(clock, 2))
    assert slot.get(0.0) is None
    assert counters.snapshot() == {}


def test_a_frame_that_was_looked_at_stays_and_may_be_replaced_by_a_newer_one() -> None:
    clock = ManualClock()
    slot, counters = slot_on(clock)
    old, new = picture(clock, 1), picture(clock, 2)
    slot.put(old)
    assert slot.look(0.0) is old
    assert slot.look(0.0) is old
    slot.put(new)
    assert slot.take() is new
    assert slot.take() is None
    assert counters["frames_dropped"] == 1


def test_only_the_frame_that_was_meant_is_discarded() -> None:
    clock = ManualClock()
    slot, counters = slot_on(clock)
    old, new = picture(clock, 1), picture(clock, 2)
    slot.put(old)
    slot.put(new)
    assert not slot.discard(old)
    assert slot.look(0.0) is new
    assert slot.discard(new)
    assert slot.look(0.0) is None
    assert counters["frames_dropped"] == 1  # the old one, when the new one came


def test_discarding_makes_room_for_the_next_frame_of_a_file() -> None:
    clock = ManualClock()
    slot, _ = slot_on(clock)
    frame = picture(clock, 1)
    slot.put_wait(frame)
    slot.discard(frame)
    assert slot.put_wait(picture(clock, 2), timeout_s=0.0)


def test_a_frame_of_a_file_may_lie_as_long_as_it_takes() -> None:
    clock = ManualClock()
    slot, _ = slot_on(clock)
    frame = picture(clock, 1)
    assert slot.put_wait(frame)
    clock.advance(3600.0)
    assert slot.get(0.0) is frame
