"""EM1xx: Python, platform and board."""

from __future__ import annotations

from collections.abc import Sequence

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

OLDEST = (3, 10)
NEWEST_TESTED = (3, 13)
TESTED = ("x86_64", "aarch64", "armv7l")


def python(machine: Machine) -> Sequence[Finding]:
    found = ".".join(map(str, machine.python))
    wanted = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST_TESTED[0]}.{NEWEST_TESTED[1]}"
    if machine.python[:2] < OLDEST:
        return [Finding(Status.FAIL, f"{found}, too old", f"install Python {wanted}, and edgemass into it")]
    if machine.python[:2] > NEWEST_TESTED:
        return [Finding(Status.NOTE, f"{found}, newer than tested", f"where packages are missing, use Python {wanted}")]
    return [Finding(Status.OK, found)]


def platform(machine: Machine) -> Sequence[Finding]:
    """Which packages there are depends on this, and some boards run a 32-bit Python on a 64-bit kernel."""
    architecture, bits = machine.architecture, machine.pointer_bits
    found = ", ".join(part for part in (architecture, _system(machine)) if part)
    if architecture in ("aarch64", "x86_64") and bits == 32:
        return [
            Finding(
                Status.WARN,
                f"{found}: a 64-bit kernel under a 32-bit Python, for which few packages are built",
                "install the 64-bit edition of the operating system",
            )
        ]
    if architecture not in TESTED:
        return [
            Finding(Status.WARN, f"{found}: nobody has tested this", f"use a board with one of {', '.join(TESTED)}")
        ]
    if architecture == "armv7l":
        return [
            Finding(
                Status.NOTE,
                f"{found}: 32 bits, TFLite models only",
                "where the board can, install a 64-bit operating system: it also runs ONNX models",
            )
        ]
    return [Finding(Status.OK, found)]


def board(machine: Machine) -> Sequence[Finding]:
    where = ", in a container" if machine.in_container else ""
    if machine.model:
        return [Finding(Status.OK, machine.model + where)]
    return [Finding(Status.NOTE, f"it does not say what it is{where}")]


def _system(machine: Machine) -> str:
    """PRETTY_NAME of os-release(5)."""
    for line in (machine.text("etc/os-release") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return ""
