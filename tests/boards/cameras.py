"""The virtual V4L2 cameras of the emulated machine: the kernel's vivid, found by udev as real ones are.

There are two units, told apart by the size of their pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.boards.machine import Machine

SIZES = {0: (640, 480), 1: (1280, 720)}
"""Unit -> the size of its pictures: a webcam gives the 640x480 that OpenCV asks for, an HDMI input cannot scale."""
_INPUT_TYPES = {0: "0x0", 1: "0x3"}
_CAPTURE, _RADIO = "0x1", "0x10"  # node_types: with which nodes a unit appears; a radio gives no pictures
_DRIVER = "/sys/bus/platform/drivers/vivid"
# vivid is one platform device however many units it has, so udev's own by-path name cannot tell them apart. A rule in
# the place of 60-persistent-v4l.rules' serial number makes the by-id names that USB cameras have.
_RULE = (
    'SUBSYSTEM=="video4linux", ATTR{name}=="vivid-00?-vid-cap", SYMLINK+="v4l/by-id/$attr{name}-index$attr{index}"\n'
)


def unit_name(unit: int) -> str:
    """The stable name that udev gives a unit."""
    return f"/dev/v4l/by-id/vivid-{unit:03}-vid-cap-index0"


def name_units(machine: Machine) -> None:
    """Give the units names of their own, where udev runs already or will."""
    machine.run("mkdir", "-p", "/etc/udev/rules.d")
    machine.run("tee", "/etc/udev/rules.d/99-vivid.rules", text=_RULE)


def start_udev(machine: Machine) -> None:
    name_units(machine)
    machine.run("/lib/systemd/systemd-udevd", "--daemon")
    machine.run("udevadm", "control", "--ping")


def attach(machine: Machine, numbers: Mapping[int, int]) -> None:
    """Load the driver anew. numbers: unit -> N of its /dev/videoN; a unit that is not named is not plugged in."""
    units = sorted(SIZES)
    machine.run(
        "busybox",
        "modprobe",
        "vivid",
        f"n_devs={len(units)}",
        "node_types=" + ",".join(_CAPTURE if unit in numbers else _RADIO for unit in units),
        "vid_cap_nr=" + ",".join(str(numbers.get(unit, -1)) for unit in units),
        "num_inputs=" + ",".join("1" for _ in units),
        "ccs_cap_mode=" + ",".join("0" for _ in units),  # neither crop, compose nor scale
        "input_types=" + ",".join(_INPUT_TYPES[unit] for unit in units),
    )
    machine.run("udevadm", "settle")
    for unit, number in numbers.items():
        assert machine.run("readlink", "-f", unit_name(unit)).strip() == f"/dev/video{number}"


def unplug(machine: Machine) -> None:
    """As if all cables were pulled: the nodes go while a program reads from them."""
    machine.shell(f"echo vivid.0 >{_DRIVER}/unbind; udevadm settle")


def plug(machine: Machine) -> None:
    """The same units again, where they were."""
    machine.shell(f"echo vivid.0 >{_DRIVER}/bind; udevadm settle")


def detach(machine: Machine) -> None:
    """Unload the driver, once nobody has its nodes open any more."""
    if "vivid " in machine.read("/proc/modules"):
        machine.shell(f"[ ! -e {_DRIVER}/vivid.0 ] || echo vivid.0 >{_DRIVER}/unbind")
        machine.wait_until(lambda: _unloaded(machine), "the cameras are still open somewhere")


def _unloaded(machine: Machine) -> bool:
    return machine.shell("busybox rmmod vivid 2>/dev/null && echo gone || true") == "gone\n"
