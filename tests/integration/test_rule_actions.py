"""What rules ask for, done for real: programs, a serial line, pictures in a folder, and a queue with a bound."""

from __future__ import annotations

import logging
import os
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemass.agent import actions as actions_module
from edgemass.agent.actions import MOST_WAITING, Actions, Order
from edgemass.config.rules import MqttAction, RuleConfig, SerialAction
from edgemass.messages import SnapshotRef
from edgemass.pipeline.album import Picture

PATIENCE_S = 20.0
FIELDS = {
    "device": "pi",
    "camera": "door",
    "rule": "ring",
    "label": "person",
    "zone": "yard",
    "line": "",
    "direction": "",
    "state": "",
    "time": "2026-11-22T22:15:02.118Z",
    "duration_s": "3.0",
    "score": "0.91",
    "event": "door-5f0c-7",
}
PICTURE = Picture(b"\xff\xd8 a picture", SnapshotRef(8, 6, 12, FIELDS["time"]))


class Channel:
    """Stands for a broker."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []

    def retain(self, leaf: str, document: bytes) -> None:
        pass

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None:
        raise AssertionError(f"{device} is not left here", shown, done)

    def clear(self, *levels: str) -> None:
        pass

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        self.sent.append((topic, payload, qos, retain))

    def listen(self, leaf: str, callback: object) -> None:
        pass

    def show(self, *levels: str, jpeg: bytes) -> None:
        pass

    def announce(self, topic: str, document: bytes) -> None:
        pass

    def hear(self, topic: str, callback: object) -> None:
        pass

    def repeat(self) -> None:
        pass


@pytest.fixture
def running() -> Iterator[Actions]:
    made = Actions([])
    made.start()
    yield made
    made.close(PATIENCE_S)


def do(actions: Actions, rule: RuleConfig, picture: Picture | None = None, /, **fields: str) -> None:
    actions.order(Order(rule, {**FIELDS, **fields}, picture))


def done(actions: Actions) -> dict[str, int]:
    """Wait for all that was ordered."""
    actions.close(PATIENCE_S)
    return actions.counters.snapshot()


def python(code: str, *arguments: str) -> RuleConfig:
    return RuleConfig(command=(sys.executable, "-c", code, *arguments))


def test_a_command_has_its_fields_as_arguments_and_in_its_environment(running: Actions, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.argv[2] + ' ' + os.environ['EDGEMASS_RULE_ZONE'])"
    do(running, python(code, str(out), "{label} at {time}; rm -rf / {nothing"))
    assert done(running) == {"done": 1}
    assert out.read_text() == "person at 2026-11-22T22:15:02.118Z; rm -rf / {nothing yard"


def test_a_command_that_fails_is_said_with_its_last_words_when_it_begins_and_when_it_ends(
    running: Actions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mark = tmp_path / "mark"
    rule = python("import sys, os; os.path.exists(sys.argv[1]) or sys.exit('no siren')", str(mark))
    do(running, rule)
    do(running, rule)
    do(running, python(f"open({str(mark)!r}, 'w')"), rule="other")
    do(running, rule)
    assert done(running) == {"failed": 2, "done": 2}
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"rule door: ring: command failed: {sys.executable} ended with 1: no siren",
        "rule door: ring: command works again",
    ]


def test_a_command_that_cannot_start_is_said(running: Actions, caplog: pytest.LogCaptureFixture) -> None:
    do(running, RuleConfig(command=("/nowhere/siren",)))
    assert done(running) == {"failed": 1}
    assert "cannot start /nowhere/siren" in caplog.text


def test_a_command_that_hangs_is_ended_with_its_children(
    running: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(actions_module, "COMMAND_S", 1.0)
    pids = tmp_path / "pids"
    code = "import os, sys, time; child = os.fork(); open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"
    do(running, python(code, str(pids)))
    assert done(running) == {"failed": 1}
    assert "did not end within 1 s" in caplog.text
    ended = [int(pid) for pid in pids.read_text().split()]
    assert len(ended) == 2
    for pid in ended:
        assert _gone(pid)


def test_a_command_that_floods_its_standard_error_costs_no_memory(
    running: Actions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(actions_module, "COMMAND_S", 1.5)
    do(running, python("import os\nwhile True: os.write(2, b'noise ' * 10000)"))
    do(running, python("import sys; sys.stderr.write('x' * 50000 + ' last words'); sys.exit(3)"), rule="loud")
    assert done(running) == {"failed": 2}
    assert "last words" in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 1000


def test_a_child_that_keeps_the_pipe_open_holds_nothing_up(running: Actions, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)\n"
        "while not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read(): time.sleep(0.01)\n"
    )
    do(running, python(code, str(pid)))
    try:
        assert done(running) == {"done": 1}
    finally:
        os.kill(int(pid.read_text()), 9)


def test_the_end_of_the_daemon_ends_a_command_that_goes_on(tmp_path: Path) -> None:
    actions = Actions([])
    actions.start()
    pid = tmp_path / "pid"
    do(
        actions,
        python("import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)", str(pid)),
    )
    _until(lambda: pid.exists() and pid.read_text())
    actions.close(0.1)
    assert _gone(int(pid.read_text()))


def test_a_failing_action_keeps_no_other_from_being_done(running: Actions, tmp_path: Path) -> None:
    rule = RuleConfig(
        mqtt=MqttAction(topic="a/b"),
        serial=SerialAction(port=str(tmp_path / "none"), line="x"),
        command=(sys.executable, "-c", "pass"),
        snapshot=str(tmp_path / "shots"),
    )
    do(running, rule, PICTURE)
    assert done(running) == {"failed": 2, "done": 2}


# Messages


def test_a_message_goes_to_every_broker_with_its_fields_filled_in() -> None:
    channels = [Channel(), Channel()]
    actions = Actions(channels)
    actions.start()
    do(actions, RuleConfig(mqtt=MqttAction(topic="home/bell", payload='{"who": "{label}", "s": {duration_s}}', qos=2)))
    assert done(actions) == {"done": 1}
    for channel in channels:
        assert channel.sent == [("home/bell", b'{"who": "person", "s": 3.0}', 2, False)]


def test_without_a_broker_that_is_said(running: Actions, caplog: pytest.LogCaptureFixture) -> None:
    do(running, RuleConfig(mqtt=MqttAction(topic="home/bell")))
    assert done(running) == {"failed": 1}
    assert "no broker among the sinks" in caplog.text


# A serial line


def test_a_line_arrives_at_a_serial_device(running: Actions) -> None:
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        do(running, RuleConfig(serial=SerialAction(port=os.ttyname(theirs), line="{label} {zone}", baud=9600)))
        assert done(running) == {"done": 1}
        assert os.read(ours, 100) == b"person yard\n"
        assert termios.tcgetattr(theirs)[4] == termios.B9600
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_serial_device_that_takes_nothing_is_given_up(
    running: Actions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(actions_module, "SERIAL_S", 0.5)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    try:
        do(running, RuleConfig(serial=SerialAction(port=os.ttyname(theirs), line="x" * 200_000)))
        assert done(running) == {"failed": 1}
        assert "cannot write to" in caplog.text
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_serial_device_that_is_not_there_is_said(running: Actions, caplog: pytest.LogCaptureFixture) -> None:
    do(running, RuleConfig(serial=SerialAction(port="/dev/nowhere", line="x")))
    do(running, RuleConfig(serial=SerialAction(port="what://ever", line="x")), rule="other")
    assert done(running) == {"failed": 2}
    assert "cannot write to /dev/nowhere" in caplog.text
    assert "cannot write to what://ever" in caplog.text


# Pictures


def test_a_picture_is_kept_under_time_camera_and_rule(running: Actions, tmp_path: Path) -> None:
    shots = tmp_path / "a" / "shots"
    do(running, RuleConfig(snapshot=str(shots)), PICTURE)
    assert done(running) == {"done": 1}
    (path,) = shots.iterdir()
    assert path.name == "20261122T221502118Z-door-5f0c-7-ring.jpg"
    assert path.read_bytes() == PICTURE.jpeg


def test_a_folder_of_pictures_stays_within_its_bound_and_others_files_are_left_alone(
    running: Actions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions_module, "MOST_PICTURES", 3)
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    for second in range(10):
        do(running, RuleConfig(snapshot=str(tmp_path)), PICTURE, time=f"2026-11-22T22:15:0{second}.118Z")
    assert done(running) == {"done": 10}
    assert sorted(path.name[:15] for path in tmp_path.glob("2026*")) == [f"20261122T22150{n}" for n in (7, 8, 9)]
    assert (tmp_path / "mine.jpg").exists()


def test_a_folder_that_cannot_be_written_is_said(
    running: Actions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    do(running, RuleConfig(snapshot=str(tmp_path / "file")), PICTURE)
    do(running, RuleConfig(snapshot="/proc/shots"), PICTURE, rule="proc")
    do(running, RuleConfig(snapshot=str(tmp_path)), None, rule="blind")
    assert done(running) == {"failed": 3}
    assert "cannot write" in caplog.text
    assert "there is no picture of it" in caplog.text


# The queue


def test_a_thousand_firings_at_once_are_bounded_and_counted(
    running: Actions, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = tmp_path / "gate"
    hold = python("import sys, os, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.01)", str(gate))
    do(running, hold)
    _until(lambda: running._queue.qsize() == 0)
    shot = RuleConfig(snapshot=str(tmp_path / "shots"))
    for number in range(1000):
        do(running, shot, PICTURE, rule=f"r{number:04}")
    assert running.counters["dropped"] == 1000 - MOST_WAITING
    gate.touch()
    assert done(running) == {"done": 1 + MOST_WAITING, "dropped": 1000 - MOST_WAITING}
    kept = sorted(path.name for path in (tmp_path / "shots").iterdir())
    assert [name[-9:-4] for name in kept] == [f"r{number:04}" for number in range(MOST_WAITING)]
    assert caplog.text.count("the newest are dropped") == 1


def test_ordering_never_waits_and_closing_has_a_deadline() -> None:
    actions = Actions([])
    ended = threading.Event()

    def close() -> None:
        actions.close(0.05)
        ended.set()

    for _ in range(2 * MOST_WAITING):  # nobody takes them: it was not started
        do(actions, RuleConfig(command=("true",)))
    threading.Thread(target=close, daemon=True).start()
    assert ended.wait(PATIENCE_S)


def _until(true: object) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not true():  # type: ignore[operator]
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.005)


def _gone(pid: int) -> bool:
    """Within a moment; a zombie that nobody waits for is gone too."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.005)
    return False
