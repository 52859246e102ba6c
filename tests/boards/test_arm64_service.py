"""The service on a whole arm64 machine that systemd boots: `--camera 0`, a broker, cables that are pulled, a hang."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boards import cameras, machine, roots
from tests.boards.machine import Machine

UNIT = "edgemass.service"
PATIENCE_S = 600.0  # a start takes 10 s on two idle cores of a PC, and minutes beside other tests
PROGRAM = "/usr/local/bin/edgemass"
WRAPPER = f"""#!/bin/sh
PYTHONPATH=/repository/tests/boards/faults:/repository:/{roots.SITE} exec /usr/bin/python3 -m edgemass "$@"
"""
CONFIG = """device = "board"
backend = "tflite"
tune = false
sinks = ["mqtt://127.0.0.1"]
[cameras.cam0]
source = "0"
"""
BROKER = "listener 1883 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
HEARD = "/run/heard"
FRAMES = 3

pytestmark = [pytest.mark.arm64, pytest.mark.systemd, pytest.mark.assets, pytest.mark.timeout(2400)]


@pytest.fixture(scope="module")
def board(
    board_root: Callable[[Callable[[], Path], str], Path], assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Booted by systemd, with a broker, a subscriber, and a camera; the service is installed from its command line."""
    root = board_root(roots.arm64, machine.missing())
    with Machine(root, assets, tmp_path_factory.mktemp("machine"), systemd=True) as booted:
        booted.run("tee", "/run/mosquitto.conf", text=BROKER)
        booted.start("/run/mosquitto.log", "mosquitto", "-c", "/run/mosquitto.conf")
        subscribe = "until mosquitto_sub -h 127.0.0.1 -t 'edgemass/#' -F '%t %p'; do sleep 0.2; done"
        booted.start(HEARD, "sh", "-c", subscribe)
        cameras.name_units(booted)
        booted.run("udevadm", "control", "--reload")  # it looks for new rules by itself, but not twice in 3 s
        cameras.attach(booted, {0: 0, 1: 1})
        booted.run("install", "-D", "-m", "755", "/dev/stdin", PROGRAM, text=WRAPPER)
        booted.run("install", "-D", "-m", "644", "/dev/stdin", "/etc/edgemass/edgemass.toml", text=CONFIG)
        booted.run(PROGRAM, "service", "install", "--program", PROGRAM)
        yield booted


def show(board: Machine, name: str) -> str:
    return board.run("systemctl", "show", "--value", "-p", name, UNIT).strip()


def journal(board: Machine) -> str:
    return board.run("journalctl", "--no-pager", "-o", "cat", "-u", UNIT)


def heard(board: Machine, leaf: str) -> list[str]:
    lines = [line.partition(" ") for line in board.read(HEARD).splitlines()]
    return [payload for topic, _, payload in lines if topic == f"edgemass/v1/board/{leaf}"]


def wait(board: Machine, what: Callable[[], object], reason: str) -> None:
    try:
        board.wait_until(what, reason, patience_s=PATIENCE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{journal(board)[-3000:]}") from error


def wait_for_frames(board: Machine) -> list[dict[str, Any]]:
    before = len(heard(board, "camera/cam0/detections"))
    wait(board, lambda: len(heard(board, "camera/cam0/detections")) >= before + FRAMES, "no documents")
    return [json.loads(document) for document in heard(board, "camera/cam0/detections")[before:]]


def wait_for_state(board: Machine, state: str) -> None:
    wait(board, lambda: json.loads(heard(board, "camera/cam0/state")[-1])["state"] == state, f"not {state}")


def test_the_service_finds_camera_0_and_publishes_to_the_broker(board: Machine) -> None:
    wait(board, lambda: show(board, "ActiveState") == "active", "not ready")
    documents = wait_for_frames(board)
    assert {document["model"]["name"] for document in documents} == {"edgemass-person"}
    assert all(document["backend"].startswith("litert/") for document in documents)
    assert board.run("ps", "-o", "user=", "-p", show(board, "MainPID")).strip() == "edgemass"
    assert heard(board, "availability")[-1] == "online"


def test_memory_is_limited_and_devices_of_other_kinds_are_closed(board: Machine) -> None:
    assert 0 < int(show(board, "MemoryCurrent")) < int(show(board, "MemoryMax"))
    assert show(board, "DevicePolicy") == "closed"


def test_a_camera_may_be_unplugged_and_plugged_in_while_the_watchdog_looks_on(board: Machine) -> None:
    pid = show(board, "MainPID")
    cameras.unplug(board)
    wait_for_state(board, "offline")
    cameras.plug(board)
    wait_for_state(board, "online")
    wait_for_frames(board)
    assert show(board, "MainPID") == pid


def test_a_hanging_detector_is_killed_by_the_watchdog_and_a_new_one_goes_on(board: Machine) -> None:
    pid, run_id = show(board, "MainPID"), wait_for_frames(board)[-1]["run_id"]
    board.run("tee", "/run/fault", text="hang")
    wait(board, lambda: show(board, "MainPID") not in ("0", pid), "the hanging process lives on")
    board.run("tee", "/run/fault", text="")
    wait(board, lambda: show(board, "ActiveState") == "active", "not ready again")
    assert wait_for_frames(board)[-1]["run_id"] != run_id
    told = journal(board)
    assert "the detect loop of camera cam0 has not moved" in told
    assert "Watchdog timeout" in told


def test_it_ends_well_when_the_system_does(board: Machine) -> None:
    board.run("systemctl", "stop", UNIT)
    assert show(board, "Result") == "success"
    board.wait_until(lambda: heard(board, "availability")[-1] == "offline", "still said to be online")
