from __future__ import annotations

import pytest

from edgemass.doctor import Status
from edgemass.doctor.board import board, platform, python
from tests.unit.doctor.conftest import MakeMachine


@pytest.mark.parametrize(
    ("version", "status"), [((3, 9, 2), "FAIL"), ((3, 10, 0), "OK"), ((3, 13, 1), "OK"), ((3, 15, 0), "NOTE")]
)
def test_python_is_held_against_the_versions_that_are_supported(
    machine: MakeMachine, version: tuple[int, int, int], status: str
) -> None:
    (finding,) = python(machine(python=version))
    assert finding.status.value == status
    assert bool(finding.fix) == (status != "OK")


@pytest.mark.parametrize(
    ("architecture", "bits", "status", "told"),
    [
        ("aarch64", 64, "OK", "Debian GNU/Linux 12 (bookworm)"),
        ("x86_64", 64, "OK", "x86_64"),
        ("armv7l", 32, "NOTE", "TFLite models only"),
        ("aarch64", 32, "WARN", "64-bit kernel under a 32-bit Python"),
        ("riscv64", 64, "WARN", "nobody has tested"),
    ],
)
def test_a_platform_with_few_packages_is_named(
    machine: MakeMachine, architecture: str, bits: int, status: str, told: str
) -> None:
    (finding,) = platform(machine("raspberry-pi-4", architecture=architecture, pointer_bits=bits))
    assert finding.status.value == status
    assert told in finding.found


def test_a_board_is_known_by_its_device_tree_or_dmi(machine: MakeMachine) -> None:
    pi, jetson, pc = (machine(name) for name in ("raspberry-pi-4", "jetson-orin-nano", "mini-pc"))
    assert board(pi)[0].found == "Raspberry Pi 4 Model B Rev 1.4"
    assert board(pc)[0].found == "ASUSTeK COMPUTER INC. MINIPC PN50, in a container"
    assert (pi.is_pi, pi.is_jetson) == (True, False)
    assert (jetson.is_pi, jetson.is_jetson) == (False, True)
    assert board(machine())[0].status is Status.NOTE
