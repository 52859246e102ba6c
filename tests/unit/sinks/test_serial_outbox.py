"""What waits, in which order, and that every document is accounted for; without a port."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from edgemass.counters import Counters
from edgemass.sinks._serial_documents import Body, frame_body
from edgemass.sinks._serial_options import SerialOptions
from edgemass.sinks._serial_outbox import MAX_ANSWERS, MAX_EVENTS, Outbox
from tests.documents import detections
from tests.simulators.manual_clock import ManualClock

HI: Body = {"k": "hi"}


class Bench:
    """An outbox with its clock and counters, on a port that is open."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.counters = Counters()
        made = SerialOptions(path=Path("/dev/ttyUSB0"), **options)
        self.outbox = Outbox(made, self.counters, self.clock)
        self.outbox.opened(HI)
        assert self.take() == HI

    def take(self) -> Body | None:
        line = self.outbox.take()
        if line is None:
            return None
        self.outbox.sent(line)
        return line.body

    def frame(self, *labels: str, camera: str = "door") -> None:
        self.outbox.frame(frame_body(detections(*labels, camera=camera)))


def test_answers_come_before_events_and_those_before_states_and_frames() -> None:
    bench = Bench()
    bench.frame("person")
    bench.outbox.state(("cam", "door"), {"k": "cam"})
    bench.outbox.event({"k": "evt"})
    bench.outbox.answer({"k": "ans"})
    assert [(bench.take() or {}).get("k") for _ in range(5)] == ["ans", "evt", "cam", "det", None]


def test_a_frame_waits_for_its_turn_and_then_the_newest_is_sent() -> None:
    bench = Bench(max_per_s=2.0)
    bench.frame("person")
    assert bench.take() is not None
    bench.frame("dog")
    bench.frame()
    assert bench.take() is None
    assert bench.outbox.due_in_s() == pytest.approx(0.5)
    bench.clock.advance(0.5)
    assert (bench.take() or {})["d"] == []
    assert bench.counters["dropped.newer"] == 1


def test_cameras_do_not_take_each_others_turns() -> None:
    bench = Bench(max_per_s=1.0)
    bench.frame("person", camera="door")
    bench.frame("person", camera="yard")
    assert {(bench.take() or {})["c"], (bench.take() or {})["c"]} == {"door", "yard"}


def test_what_has_not_changed_is_sent_again_after_a_while() -> None:
    bench = Bench()
    bench.frame("person")
    bench.take()
    bench.clock.advance(9)
    bench.frame("person")
    assert bench.take() is None
    bench.clock.advance(1)
    bench.frame("person")
    assert bench.take() is not None


def test_a_full_queue_of_events_loses_its_oldest() -> None:
    bench = Bench()
    for number in range(MAX_EVENTS + 10):
        bench.outbox.event({"k": "evt", "i": str(number)})
    assert (bench.take() or {})["i"] == "10"
    assert bench.counters["dropped.full"] == 10


def test_events_that_waited_say_for_how_long() -> None:
    bench = Bench()
    bench.outbox.event({"k": "evt"})
    bench.clock.advance(61.5)
    assert (bench.take() or {})["a"] == 61


def test_events_and_states_outlast_a_port_that_is_gone_and_frames_and_answers_do_not() -> None:
    bench = Bench()
    bench.outbox.state(("cam", "door"), {"k": "cam"})
    assert bench.take() is not None
    bench.frame("person")
    bench.outbox.event({"k": "evt"})
    bench.outbox.answer({"k": "ans"})
    bench.outbox.closed()
    bench.frame("person")
    bench.outbox.answer({"k": "ans"})
    bench.outbox.opened(HI)
    assert [(bench.take() or {}).get("k") for _ in range(4)] == ["hi", "evt", "cam", None]
    assert bench.counters["dropped.offline"] == 2


def test_a_state_is_told_once_until_it_changes() -> None:
    bench = Bench()
    for _ in range(2):
        bench.outbox.state(("cam", "door"), {"k": "cam", "s": "online"})
    assert bench.take() is not None
    bench.outbox.state(("cam", "door"), {"k": "cam", "s": "online"})
    assert bench.take() is None


def test_answers_are_bounded() -> None:
    bench = Bench()
    for number in range(1000):
        bench.outbox.answer({"k": "ans", "r": number})
    assert bench.outbox.held == MAX_ANSWERS


@pytest.mark.parametrize("seed", range(20))
def test_every_document_ends_as_sent_or_dropped_or_unchanged(seed: int) -> None:
    draw = random.Random(seed)
    bench = Bench(max_per_s=draw.choice([0, 1, 20]), max_line=96)
    frames = events = 0
    for _ in range(2000):
        step = draw.randrange(8)
        if step < 3:
            bench.frame(*draw.choices(["person", "a dog with a very long name", "car"], k=draw.randrange(4)))
            frames += 1
        elif step < 5:
            bench.outbox.event({"k": "evt", "c": "x" * draw.choice([4, 200])})
            events += 1
        elif step == 5:
            bench.outbox.closed() if draw.random() < 0.5 else bench.outbox.opened(HI)
        else:
            bench.clock.advance(draw.random())
            line = bench.outbox.take()
            if line is not None:
                bench.outbox.lost(line, "lost") if draw.random() < 0.1 else bench.outbox.sent(line)
    bench.outbox.drop_all("closed")
    totals = bench.counters.snapshot()
    reasons = sum(count for name, count in totals.items() if name.startswith("dropped."))
    assert totals["dropped"] == reasons
    assert totals["published"] + totals["dropped"] + totals.get("unchanged", 0) == frames + events
    assert bench.outbox.held == 0


def test_who_greets_for_ever_and_reads_nothing_makes_no_queue_grow() -> None:
    bench = Bench()
    bench.outbox.answer({"k": "ans"})
    for _ in range(3 * MAX_ANSWERS):
        bench.outbox.greet(HI)
    assert bench.outbox.held == 2
    assert [bench.take() for _ in range(3)] == [HI, {"k": "ans"}, None]
