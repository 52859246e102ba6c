"""Checks of a configuration: of its own, of what it names, and beside a daemon that runs with it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from edgemass.doctor import Machine
from edgemass.doctor.cameras import configured
from edgemass.doctor.child import Answer
from edgemass.doctor.configuration import file, secrets
from edgemass.doctor.daemon import runs, status
from edgemass.doctor.finding import Finding
from edgemass.doctor.model import model
from edgemass.doctor.outputs import http_port, serial_ports
from tests.unit.doctor.conftest import MakeMachine

CAMERAS = '[cameras.door]\nsource = "synthetic:"\n[cameras.yard]\nsource = "0"\nenabled = false\n'
TRIAL = {"frames": 30, "width": 640, "height": 480, "fps": 15.0, "first_s": 0.4}
MODEL = {
    "name": "tiny",
    "version": "1",
    "variant": "fp32",
    "backend": "onnxruntime/cpu",
    "degraded": "",
    "load_s": 0.1,
    "run_s": 0.01,
    "samples": 2,
    "missed": [],
}


def configuration(tmp_path: Path, text: str = CAMERAS) -> Path:
    path = tmp_path / "edgemass.toml"
    path.write_text(text)
    path.chmod(0o640)
    return path


def one(findings: object) -> tuple[str, str, str]:
    (finding,) = findings if isinstance(findings, list) else []
    assert isinstance(finding, Finding)
    return finding.status.value, finding.found, finding.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras.door.sorce = '0'\n", "did you mean `source`"),
        ("[cameras.door]\nsource = 'ftp://x'\n", "ftp"),
        ("sinks = ['serial:///dev/ttyUSB0?bauds=1']\n[cameras]\n", "did you mean baud"),
        ("cameras = \n", "not TOML"),
    ],
)
def test_what_is_wrong_with_it_is_told_with_what_to_do(
    machine: MakeMachine, tmp_path: Path, text: str, said: str
) -> None:
    status_, found, fix = one(file(machine(config=configuration(tmp_path, text))))
    assert status_ == "FAIL"
    assert said in f"{found}; {fix}"
    assert fix


def test_a_good_one_is_told_and_none_says_nothing(machine: MakeMachine, tmp_path: Path) -> None:
    assert one(file(machine(config=configuration(tmp_path))))[0] == "OK"
    assert file(machine()) == secrets(machine()) == configured(machine()) == serial_ports(machine()) == []
    assert model(machine()) == http_port(machine()) == []


def test_a_password_that_everybody_can_read_is_told_without_it(machine: MakeMachine, tmp_path: Path) -> None:
    path = configuration(tmp_path, "[cameras.door]\nsource = 'rtsp://me:hunter2@cam/1'\n")
    assert secrets(machine(config=path)) == []
    path.chmod(0o644)
    status_, found, fix = one(secrets(machine(config=path)))
    assert status_ == "WARN"
    assert "hunter2" not in found + fix
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o604)
    path = configuration(tmp_path, f"sinks = ['mqtt://me@h?password_file={secret}']\n[cameras]\n")
    assert one(secrets(machine(config=path)))[2] == f"chmod 600 {secret}"


def test_every_camera_is_tried_but_those_that_are_switched_off(machine: MakeMachine, tmp_path: Path) -> None:
    made = machine(answers={"trial": Answer(TRIAL)}, config=configuration(tmp_path))
    assert [(finding.status.value, finding.found.partition(":")[0]) for finding in configured(made)] == [
        ("OK", "door"),
        ("NOTE", "yard"),
    ]


def test_what_a_daemon_has_is_not_opened_a_second_time(machine: MakeMachine, tmp_path: Path) -> None:
    """Whatever is asked in a child fails here, as a camera does that is in use."""
    made = machine(config=configuration(tmp_path, CAMERAS.replace("enabled = false\n", "")), daemon=True)
    assert [finding.status.value for finding in configured(made)] == ["NOTE", "NOTE"]
    (tmp_path / "run/edgemass").mkdir(parents=True)
    said = {"cameras": {"door": {"state": "online"}, "yard": {"state": "offline", "reason": "no frame for 10 s"}}}
    (tmp_path / "run/edgemass/status.json").write_text(json.dumps(said))
    door, yard = configured(made)
    assert door.found == "door: in use by the daemon, which says it is online"
    assert (yard.status.value, "no frame for 10 s" in yard.found) == ("FAIL", True)


def test_a_daemon_is_known_by_its_lock(machine: MakeMachine, tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / "run/edgemass"
    assert not runs(folder)
    folder.mkdir(parents=True)
    lock = folder / "edgemass.lock"
    lock.touch()
    assert not runs(folder)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert runs(folder)
    assert status(machine()) == {}


def test_a_serial_port_is_looked_at_and_not_opened(machine: MakeMachine, tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        path = configuration(tmp_path, f"sinks = ['serial://{os.ttyname(slave)}']\n[cameras]\n")
        assert one(serial_ports(machine(config=path)))[0] == "OK"
        holder = tmp_path / "proc/812/fd"
        holder.mkdir(parents=True)
        (holder / "3").symlink_to(os.ttyname(slave))
        (holder.parent / "comm").write_text("minicom\n")
        assert "minicom, process 812" in one(serial_ports(machine(config=path)))[1]
        assert one(serial_ports(machine(config=path, daemon=True)))[0] == "NOTE"
    finally:
        os.close(master)
        os.close(slave)
    path = configuration(tmp_path, "sinks = ['serial:///dev/edgemass-absent']\n[cameras]\n")
    assert "is not there" in one(serial_ports(machine(config=path)))[1]


def test_a_port_that_is_taken_is_told_and_a_free_one_stays_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        assert one(http_port(Machine(http=where)))[0] == "FAIL"
        assert one(http_port(Machine(http=where, daemon=True)))[0] == "NOTE"
    assert [one(http_port(Machine(http=where)))[0] for _ in range(2)] == ["OK", "OK"]
    path = configuration(tmp_path, f"[http]\nlisten = '{where}'\n[cameras]\n")
    assert one(http_port(Machine(config=path)))[1] == f"{where} is free"
    assert "must be PORT, HOST:PORT" in one(http_port(Machine(http="nonsense")))[1]
    assert "no address of this machine" in one(http_port(Machine(http="203.0.113.7:8088")))[1]


@pytest.mark.parametrize(
    ("change", "status_", "said"),
    [
        ({}, "OK", "2 golden samples come out right"),
        ({"samples": 0}, "OK", "no golden samples"),
        ({"degraded": "no Edge TPU"}, "WARN", "no Edge TPU"),
        ({"missed": ["golden-1.png: it says 'cat', wanted 'person'"]}, "FAIL", "1 of its 2 golden samples"),
    ],
)
def test_a_model_that_is_asked_for_must_know_its_golden_samples(
    machine: MakeMachine, change: dict[str, object], status_: str, said: str
) -> None:
    made = machine(answers={"trial": Answer({**MODEL, **change})}, model_asked="tiny")
    found = one(model(made))
    assert found[0] == status_
    assert said in found[1]


def test_no_second_copy_of_a_model_is_loaded_where_memory_is_short(machine: MakeMachine, tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 500000 kB\nMemAvailable: 100000 kB\n")
    made = machine(config=configuration(tmp_path), daemon=True)
    assert one(model(made))[0] == "NOTE"


def test_a_model_that_is_not_there_fails_with_what_to_do(machine: MakeMachine) -> None:
    failed = Answer(failure="there is no model 'tyni'; did you mean tiny?")
    status_, found, fix = one(model(machine(answers={"trial": failed}, model_asked="tyni")))
    assert (status_, found, fix) == ("FAIL", "there is no model 'tyni'", "did you mean tiny?")
