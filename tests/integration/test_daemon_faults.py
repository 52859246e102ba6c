"""What befalls a board over the years: the daemon lives through it, and says what is the matter."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, final

import cv2
import numpy as np
import pytest

from edgemass.cli import state as states
from tests.simulators import fake_dev
from tests.simulators.asker import Asker
from tests.simulators.broker import PATIENCE_S, Broker, Listener, free_port, wait_until
from tests.simulators.daemon import Daemon
from tests.simulators.fake_dev import FakeDev
from tests.simulators.mjpeg_server import Behaviour, MjpegServer
from tests.simulators.tiny_detectors import yolo_v8

pytestmark = pytest.mark.runtime

SOURCE = "synthetic:?width=64&height=64&fps=20"
DISK_BYTES = 56 << 20
"""A little more than what the health calls a disk that is nearly full."""


@final
class Board:
    """A daemon with one made-up camera, a health document every second and a file of all that it finds."""

    def __init__(
        self,
        folder: Path,
        *sinks: str,
        source: str = SOURCE,
        state: Path | None = None,
        more: str = "",
        module: str = "edgemass",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self._out = folder / "out.jsonl"
        self._documents: list[dict[str, Any]] = []
        self._read_bytes = 0
        self.file = folder / "edgemass.toml"
        self.runtime = states.runtime(str(state or folder / "state"))
        addresses = json.dumps([f"jsonl:{self._out}", *sinks])
        self.file.write_text(
            f'device = "pi"\nmodel = "{yolo_v8(folder / "tiny.onnx")}"\ntune = false\nsinks = {addresses}\n'
            f'state = "{state or folder / "state"}"\n[health]\nevery_s = 1\n{more}[cameras.door]\nsource = "{source}"\n'
            "realtime = true\nmax_fps = 10\n"
        )
        self.daemon = Daemon(folder, "--config", str(self.file), module=module)

    def __enter__(self) -> Board:
        self.daemon.__enter__()
        self.until(lambda: self.frames() > 2, "frames")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            assert self.daemon.end() == 0, self.log
            assert "Traceback" not in self.log
        finally:
            self.daemon.__exit__(None, None, None)

    @property
    def log(self) -> str:
        return self.daemon.err

    @property
    def health(self) -> dict[str, Any]:
        """The newest document on disk, {} where there is none."""
        try:
            return dict(json.loads((self.runtime / "status.json").read_bytes()))
        except FileNotFoundError:
            return {}

    def documents(self) -> list[dict[str, Any]]:
        """All so far, oldest first; only what is new is read."""
        if self._out.exists():
            with self._out.open("rb") as out:
                out.seek(self._read_bytes)
                whole, newline, _ = out.read().rpartition(b"\n")
            self._read_bytes += len(whole + newline)
            self._documents += [json.loads(line) for line in whole.splitlines()]
        return self._documents

    def frames(self) -> int:
        return sum(each["schema"] == "edgemass.detection/1" for each in self.documents())

    def until(self, done: Callable[[], object], reason: str, patience_s: float = PATIENCE_S) -> None:
        try:
            wait_until(done, reason, patience_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def until_said(self, text: str, times: int = 1) -> None:
        self.until(lambda: self.log.count(text) >= times, f"{text!r} in the log, {times} times")

    def goes_on(self, frames: int = 3) -> None:
        """Wait for more frames."""
        before = self.frames()
        self.until(lambda: self.frames() >= before + frames, "more frames")


class Seen(NamedTuple):
    """A board whose camera is a network camera, whose clock can be made to jump, and whose page is at this port."""

    board: Board
    port: int


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """One for all tests that leave it as they found it."""
    port, folder = free_port(), tmp_path_factory.mktemp("board")
    page = f'[http]\nlisten = "127.0.0.1:{port}"\n'
    with (
        MjpegServer(Behaviour(fps=20.0)) as camera,
        Board(folder, source=camera.address, module="tests.simulators.jumping_clock", more=page) as board,
    ):
        board.until(lambda: board.health.get("ready"), "it is ready")
        yield Seen(board, port)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of DISK_BYTES."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    if error := mount(folder, f"size={DISK_BYTES}"):
        pytest.skip(f"no disk can be mounted here: {error}")
    yield folder
    while folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def mount(folder: Path, options: str) -> str:
    """Why it cannot be, "" where it was."""
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


def get(port: int, path: str) -> str:
    """The answer of the device page; an error for any other status than 200."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def view(port: int) -> None:
    """Look at the live picture of the camera, and be gone without a word, as a phone that leaves the Wi-Fi."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as viewer:
        viewer.sendall(b"GET /camera/door/live.mjpeg HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        seen = b""
        while b"image/jpeg" not in seen:
            more = viewer.recv(65_536)
            assert more, seen
            seen += more
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST in place of FIN


# The disk


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            return filler


@pytest.mark.broker
def test_a_disk_that_is_full_and_then_read_only_is_said_and_commands_and_frames_go_on(
    disk: Path, tmp_path: Path, broker: Broker
) -> None:
    with (
        Board(tmp_path / "board", broker.url, state=disk / "state") as board,
        Asker(broker, "edgemass/v1/pi") as asker,
        Listener(broker, "edgemass/v1/pi/health") as listener,
    ):
        filler = fill(disk)
        board.until_said("left on the disk: make room")
        listener.forget()
        assert asker.ask("camera/door/command/score", "0.2")["ok"], "what was asked holds until the next start"
        board.until_said("No space left on device")

        def told() -> bool:
            """A machine with other work may give no frame for a while; the disk is no reason for that."""
            said = [json.loads(message.payload) for message in listener.heard()[-1:]]
            return any(one["ready"] and "left on the disk" in str(one["problems"]) for one in said)

        board.until(told, "health over the network: ready, and in want of room")
        board.goes_on()
        filler.unlink()
        board.until_said("no more: left on the disk")
        assert asker.ask("camera/door/command/score", "0.3")["ok"]
        assert "0.3" in (disk / "state" / "adjustments.json").read_text()
        assert not mount(disk, "ro,size=64m"), (
            "laid over the good one: a file open for writing would keep that as it is"
        )
        board.until_said("the disk is read-only: nothing is kept over a restart")
        board.until_said("no status is kept")
        assert asker.ask("camera/door/command/score", "0.4")["ok"]
        board.goes_on()
        subprocess.run(["umount", str(disk)], check=True)
        board.until_said("no more: the disk is read-only")
        seq = board.health["seq"]
        board.until(lambda: board.health["seq"] > seq, "status on the disk again")


def test_a_board_whose_disk_is_read_only_starts_works_and_says_so(disk: Path, tmp_path: Path) -> None:
    (disk / "state").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    port = free_port()
    with Board(tmp_path / "board", state=disk / "state", more=f'[http]\nlisten = "127.0.0.1:{port}"\n') as board:
        board.until_said("the disk is read-only: nothing is kept over a restart")
        board.until_said(f"no status is kept in {disk / 'state' / 'run'}: Read-only file system")
        assert board.log.count("no status is kept") == 1
        assert "edgemass_disk_read_only 1" in get(port, "/metrics")
        board.until(lambda: "edgemass_ready 1" in get(port, "/metrics"), "it is ready")
        board.goes_on()


# The clock


@pytest.mark.parametrize("away", [signal.SIGUSR1, signal.SIGUSR2], ids=["ahead", "back"])
def test_a_clock_that_jumps_by_50_years_changes_stamps_and_nothing_else(seen: Seen, away: signal.Signals) -> None:
    board, home = seen.board, {signal.SIGUSR1: signal.SIGUSR2, signal.SIGUSR2: signal.SIGUSR1}[away]
    year, steps = int(board.documents()[-1]["time"][:4]), board.health["system"]["clock"]["steps"]
    os.kill(board.daemon.pid, away)
    board.until(lambda: abs(int(board.documents()[-1]["time"][:4]) - year) in (49, 50), "the other time in documents")
    board.until(lambda: board.health["system"]["clock"]["steps"] == steps + 1, "health counts the step")
    os.kill(board.daemon.pid, home)
    board.until(lambda: board.health["system"]["clock"]["steps"] == steps + 2, "health counts the step back")
    board.goes_on()
    found = [each for each in board.documents() if each["schema"] == "edgemass.detection/1"]
    assert [each["seq"] for each in found] == list(range(1, len(found) + 1))
    monotonic = [each["mono_ns"] for each in found]
    assert monotonic == sorted(monotonic)
    assert board.log.count("camera online") == 1
    assert not any(camera["reconnects"] for camera in board.health["cameras"].values())
    assert get(seen.port, "/readyz")


# The cameras


def noise(_: int) -> bytes:
    """A JPEG that no lens cap looks like."""
    done, data = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))
    assert done
    return bytes(data)


def reconnects(board: Board, camera: MjpegServer, times: int) -> None:
    """Wait until the camera has hung up so often."""
    health = board.health["cameras"]
    board.until(lambda: board.health["cameras"]["door"]["reconnects"] >= times, f"{times} reconnects: {health}", 240)
    assert camera.connections >= times


@pytest.mark.parametrize("times", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_camera_that_hangs_up_again_and_again_costs_nothing(tmp_path: Path, times: int) -> None:
    with (
        MjpegServer(Behaviour(fps=200.0, count=3, parts=noise)) as camera,
        Board(tmp_path, source=camera.address, module="tests.simulators.impatient") as board,
    ):
        board.until(lambda: board.health, "health")
        reconnects(board, camera, times // 5)
        threads, files, rss = board.daemon.threads(), board.daemon.open_files(), board.daemon.rss_bytes()
        reconnects(board, camera, times)
        assert board.daemon.threads() <= threads + 2, "one camera may be between two readers"
        assert board.daemon.open_files() <= files + 3
        assert board.daemon.rss_bytes() < 1.05 * rss
        assert board.log.count("camera offline") < 12 + times / 64, "the log does not fill the disk"
        told = ("camera door is offline", "the connection of camera door is unusable")
        board.until(lambda: any(text.startswith(told) for text in board.health["problems"]), "the problem in health")


def test_cameras_that_change_places_keep_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dev = FakeDev(tmp_path / "dev")
    monkeypatch.setenv(fake_dev.VARIABLE, str(dev.root))
    yard = '[cameras.yard]\nsource = "2"\n'
    first, second, third = (f"usb-Maker_Cam_{serial}-video-index0" for serial in ("A1", "B2", "C3"))

    def widths(board: Board, camera: str) -> list[int]:
        return [each["frame"]["width"] for each in board.documents() if each["camera"] == camera and "frame" in each]

    def sees(board: Board, camera: str, width: int) -> None:
        before = len(widths(board, camera))
        board.until(lambda: width in widths(board, camera)[before:], f"pictures of {width} of {camera}")

    def board() -> Board:
        return Board(tmp_path / "board", source="0", more=yard, module="tests.simulators.fake_dev")

    dev.plug(0, by_id=first, width=64)
    dev.plug(2, by_id=second, width=96)
    with board() as running:
        sees(running, "yard", 96)
        dev.unplug(0)
        dev.unplug(2)
        running.until_said("camera offline", 2)
        dev.plug(0, by_id=second, width=96)
        dev.plug(2, by_id=first, width=64)
        running.until_said("is not the camera that it was: going on with", 2)
        sees(running, "yard", 96)
        sees(running, "door", 64)
    with board() as running:
        running.until_said("is not the camera that it was: going on with", 2)
        sees(running, "yard", 96)
        dev.unplug(2)
        dev.plug(2, by_id=third, width=128)
        waits = "waiting for " + str(dev.root / "v4l" / "by-id" / first)
        running.until(lambda: any(waits in text for text in running.health.get("problems", ())), "it is said")
        sees(running, "yard", 96)
        assert set(widths(running, "door")) == {64}, "no other camera was taken for it"
        assert set(widths(running, "yard")) == {96}


# The broker and its other clients


@pytest.mark.broker
def test_commands_are_taken_again_when_a_broker_went_away_amid_them(tmp_path: Path, broker: Broker) -> None:
    with Board(tmp_path / "board", broker.url) as board:
        with Asker(broker, "edgemass/v1/pi") as asker:
            assert asker.ask("camera/door/command/score", "0.2")["ok"]
            for score in range(20):
                asker.tell("camera/door/command/score", f"0.{score + 10}")
            broker.kill()
        board.until_said("lost the connection to the MQTT broker")
        board.goes_on()
        broker.start()
        with Listener(broker, "edgemass/v1/pi/#") as listener, Asker(broker, "edgemass/v1/pi") as asker:
            board.until(lambda: b"online" in listener.payloads("edgemass/v1/pi/availability"), "it is back")
            board.until(lambda: listener.payloads("edgemass/v1/pi/camera/door/settings"), "what was changed is told")
            assert asker.ask("camera/door/command/score", "0.9")["result"]["score"] == 0.9
            board.goes_on()


@pytest.mark.slow  # 12 s: three connections have to be lost
@pytest.mark.broker
def test_a_second_board_of_one_name_is_said_with_the_cause_and_slows_down(tmp_path: Path, broker: Broker) -> None:
    with Board(tmp_path / "one", broker.url) as one, Board(tmp_path / "two", broker.url) as two:
        said = "uses the same client id 'edgemass-pi'"
        both = (one, two)
        one.until(lambda: any(said in board.log for board in both), "the cause in the log of one")
        one.until(
            lambda: any(said in text for board in both for text in board.health.get("problems", ())), "and in health"
        )
        for board in both:
            board.goes_on(20)
            assert board.log.count(said) <= 1
        assert broker.log.count("already connected, closing old connection") < 12, "they do not fight without end"


# Who runs it, and who looks on


def test_a_storm_of_reload_signals_loses_no_frame(seen: Seen) -> None:
    board = seen.board
    for _ in range(100):
        os.kill(board.daemon.pid, signal.SIGHUP)
    board.goes_on()
    board.file.write_text(board.file.read_text().replace("max_fps = 10", "max_fps = 15"))
    os.kill(board.daemon.pid, signal.SIGHUP)
    board.until_said("camera door goes on with another max_fps")
    assert board.log.count("configuration read again") < 20, "signals that come while one is served are one"
    board.goes_on()
    found = [each["seq"] for each in board.documents() if each["schema"] == "edgemass.detection/1"]
    assert found == list(range(1, len(found) + 1))
    assert board.log.count("camera online") == 1


def test_viewers_that_vanish_cost_nothing(seen: Seen) -> None:
    board, port = seen
    view(port)
    threads, files = board.daemon.threads(), board.daemon.open_files()
    for _ in range(10):
        view(port)
    board.until(lambda: board.daemon.open_files() <= files + 1, "connections of viewers that went are closed")
    assert board.daemon.threads() <= threads + 4
    assert get(port, "/healthz")
    board.goes_on()
