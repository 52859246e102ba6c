from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgemass.doctor.storage import inodes, judge_inodes, wear, writable
from tests.unit.doctor.conftest import MakeMachine


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("life", "spare", "status"),
    [
        ("0x01 0x01", "0x01", "OK"),
        ("0x08 0x02", "0x01", "OK"),
        ("0x01 0x09", "0x01", "WARN"),
        ("0x01 0x01", "0x02", "WARN"),
        ("0x01 0x01", "0x03", "FAIL"),
        ("0x0b 0x01", "0x01", "FAIL"),
    ],
)
def test_an_emmc_that_wears_out_is_told_by_its_own_registers(
    machine: MakeMachine, tmp_path: Path, life: str, spare: str, status: str
) -> None:
    device = tmp_path / "sys/block/mmcblk0/device"
    put(device / "life_time", f"{life}\n")
    put(device / "pre_eol_info", f"{spare}\n")
    put(tmp_path / "sys/block/mmcblk0boot0/device/life_time", "0x0b 0x0b\n")  # a part of the same chip
    assert [finding.status.value for finding in wear(machine())] == [status]


def test_an_sd_card_says_nothing_of_its_life(machine: MakeMachine, tmp_path: Path) -> None:
    device = tmp_path / "sys/block/mmcblk0/device"
    put(device / "type", "SD\n")
    put(device / "life_time", "0x00 0x00\n")
    assert wear(machine()) == []


@pytest.mark.parametrize(
    ("written", "ever", "status", "when"),
    [
        (5_000_000, 5_000_000, "OK", "since its start"),
        (50_000_000, 50_000_000, "WARN", "since its start"),
        (5_000_000, 90_000_000, "OK", "in 24 hours"),
    ],
)
def test_what_the_daemon_wrote_in_a_day_is_held_against_its_budget(
    machine: MakeMachine, tmp_path: Path, written: int, ever: int, status: str, when: str
) -> None:
    disk = {"written_bytes": ever, "written_today_bytes": written, "budget_bytes": 20_000_000}
    put(tmp_path / "run/edgemass/status.json", json.dumps({"system": {"disk": disk}}))
    (finding,) = wear(machine())
    assert (finding.status.value, f"MB {when}, of 20 MB a day" in finding.found) == (status, True)


def test_a_status_that_is_damaged_is_no_trouble_of_the_doctors(machine: MakeMachine, tmp_path: Path) -> None:
    for text in ("", "[", "[]", '{"system": 3}', '{"system": {"disk": {"written_today_bytes": "x"}}}'):
        put(tmp_path / "run/edgemass/status.json", text)
        assert wear(machine()) == []


def test_errors_that_a_file_system_has_met_are_told(machine: MakeMachine, tmp_path: Path) -> None:
    put(tmp_path / "sys/fs/ext4/mmcblk0p2/errors_count", "3\n")
    put(tmp_path / "sys/fs/ext4/mmcblk0p3/errors_count", "0\n")
    (finding,) = writable(machine())
    assert "mmcblk0p2 has met 3 errors" in finding.found
    assert "fsck" in finding.fix


def test_inodes_are_told_before_they_are_gone_and_not_where_there_are_none(machine: MakeMachine) -> None:
    assert [judge_inodes("/", free, 1000)[0].status.value for free in (0, 10, 500)] == ["FAIL", "WARN", "OK"]
    assert judge_inodes("/", 0, 0) == []
    assert all(finding.found for finding in inodes(machine()))


def test_the_disk_that_is_asked_is_that_of_the_state_which_the_configuration_names(
    machine: MakeMachine, tmp_path: Path
) -> None:
    config = tmp_path / "edgemass.toml"
    config.write_text('state = "/mnt/card/edgemass"\n[cameras.door]\nsource = "0"\n')
    (tmp_path / "mnt/card").mkdir(parents=True)
    (finding,) = writable(machine(config=config))
    assert finding.found == f"{tmp_path}/mnt/card can be written"
