from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgemass.doctor import Machine
from edgemass.doctor.child import Answer
from edgemass.doctor.edgetpu import edgetpu
from edgemass.doctor.heat import power, temperature, throttling
from edgemass.doctor.system import DISK_FAIL_BYTES, DISK_WARN_BYTES, disk, judge_clock, judge_disk, memory, temporary
from tests.unit.doctor.conftest import BOARDS, MakeMachine

NOW_S = 1_795_000_000.0
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """A copy of the Raspberry Pi that may be changed."""
    shutil.copytree(BOARDS / "raspberry-pi-4", tmp_path / "pi")
    return tmp_path / "pi"


@pytest.mark.parametrize(
    ("now_s", "synced", "status"), [(0.0, True, "FAIL"), (NOW_S, False, "WARN"), (NOW_S, True, "OK")]
)
def test_a_clock_that_is_wrong_or_not_synchronised_is_told(now_s: float, synced: bool, status: str) -> None:
    assert judge_clock(now_s, synced=synced).status.value == status


def test_a_full_disk_is_told_before_it_is_full(machine: MakeMachine) -> None:
    found = [
        judge_disk("/", free, 1 << 40).status.value
        for free in (DISK_FAIL_BYTES - 1, DISK_WARN_BYTES - 1, DISK_WARN_BYTES)
    ]
    assert found == ["FAIL", "WARN", "OK"]
    assert disk(machine())[0].found.endswith("free at /")


def test_the_disk_with_the_state_is_looked_at_wherever_that_is_named(machine: MakeMachine, tmp_path: Path) -> None:
    """A card and an SSD: the state of a plain user, or where EDGEMASS_STATE says, is on one of them."""
    for name in ("var/lib/edgemass", "home/ada/.local/state"):
        (tmp_path / name).mkdir(parents=True)
    assert disk(machine())[0].found.endswith("free at /var/lib/edgemass")
    of_ada = machine(state=Path("/home/ada/.local/state/edgemass"))
    assert disk(of_ada)[0].found.endswith("free at /home/ada/.local/state")


def test_no_folder_for_temporary_files_is_a_failure(machine: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    assert temporary(machine())[0].status.value == "OK"

    def nowhere() -> list[str]:
        return ["/proc/nowhere"]

    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", nowhere)
    (finding,) = temporary(machine())
    assert finding.status.value == "FAIL"
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_memory_is_what_the_kernel_and_the_cgroup_leave(machine: MakeMachine) -> None:
    assert memory(machine("raspberry-pi-4"))[0].found == "2.9 GiB of 3.7 GiB available"
    (limited,) = memory(machine("mini-pc"))
    assert (limited.status.value, limited.found) == ("WARN", "128 MiB available, by the limit of 512 MiB of its cgroup")
    assert memory(machine())[0].status.value == "NOTE"


def test_heat_is_measured_against_the_boards_own_limit(machine: MakeMachine) -> None:
    assert temperature(machine("raspberry-pi-4"))[0].found == "62 °C (cpu-thermal), limit 80 °C"
    (hot,) = temperature(machine("jetson-orin-nano"))  # whose other zone has no sensor
    assert (hot.status.value, hot.found) == ("WARN", "100 °C (cpu-thermal), limit 99 °C")
    assert temperature(machine())[0].status.value == "NOTE"


@pytest.mark.parametrize(
    ("bits", "slowed", "fed"),
    [("0", "OK", "OK"), ("50005", "WARN", "WARN"), ("50000", "NOTE", "WARN"), ("80008", "WARN", "OK")],
)
def test_throttling_and_under_voltage_of_a_pi_are_told_apart(pi: Path, bits: str, slowed: str, fed: str) -> None:
    (pi / THROTTLED).write_text(f"{bits}\n")
    assert throttling(Machine(root=pi))[0].status.value == slowed
    assert power(Machine(root=pi))[0].status.value == fed


def test_a_capped_clock_and_a_battery_are_noted(machine: MakeMachine) -> None:
    (capped,) = throttling(machine("jetson-orin-nano"))
    assert capped.status.value == "NOTE"
    assert "nvpmodel" in capped.fix
    assert "0.73 of 1.51 GHz" in capped.found
    assert power(machine("mini-pc"))[0].status.value == "NOTE"
    assert power(machine()) == []


def test_an_edge_tpu_needs_device_library_and_permission(machine: MakeMachine) -> None:
    loads = {"shared_library": Answer(value=True)}
    fails = {"shared_library": Answer(failure="OSError: libedgetpu.so.1: cannot open shared object file")}
    found = {
        "all": edgetpu(machine("raspberry-pi-4", loads), lambda *_: True),
        "forbidden": edgetpu(machine("raspberry-pi-4", loads), lambda *_: False),
        "no library": edgetpu(machine("raspberry-pi-4", fails), lambda *_: True),
        "no device": edgetpu(machine("jetson-orin-nano", loads)),
        "no driver": edgetpu(machine("mini-pc", loads)),
    }
    assert {name: findings[0].status.value for name, findings in found.items()} == {
        "all": "OK",
        "forbidden": "WARN",
        "no library": "WARN",
        "no device": "NOTE",
        "no driver": "WARN",
    }
    assert "plugdev" in found["forbidden"][0].fix
    assert edgetpu(machine("jetson-orin-nano", fails)) == []
