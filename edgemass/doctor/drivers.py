"""EM322: whether the driver of a GPU that is there is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

NVIDIA = 0x10DE
_DISPLAY = 0x03  # of PCI's class codes


def gpu(machine: Machine) -> Sequence[Finding]:
    """Says nothing where there is no NVIDIA GPU on PCI."""
    cards = [
        folder
        for folder in sorted((machine.root / "sys/bus/pci/devices").glob("*"))
        if machine.number(f"sys/bus/pci/devices/{folder.name}/vendor", 16) == NVIDIA
        and (machine.number(f"sys/bus/pci/devices/{folder.name}/class", 16) or 0) >> 16 == _DISPLAY
    ]
    if not cards:
        return []
    told = machine.text("proc/driver/nvidia/version") or ""
    version = re.search(r"\b(\d{3}\.\d+(?:\.\d+)?)\b", told)
    if version is None:
        return [
            Finding(
                Status.WARN,
                f"{len(cards)} NVIDIA GPU, and its driver is not loaded",
                "install it (Debian: nvidia-driver, Ubuntu: `ubuntu-drivers install`), then restart; "
                "with secure boot its key must be enrolled",
            )
        ]
    return [Finding(Status.OK, f"NVIDIA {version[1]} for {len(cards)} GPU")]
