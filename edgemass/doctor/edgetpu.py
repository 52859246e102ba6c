"""EM321: Coral's Edge TPU, on USB or PCIe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

LIBRARY = "libedgetpu.so.1"
# Vendor and product: before its firmware is loaded (by the first program that uses it), and after.
USB_IDS = frozenset({("1a6e", "089a"), ("18d1", "9302")})
PCI_ID = ("0x1ac1", "0x089a")
_INSTALL = "install libedgetpu1-std (https://coral.ai/docs/accelerator/get-started)"
_DRIVER = "install gasket-dkms (https://coral.ai/docs/m2/get-started), then sudo modprobe apex"

Access = Callable[[Path, int], bool]


class Device(NamedTuple):
    """node: what a program opens. group: who may, where the driver's package has made its udev rule."""

    name: str
    node: Path
    group: str


def edgetpu(machine: Machine, access: Access = os.access) -> Sequence[Finding]:
    """Says nothing where there is neither device nor library: few boards have one."""
    if _without_driver(machine):
        return [Finding(Status.WARN, "a PCIe device without /dev/apex_0: its driver is not loaded", _DRIVER)]
    found = devices(machine)
    library = machine.probe("shared_library", name=LIBRARY)
    if not found:
        if library.failure:
            return []
        return [Finding(Status.NOTE, f"{LIBRARY} is there, but no device", "plug it in, with a cable for data")]
    return [_judge(device, library.failure, access) for device in found]


def devices(machine: Machine) -> list[Device]:
    found = []
    for folder in sorted((machine.root / "sys/bus/usb/devices").glob("*")):
        path = f"sys/bus/usb/devices/{folder.name}"
        if (machine.text(f"{path}/idVendor"), machine.text(f"{path}/idProduct")) in USB_IDS:
            bus, number = machine.number(f"{path}/busnum") or 0, machine.number(f"{path}/devnum") or 0
            node = machine.root / f"dev/bus/usb/{bus:03d}/{number:03d}"
            found.append(Device(f"USB device {folder.name}", node, "plugdev"))
    nodes = sorted((machine.root / "dev").glob("apex_*"))
    return found + [Device(f"PCIe device /dev/{node.name}", node, "apex") for node in nodes]


def _without_driver(machine: Machine) -> bool:
    """A PCIe device is plugged, and no driver has made its node."""
    folders = (machine.root / "sys/bus/pci/devices").glob("*")
    ids = (
        (machine.text(f"sys/bus/pci/devices/{folder.name}/{part}") for part in ("vendor", "device"))
        for folder in folders
    )
    return PCI_ID in map(tuple, ids) and not any((machine.root / "dev").glob("apex_*"))


def _judge(device: Device, failure: str, access: Access) -> Finding:
    if failure:
        return Finding(Status.WARN, f"{device.name}, but {LIBRARY} cannot be loaded: {failure}", _INSTALL)
    if not access(device.node, os.R_OK | os.W_OK):
        return Finding(
            Status.WARN,
            f"{device.name} may not be opened by this user",
            f"sudo usermod -aG {device.group} $USER, then log in again; a container needs the device handed in",
        )
    return Finding(Status.OK, f"{device.name}, {LIBRARY} loads")
