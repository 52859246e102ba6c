"""The sketch of docs/serial, compiled for this machine, against lines that the sink writes and the sink itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass import sinks
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.sinks import Answer, Command, Reply, SinkContext
from edgemass.sinks._serial_documents import fit, frame_body
from edgemass.sinks._serial_framing import seal
from edgemass.sinks.serial import SerialSink
from tests.documents import OFFLINE, detections, frame
from tests.simulators.serial_device import crc16_bitwise

ROOT = Path(__file__).resolve().parents[2]
MAX_LINE = 128
PATIENCE_S = 20.0
pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

EDGES = st.floats(0, 1)
BOXES = st.tuples(EDGES, EDGES, EDGES, EDGES)
Found = tuple[str, tuple[float, float, float, float]]
FOUND = st.lists(st.tuples(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=15), BOXES))


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled so that it ends at once when it reads or writes where it must not."""
    program = tmp_path_factory.mktemp("sketch") / "sketch"
    shim = ROOT / "tests" / "simulators" / "arduino"
    flags = [
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover",
    ]
    folders = [f"-I{shim}", f"-I{ROOT / 'docs' / 'serial'}"]
    subprocess.run(["g++", *flags, *folders, "-o", program, shim / "host.cpp"], check=True)
    return program


def parse(sketch: Path, data: bytes) -> list[str]:
    done = subprocess.run([sketch, "parse"], input=data, capture_output=True, check=True, timeout=PATIENCE_S)
    return done.stdout.decode("latin-1").splitlines()


@settings(max_examples=30, deadline=None)
@given(st.lists(FOUND, min_size=1, max_size=5))
def test_its_parser_reads_every_frame_that_we_write(sketch: Path, frames: list[list[Found]]) -> None:
    bodies = [fit(frame_body(detections(*found)), MAX_LINE) for found in frames]
    sent = [body for body, _ in filter(None, bodies)]
    read = parse(sketch, b"".join(seal(number, body) for number, body in enumerate(sent, 1)))
    assert read == [
        "|".join([f"det|door|{number}|{body.get('x', 0)}", *(",".join(map(str, [*row, -1])) for row in body["d"])])
        for number, body in enumerate(sent, 1)
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(0, 60), st.integers(0, 255))
def test_its_parser_outlives_anything(sketch: Path, pieces: list[bytes], place: int, byte: int) -> None:
    line = bytearray(seal(1, {"k": "det", "c": "door", "d": [["person", 91, 1, 2, 3, 4]]}))
    line[place % len(line)] = byte
    lines = [bytes(line)]
    for piece in pieces:
        cut = bytes(line[: len(piece)])
        lines += [piece, b"\n"]
        lines += [b"%s*%04X\n" % (text, crc16_bitwise(text)) for text in (piece.replace(b"\n", b""), cut)]
    parse(sketch, b"".join(lines))


class Running:
    """The sketch behind a pseudo-terminal. pins: what it did to them, in order."""

    def __init__(self, process: subprocess.Popen[bytes], errors: int) -> None:
        self._process = process
        self._errors = errors
        self.pins = ""
        os.set_blocking(errors, False)

    def press(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def wait_for_pin(self, level: str) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not self.pins.endswith(f"pin 13 {level}\n"):
            assert time.monotonic() < give_up, f"the LED is not {level}: {self.pins!r}"
            try:
                self.pins += os.read(self._errors, 4096).decode()
            except BlockingIOError:
                time.sleep(0.005)


@contextmanager
def running(sketch: Path) -> Iterator[tuple[Running, str]]:
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    read_end, write_end = os.pipe()
    with subprocess.Popen([sketch], stdin=master, stdout=master, stderr=write_end) as process:
        for descriptor in (master, write_end):
            os.close(descriptor)
        try:
            yield Running(process, read_end), path
        finally:
            process.kill()
            os.close(slave)
            os.close(read_end)


def test_the_sketch_lights_its_led_for_a_person_and_gets_a_snapshot_for_its_button(sketch: Path) -> None:
    done: list[Command] = []

    def handle(command: Command, reply: Reply) -> None:
        done.append(command)
        reply(Answer(ok=True))

    counters = Counters()
    with running(sketch) as (device, path):
        sink = sinks.open(
            f"serial://{path}?max_line={MAX_LINE}&max_per_s=0", SinkContext("pi", SystemClock(), counters)
        )
        assert isinstance(sink, SerialSink)
        sink.obey(handle)
        try:
            give_up = time.monotonic() + PATIENCE_S
            while not sink.connected and time.monotonic() < give_up:
                time.sleep(0.005)
            sure = detections("dog", "person")
            sure.detections[:] = [msgspec.structs.replace(item, score=0.9) for item in sure.detections]
            sink.publish(sure, frame())
            device.wait_for_pin("high")
            sink.publish(detections("dog"), frame())
            device.wait_for_pin("low")
            sink.publish(sure, frame())
            device.wait_for_pin("high")
            sink.camera_state("door", OFFLINE)
            device.wait_for_pin("low")
            while len(done) < 2 and time.monotonic() < give_up:
                device.press()  # while it waits for an answer it does not look
                time.sleep(0.05)
            assert len(done) >= 2
            assert set(done) == {Command("snapshot", "cam0", "")}
            assert counters["damaged"] == 0
        finally:
            sink.close(0)
