"""The daemon on a whole arm64 machine: its own kernel, a V4L2 camera, udev, a broker, an ordinary user."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import jsonschema
import pytest

from tests.boards import cameras, machine, roots
from tests.boards.machine import Machine

MODEL = "/assets/detectors/ssd_mobilenet_v1_coco_quant_postprocess.tflite"
SCHEMA = machine.REPOSITORY / "edgemass" / "schemas" / "edgemass.detection.1.json"
BROKER = "listener 1883 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
HEARD = "/run/heard"
LOG = "/run/edgemass.log"
FRAMES = 3
LONGER_THAN_PAUSES_S = 10  # the first attempts to open a lost camera are at most 4 s apart

pytestmark = [pytest.mark.arm64, pytest.mark.assets, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def board(
    board_root: Callable[[Callable[[], Path], str], Path], assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Booted, with udev, a broker, and a subscriber that writes down what is published."""
    root = board_root(roots.arm64, machine.missing())
    with Machine(root, assets, tmp_path_factory.mktemp("machine")) as booted:
        cameras.start_udev(booted)
        booted.run("tee", "/run/mosquitto.conf", text=BROKER)
        booted.start("/run/mosquitto.log", "mosquitto", "-c", "/run/mosquitto.conf")
        subscribe = "until mosquitto_sub -h 127.0.0.1 -t 'edgemass/#' -F '%t %p'; do sleep 0.2; done"
        booted.start(HEARD, "sh", "-c", subscribe)
        yield booted


@final
class Daemon:
    """`edgemass run` on the board, as an ordinary user of the group video. running: it has not been ended yet."""

    def __init__(self, board: Machine, camera: str) -> None:
        self.board = board
        self.running = True
        self._before = len(board.read(HEARD).splitlines())
        command = ["python3", "-m", "edgemass", "run", "--camera", camera, "--model", MODEL]
        self._pid = board.start(LOG, *command, "--mqtt", "mqtt://127.0.0.1", user="edgemass")

    def end(self) -> None:
        """SIGTERM, upon which it must end well."""
        self.running = False
        code = self.board.end(self._pid, signal.SIGTERM)
        assert code == 0, f"exit code {code}:\n{self.board.read(LOG)[-2000:]}"

    def kill(self) -> None:
        if self.running:
            self.running = False
            self.board.end(self._pid, signal.SIGKILL)

    def heard(self, leaf: str) -> list[str]:
        """Payloads of its topics that end so, oldest first."""
        lines = [line.partition(" ") for line in self.board.read(HEARD).splitlines()[self._before :]]
        return [payload for topic, _, payload in lines if topic.endswith(f"/{leaf}")]

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.heard("camera/cam0/detections")]

    def state(self) -> str:
        states = self.heard("camera/cam0/state")
        return str(json.loads(states[-1])["state"]) if states else "never told"

    def wait_for(self, state: str) -> None:
        self.board.wait_until(lambda: self.state() == state, f"camera {state}", log=LOG)

    def wait_for_frames(self) -> list[dict[str, Any]]:
        """What it publishes from now on, the first few."""
        before = len(self.documents())
        self.board.wait_until(lambda: len(self.documents()) >= before + FRAMES, "no documents", log=LOG)
        return self.documents()[before:]


@pytest.fixture(scope="module")
def daemons(board: Machine) -> Iterator[list[Daemon]]:  # noqa: ARG001 (the machine outlives them)
    """The newest comes last. A start takes long on an emulated machine, so tests go on with the one that runs."""
    started: list[Daemon] = []
    yield started
    if started:
        started[-1].kill()


@pytest.fixture
def daemon(board: Machine, daemons: list[Daemon]) -> Iterator[Daemon]:
    """It runs on `--camera 0`, unit 0, which is /dev/video0; unit 1 is /dev/video1."""
    cameras.attach(board, {0: 0, 1: 1})
    if not daemons or not daemons[-1].running:
        daemons.append(Daemon(board, "0"))
    daemons[-1].wait_for("online")
    yield daemons[-1]
    cameras.detach(board)
    if daemons[-1].running:
        daemons[-1].wait_for("offline")


def sizes(documents: list[dict[str, Any]]) -> set[tuple[int, int]]:
    return {(document["frame"]["width"], document["frame"]["height"]) for document in documents}


def test_camera_0_is_detected_on_and_published_to_the_broker(daemon: Daemon) -> None:
    documents = daemon.wait_for_frames()
    schema = json.loads(SCHEMA.read_text())
    for document in documents:
        jsonschema.validate(document, schema)
    assert sizes(documents) == {cameras.SIZES[0]}
    assert {document["backend"] for document in documents} == {"litert/xnnpack"}
    assert daemon.heard("availability")[-1] == "online"


def test_an_unplugged_camera_is_reported_and_taken_up_again(daemon: Daemon) -> None:
    run_id = daemon.wait_for_frames()[-1]["run_id"]
    cameras.unplug(daemon.board)
    daemon.wait_for("offline")
    cameras.plug(daemon.board)
    daemon.wait_for("online")
    documents = daemon.wait_for_frames()
    assert {document["run_id"] for document in documents} == {run_id}
    assert sizes(documents) == {cameras.SIZES[0]}
    numbers = [document["seq"] for document in daemon.documents()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_same_camera_is_taken_after_the_numbers_were_swapped(daemon: Daemon) -> None:
    cameras.unplug(daemon.board)
    daemon.wait_for("offline")
    cameras.detach(daemon.board)
    cameras.attach(daemon.board, {0: 1, 1: 0})
    daemon.wait_for("online")
    assert sizes(daemon.wait_for_frames()) == {cameras.SIZES[0]}


def test_another_camera_under_its_number_is_not_taken_for_it(daemon: Daemon) -> None:
    cameras.unplug(daemon.board)
    daemon.wait_for("offline")
    cameras.detach(daemon.board)
    cameras.attach(daemon.board, {1: 0})
    daemon.board.run("sleep", str(LONGER_THAN_PAUSES_S))
    assert daemon.state() == "offline"
    assert sizes(daemon.documents()) == {cameras.SIZES[0]}


def test_sigterm_ends_it_with_code_0_and_says_offline(daemon: Daemon) -> None:
    daemon.wait_for_frames()
    daemon.end()
    daemon.board.wait_until(lambda: daemon.heard("availability")[-1] == "offline", "still said to be online", log=LOG)


def test_a_stable_name_is_that_unit_whatever_its_number(board: Machine, daemons: list[Daemon]) -> None:
    if daemons:
        daemons[-1].kill()
    cameras.attach(board, {0: 1, 1: 0})
    daemons.append(Daemon(board, f"v4l2://{cameras.unit_name(0)}"))
    assert sizes(daemons[-1].wait_for_frames()) == {cameras.SIZES[0]}
    daemons[-1].end()
    cameras.detach(board)
