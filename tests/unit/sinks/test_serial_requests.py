"""What the other end of a serial port asks for while nobody obeys yet; without a port."""

from __future__ import annotations

from edgemass.counters import Counters
from edgemass.sinks import Answer, Command, Reply
from edgemass.sinks._serial_documents import Body
from edgemass.sinks._serial_framing import Request
from edgemass.sinks._serial_requests import MAX_PER_S, REMEMBERED, Requests
from tests.simulators.manual_clock import ManualClock


class Bench:
    """Requests with their clock, their answers, and a board that does what it is asked; `asked` is in its order."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.answers: list[Body] = []
        self.asked: list[str] = []
        self.requests = Requests(
            "/dev/ttyUSB0",
            baud=115200,
            answer=self.answers.append,
            greet=lambda: None,
            counters=Counters(),
            clock=self.clock,
        )

    def ask(self, number: int, value: float) -> None:
        self.requests.take(Request(n=number, k="score", c="door", v=value))

    def board(self, command: Command, reply: Reply) -> None:
        self.asked.append(command.value)
        reply(Answer(ok=True))


def test_what_is_asked_while_the_board_starts_is_done_when_it_has_started_in_its_order() -> None:
    bench = Bench()
    bench.ask(1, 0.5)
    bench.ask(2, 0.7)
    assert bench.answers == []
    bench.requests.obey(bench.board)
    bench.ask(3, 0.9)
    assert bench.asked == ["0.5", "0.7", "0.9"]
    assert [(answer["r"], answer["ok"]) for answer in bench.answers] == [(1, 1), (2, 1), (3, 1)]


def test_a_request_that_was_repeated_while_the_board_starts_is_done_once() -> None:
    bench = Bench()
    for _ in range(5):
        bench.ask(1, 0.5)
        bench.clock.advance(2)
    bench.requests.obey(bench.board)
    bench.ask(1, 0.5)
    assert bench.asked == ["0.5"]
    assert len(bench.answers) == 2


def test_a_request_that_is_no_longer_remembered_is_not_done_late() -> None:
    bench = Bench()
    bench.ask(1, 0.5)
    bench.clock.advance(31)
    bench.ask(2, 0.7)
    bench.requests.obey(bench.board)
    assert bench.asked == ["0.7"]


def test_an_end_that_has_begun_anew_wants_nothing_of_before() -> None:
    bench = Bench()
    bench.ask(1, 0.5)
    bench.requests.take(Request(n=1, k="hello"))
    bench.ask(1, 0.7)
    bench.requests.obey(bench.board)
    assert bench.asked == ["0.7"]


def test_no_more_is_held_than_is_remembered() -> None:
    bench = Bench()
    for number in range(1, MAX_PER_S + 1):
        bench.ask(number, number)
    bench.requests.obey(bench.board)
    assert bench.asked == [str(number) for number in range(MAX_PER_S - REMEMBERED + 1, MAX_PER_S + 1)]
