from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.doctor.drivers import gpu
from edgemass.doctor.service import UNIT, groups, judge, unit
from tests.unit.doctor.conftest import MakeMachine

GOOD = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "NRestarts": "0",
    "UnitFileState": "enabled",
    "ExecMainStatus": "0",
}


@pytest.mark.parametrize(
    ("change", "status", "fix"),
    [
        ({}, "OK", ""),
        ({"NRestarts": "40"}, "WARN", "journalctl"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, "WARN", "journalctl"),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"}, "FAIL", "edgemass config check"),
        ({"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": "9"}, "FAIL", "journalctl"),
        ({"ActiveState": "inactive", "SubState": "dead"}, "NOTE", "enable --now"),
        ({"UnitFileState": "disabled"}, "NOTE", "systemctl enable"),
        ({"LoadState": "bad-setting"}, "WARN", "daemon-reload"),
    ],
)
def test_how_the_service_is_is_told_with_what_to_do(change: dict[str, str], status: str, fix: str) -> None:
    finding = judge({**GOOD, **change})
    assert finding.status.value == status
    assert fix in finding.fix


def test_an_answer_without_a_word_is_told_and_no_crash() -> None:
    assert judge({}).status.value == "WARN"


@pytest.fixture
def board(tmp_path: Path) -> Path:
    for folder in ("etc/systemd/system", "dev", "run"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/systemd/system" / UNIT).touch()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nedgemass:x:990:990::/:/usr/sbin/nologin\n")
    (tmp_path / "etc/group").write_text("video:x:44:edgemass\ndialout:x:20:pi\nrender:x:106:\n")
    return tmp_path


def test_a_group_that_opens_what_is_plugged_in_is_missed_by_name(machine: MakeMachine, board: Path) -> None:
    (board / "dev/video0").touch()
    assert groups(machine())[0].status.value == "OK"
    (board / "dev/ttyUSB0").touch()
    (finding,) = groups(machine())
    assert finding.status.value == "WARN"
    assert "usermod -aG dialout edgemass" in finding.fix


def test_a_service_without_its_user_fails(machine: MakeMachine, board: Path) -> None:
    (board / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    assert groups(machine())[0].status.value == "FAIL"


def test_without_a_unit_nothing_is_said(machine: MakeMachine) -> None:
    assert unit(machine()) == groups(machine()) == []


def test_a_gpu_without_its_driver_is_told(machine: MakeMachine, tmp_path: Path) -> None:
    assert gpu(machine()) == []
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "vendor").write_text("0x10de\n")
    (card / "class").write_text("0x030000\n")
    assert gpu(machine())[0].status.value == "WARN"
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    told = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025\n"
    (tmp_path / "proc/driver/nvidia/version").write_text(told)
    assert gpu(machine())[0].found == "NVIDIA 550.163.01 for 1 GPU"
