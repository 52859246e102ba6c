"""The serial sink over real pseudo-terminals and pairs of socat's, with the faults that a line and its end can have."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemass import sinks
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.sinks import Answer, Command, Commandable, Reply, SinkContext
from edgemass.sinks.serial import SerialSink
from tests.documents import OFFLINE, ONLINE, detections, event, frame
from tests.simulators.daemon import Daemon
from tests.simulators.serial_device import PATIENCE_S, SocatPair, closed, terminal
from tests.simulators.tiny_detectors import yolo_v8

Open = Callable[..., SerialSink]
needs_socat = pytest.mark.skipif(shutil.which("socat") is None, reason="needs socat (tests/install-servers.sh)")


@pytest.fixture
def open_sink() -> Iterator[Open]:
    opened: list[SerialSink] = []

    def open_(path: str | Path, options: str = "", counters: Counters | None = None) -> SerialSink:
        surroundings = SinkContext("pi-7f3a", SystemClock(), counters or Counters())
        sink = sinks.open(f"serial://{path}?{options}", surroundings)
        assert isinstance(sink, SerialSink)
        opened.append(sink)
        return sink

    yield open_
    for sink in opened:
        sink.close(0)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[SocatPair]:
    made = SocatPair(tmp_path)
    yield made
    made.unplug()


def until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.005)


def yes(_: Command, reply: Reply) -> None:
    reply(Answer(ok=True))


def test_a_frame_an_event_and_a_state_arrive_with_their_numbers_in_order(open_sink: Open) -> None:
    with terminal() as (mcu, path):
        sink = open_sink(path)
        mcu.wait_for_kind("hi", d="pi-7f3a", v=1, m=512)
        sink.camera_state("door", ONLINE)
        sink.event(event(), None)
        sink.publish(detections("person"), frame())
        assert mcu.wait_for_kind("cam")["s"] == "online"
        assert mcu.wait_for_kind("evt")["i"] == "5f0c-1"
        assert mcu.wait_for_kind("det")["d"] == [["person", 50, 400, 400, 600, 600]]
        assert [body["n"] for body in mcu.seen] == [1, 2, 3, 4]


def test_frames_are_thinned_to_what_is_new_and_the_last_word_always_comes(open_sink: Open) -> None:
    counters = Counters()
    with terminal() as (mcu, path):
        sink = open_sink(path, "max_per_s=20", counters)
        mcu.wait_for_kind("hi")
        for _ in range(500):
            sink.publish(detections("person"), frame())
            sink.publish(detections("person", "dog"), frame())
        sink.publish(detections(), frame())
        mcu.wait_for_kind("det", d=[])
        for _ in range(100):
            sink.publish(detections(), frame())
        mcu.drain()
        lines = [body for body in mcu.seen if body["k"] == "det"]
        assert len(lines) < 100
        assert lines[-1]["d"] == []
        assert counters["unchanged"] == 100
        assert counters["published"] == len(lines)
        assert counters["published"] + counters["dropped.newer"] == 1001


def test_a_request_is_done_once_however_often_it_comes_and_answered_each_time(open_sink: Open) -> None:
    done: list[Command] = []

    def handle(command: Command, reply: Reply) -> None:
        done.append(command)
        reply(Answer(ok=True, result={"file": "door.jpg"}))

    with terminal() as (mcu, path):
        sink = open_sink(path)
        assert isinstance(sink, Commandable)
        sink.obey(handle)
        mcu.wait_for_kind("hi")
        line = closed({"n": 7, "k": "score", "c": "door", "v": 0.5})
        for _ in range(3):
            mcu.send(line)
        until(lambda: mcu.read(0.1) and sum(body["k"] == "ans" for body in mcu.seen) == 3, "three answers")
        assert next(body for body in mcu.seen if body["k"] == "ans") | {"n": 0} == {
            "n": 0,
            "k": "ans",
            "r": 7,
            "ok": 1,
            "v": {"file": "door.jpg"},
        }
        assert done == [Command("score", "door", "0.5")]
        mcu.send(closed({"n": 7, "k": "snapshot"}))  # it has begun anew, and said nothing of it
        until(lambda: len(done) == 2, "another request of the same number is a new one")


def test_an_end_that_begins_anew_is_told_how_everything_is_and_counts_anew(open_sink: Open) -> None:
    done: list[str] = []

    def handle(command: Command, reply: Reply) -> None:
        done.append(command.name)
        reply(Answer(ok=False, error="there is no such camera"))

    with terminal() as (mcu, path):
        sink = open_sink(path)
        sink.obey(handle)
        sink.camera_state("door", OFFLINE)
        mcu.wait_for_kind("cam")
        mcu.send(closed({"n": 1, "k": "snapshot"}))
        assert mcu.wait_for_kind("ans", r=1)["e"] == "there is no such camera"
        mcu.forget()
        mcu.send(closed({"n": 1, "k": "hello"}))
        mcu.wait_for_kind("hi")
        mcu.wait_for_kind("cam", s="offline")
        mcu.send(closed({"n": 1, "k": "snapshot"}))
        mcu.wait_for_kind("ans", r=1)
        assert done == ["snapshot", "snapshot"]


def test_a_damaged_line_is_counted_and_told_and_the_next_is_heard(open_sink: Open) -> None:
    counters = Counters()
    with terminal() as (mcu, path):
        open_sink(path, "", counters).obey(yes)
        mcu.wait_for_kind("hi")
        mcu.send(closed({"n": 1, "k": "snapshot"}).replace(b"snap", b"snip"))
        assert mcu.wait_for_kind("nak")["e"] == "crc"
        mcu.send(closed({"n": 2, "k": "snapshot"}))
        assert mcu.wait_for_kind("ans")["r"] == 2
        assert counters["damaged.crc"] == 1


def test_a_wrong_baud_rate_is_said_once_with_its_remedy(open_sink: Open, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with terminal() as (mcu, path), caplog.at_level(logging.WARNING):
        open_sink(path, "", counters)
        mcu.wait_for_kind("hi")
        mcu.send(bytes(128 + index % 128 for index in range(20_000)))
        until(lambda: counters["damaged"] >= 20, "garbage is counted")
        assert len([record for record in caplog.records if "115200 baud" in record.getMessage()]) == 1


def test_a_flood_grows_nothing_and_is_outlived(open_sink: Open, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with terminal() as (mcu, path), caplog.at_level(logging.WARNING):
        sink = open_sink(path, "baud=115200", counters)
        sink.obey(yes)
        mcu.wait_for_kind("hi")
        mcu.send(b"x" * 50_000 + b"\n")
        assert counters["flooded"] > 0
        assert counters["damaged.long"] > 10
        assert sink.held_bytes <= 64 * 512
        mcu.ask("snapshot")
        mcu.wait_for_kind("ans", ok=1)
        assert len([record for record in caplog.records if "sender must pause" in record.getMessage()]) == 1


def test_a_flood_of_good_requests_is_answered_with_busy_and_then_not_at_all(open_sink: Open) -> None:
    done: list[str] = []

    def handle(command: Command, reply: Reply) -> None:
        done.append(command.name)
        reply(Answer(ok=True))

    with terminal() as (mcu, path):
        sink = open_sink(path)
        sink.obey(handle)
        mcu.wait_for_kind("hi")
        for _ in range(200):
            mcu.ask("snapshot")
        mcu.wait_for_kind("ans", ok=0, e="busy")
        mcu.drain()
        assert len(done) < 100
        assert sum(body["k"] == "ans" for body in mcu.seen) < 120


def test_an_echo_is_named_and_does_not_go_round(open_sink: Open, caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with terminal() as (mcu, path), caplog.at_level(logging.WARNING):
        sink = open_sink(path, "", counters)
        sink.camera_state("door", ONLINE)
        mcu.wait_for_kind("cam")
        for _ in range(5):
            for line in mcu.raw:
                mcu.send(line)
            mcu.forget()
            mcu.drain(0.1)
        until(lambda: counters["echoed"] >= 2, "an echo is counted")
        assert counters["told"] < 10
        assert any("echo" in record.getMessage() for record in caplog.records)


def test_a_reader_that_stops_costs_what_is_new_only_in_frames_and_gets_events_in_their_order(
    open_sink: Open, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    with terminal() as (mcu, path), caplog.at_level(logging.INFO):
        sink = open_sink(path, "detections=all&max_per_s=0", counters)
        mcu.wait_for_kind("hi")
        seq = 0

        def fill() -> bool:
            nonlocal seq
            seq += 1
            sink.publish(detections(f"label{seq}", seq=seq), frame())
            return sink.trouble is not None

        until(fill, "the line fills up, and that is said")
        assert "nobody reads" in str(sink.trouble)
        for number in range(1, 301):
            sink.event(event(number), None)
        assert counters["dropped.full"] == 300 - 256
        mcu.wait_for_kind("evt", i="5f0c-300")
        numbers = [int(body["i"].rpartition("-")[2]) for body in mcu.seen if body["k"] == "evt"]
        assert numbers == list(range(45, 301))
        until(lambda: sink.trouble is None, "the trouble is over")
        sink.close(2)
        assert counters["published"] + counters["dropped"] == seq + 300


@needs_socat
def test_a_port_that_is_not_there_is_waited_for_and_one_that_is_pulled_out_comes_back(
    open_sink: Open, pair: SocatPair, caplog: pytest.LogCaptureFixture
) -> None:
    counters = Counters()
    with caplog.at_level(logging.INFO):
        sink = open_sink(pair.port, "", counters)
        sink.obey(yes)
        until(lambda: sink.trouble is not None, "that it is not there is said")
        assert "is not there" in str(sink.trouble)
        sink.camera_state("door", ONLINE)
        sink.event(event(1), None)
        sink.publish(detections("person"), frame())  # nobody is there
        for number in range(2, 4):
            mcu = pair.plug()
            mcu.wait_for_kind("hi")
            mcu.wait_for_kind("cam", s="online")
            mcu.wait_for_kind("evt", i=f"5f0c-{number - 1}")
            mcu.ask("snapshot")
            mcu.wait_for_kind("ans", ok=1)
            pair.unplug()
            until(lambda: not sink.connected, "that it is pulled out is noticed")
            sink.event(event(number), None)
        assert counters["dropped.offline"] == 1


@needs_socat
def test_requests_and_documents_cross_while_both_ends_are_busy(open_sink: Open, pair: SocatPair) -> None:
    mcu = pair.plug()
    sink = open_sink(pair.port, "detections=all&max_per_s=0")
    sink.obey(yes)
    mcu.wait_for_kind("hi")
    for number in range(1, 101):
        sink.event(event(number), None)
        sink.publish(detections(f"label{number}", seq=number), frame())
        if number % 10 == 0:
            mcu.ask("snapshot", c="door")
    for asked in range(1, 11):
        mcu.wait_for_kind("ans", r=asked, ok=1)
    mcu.wait_for_kind("evt", i="5f0c-100")
    mcu.wait_for_kind("det", d=[["label100", 50, 400, 400, 600, 600]])
    numbers = [body["n"] for body in mcu.seen]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_port_that_another_program_has_is_named_and_taken_when_it_is_free(open_sink: Open) -> None:
    with terminal() as (mcu, path):
        other = os.open(path, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX)
        sink = open_sink(path)
        until(lambda: sink.trouble is not None, "that it is in use is said")
        assert "another program uses" in str(sink.trouble)
        os.close(other)
        mcu.wait_for_kind("hi")


def test_the_port_is_locked_while_we_have_it(open_sink: Open) -> None:
    with terminal() as (mcu, path):
        open_sink(path)
        mcu.wait_for_kind("hi")
        other = os.open(path, os.O_RDWR | os.O_NOCTTY) if os.geteuid() == 0 else None
        if other is None:
            with pytest.raises(OSError, match="busy"):
                os.open(path, os.O_RDWR | os.O_NOCTTY)
            return
        try:  # root may open what TIOCEXCL closes to others
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            exclusive = fcntl.ioctl(other, 0x80045440, b"\0" * 4)  # TIOCGEXCL of linux/termios.h
            assert exclusive[0] == 1
        finally:
            os.close(other)


def test_what_is_no_terminal_is_waited_for_with_its_reason(open_sink: Open) -> None:
    sink = open_sink("/dev/null")
    until(lambda: sink.trouble is not None, "that it is no port is said")
    assert "no serial port" in str(sink.trouble)


def test_closing_sends_what_is_owed(open_sink: Open) -> None:
    counters = Counters()
    with terminal() as (mcu, path):
        sink = open_sink(path, "", counters)
        mcu.wait_for_kind("hi")
        for number in range(1, 51):
            sink.event(event(number), None)
        sink.close(5)
        mcu.wait_for_kind("evt", i="5f0c-50")
        assert counters["published"] == 50
        sink.event(event(51), None)
        sink.publish(detections("person"), frame())


def test_closing_does_not_wait_for_a_reader_that_has_stopped(open_sink: Open) -> None:
    counters = Counters()
    with terminal() as (mcu, path):
        sink = open_sink(path, "detections=all&max_per_s=0", counters)
        mcu.wait_for_kind("hi")
        until(lambda: _filled(sink), "the line fills up")
        sink.close(0.2)
        assert not sink.connected
        assert counters["dropped.closed"] >= 1


def _filled(sink: SerialSink) -> bool:
    sink.event(event(), None)
    return sink.held_bytes > 100 * 512


def test_a_reader_that_sips_a_few_bytes_at_a_time_gets_whole_lines(open_sink: Open) -> None:
    with terminal() as (mcu, path):
        sink = open_sink(path)
        mcu.sip = 7
        for number in range(1, 101):
            sink.event(event(number), None)
        mcu.wait_for_kind("evt", i="5f0c-100")
        assert [body["n"] for body in mcu.seen] == list(range(1, 102))


@pytest.mark.runtime
def test_a_daemon_tells_what_it_sees_and_does_what_it_is_asked(tmp_path: Path) -> None:
    model = yolo_v8(tmp_path / "tiny.onnx")
    with terminal() as (mcu, path):
        sink = f"serial://{path}?detections=all&max_per_s=0"
        camera = "door=synthetic:?width=64&height=64&fps=30"
        with Daemon(tmp_path, "--camera", camera, "--model", str(model), "--sink", sink) as daemon:
            mcu.wait_for_kind("hi", v=1)
            early = mcu.ask("score", c="door", v=0.25)  # no camera runs yet
            assert mcu.wait_for_kind("ans", r=early)["v"]["score"] == 0.25
            mcu.wait_for_kind("det", c="door")
            asked = mcu.ask("enabled", c="door", v=False)
            assert mcu.wait_for_kind("ans", r=asked)["v"]["enabled"] is False
            mcu.wait_for_kind("cam", c="door", s="disabled")
            asked = mcu.ask("snapshot", c="yard")
            assert "no camera 'yard'" in mcu.wait_for_kind("ans", r=asked, ok=0)["e"]
            assert daemon.end() == 0
