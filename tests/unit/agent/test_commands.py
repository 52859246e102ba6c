"""What takes long delays nothing else that is asked of the board."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from edgemass.agent.commands import MOST_WAITING, Board, Commands
from edgemass.clock import Clock, SystemClock
from edgemass.config import CameraConfig
from edgemass.sinks import Answer, Command
from tests.simulators.manual_clock import ManualClock

PATIENCE_S = 60.0


class Fetching:
    """A board whose update fetches until it is told to end, and on which no camera is on."""

    def __init__(self) -> None:
        self.fetching = threading.Event()
        self.ends = threading.Event()

    def update(self, stop: threading.Event) -> None:
        self.fetching.set()
        while not (stop.is_set() or self.ends.is_set()):
            stop.wait(0.01)

    def commands(self, clock: Clock | None = None) -> Commands:
        def nothing(*_: Any, **__: Any) -> None:
            pass

        board = Board(
            cameras=lambda: {"door": CameraConfig(source="0")},
            line=nothing,
            adjust=nothing,
            reload=nothing,
            restart=nothing,
            doctor=lambda: {"worst": "OK"},
            update=self.update,
        )
        return Commands(board, [], clock or SystemClock())


@pytest.fixture
def board() -> Fetching:
    return Fetching()


@pytest.fixture
def commands(board: Fetching) -> Iterator[Commands]:
    made = board.commands()
    made.start()
    yield made
    board.ends.set()
    made.close(PATIENCE_S)


def ask(commands: Commands, name: str, camera: str = "") -> queue.Queue[Answer]:
    answers: queue.Queue[Answer] = queue.Queue()
    commands.handle(Command(name, camera, ""), answers.put)
    return answers


def test_pictures_and_reports_come_while_an_update_is_fetched(board: Fetching, commands: Commands) -> None:
    updated = ask(commands, "update")
    assert board.fetching.wait(PATIENCE_S)
    assert ask(commands, "doctor").get(timeout=PATIENCE_S) == Answer(ok=True, result={"worst": "OK"})
    assert ask(commands, "snapshot", "door").get(timeout=PATIENCE_S).error == "camera door is switched off"
    assert updated.empty()


def test_each_slow_command_has_a_bounded_queue_of_its_own(board: Fetching, commands: Commands) -> None:
    ask(commands, "update")
    assert board.fetching.wait(PATIENCE_S)
    waiting = [ask(commands, "update") for _ in range(MOST_WAITING)]
    assert all(answers.empty() for answers in waiting)
    assert "commands wait already" in ask(commands, "update").get_nowait().error
    assert ask(commands, "doctor").get(timeout=PATIENCE_S).ok


def test_an_end_stops_what_is_done_and_refuses_what_waits(board: Fetching, commands: Commands) -> None:
    done = ask(commands, "update")
    assert board.fetching.wait(PATIENCE_S)
    waiting = ask(commands, "update")
    commands.close(PATIENCE_S)
    assert done.get_nowait().ok
    assert waiting.get_nowait().error == "edgemass ends"


def test_a_command_whose_time_is_over_when_its_turn_comes_is_not_done(board: Fetching) -> None:
    clock = ManualClock()
    commands = board.commands(clock)
    answers: queue.Queue[Answer] = queue.Queue()
    expires_s = clock.time_ns() / 1e9 + 10
    for name in ("restart", "doctor"):  # one that is quick, one that takes time
        commands.handle(Command(name, "", "", expires_s), answers.put)
    commands.handle(Command("reload", "", "", expires_s + 60), answers.put)
    clock.advance(12)  # the board starts
    commands.start()
    commands.tick()
    found = [answers.get(timeout=PATIENCE_S) for _ in range(3)]
    commands.close(PATIENCE_S)
    assert sorted((answer.ok, answer.error) for answer in found) == [
        (False, "it expired 2 s ago"),
        (False, "it expired 2 s ago"),
        (True, ""),
    ]
