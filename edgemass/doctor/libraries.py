"""EM2xx: the libraries that edgemass always needs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec as structs

from edgemass.doctor import packages
from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine, answered


class Library(structs.Struct, frozen=True):
    """What a probe says of a library. lacks: what this build should have and has not."""

    version: str
    lacks: str = ""


def numpy(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "numpy", "numpy")


def opencv(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "cv2", "opencv-python-headless")


def av(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "av", "av")


def paho(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "paho.mqtt", "paho-mqtt")


def msgspec(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "msgspec", "msgspec")


def pyserial(machine: Machine) -> Sequence[Finding]:
    return _library(machine, "serial", "pyserial")


def one_opencv(machine: Machine) -> Sequence[Finding]:
    """The packages of OpenCV write over each other's files; the one without a GUI needs no desktop's libraries."""
    owners = packages.owners("cv2", machine.packages, prefix="opencv-")
    if len(owners) < 2:
        return []
    names = " ".join(owner.name for owner in owners)
    return [
        Finding(
            Status.WARN,
            f"{', '.join(map(str, owners))} install the same module cv2 over each other",
            f"pip uninstall -y {names}; pip install opencv-python-headless",
        )
    ]


def _library(machine: Machine, module: str, package: str) -> Sequence[Finding]:
    answer = machine.probe("library", module=module)
    wanted = packages.needed(package, machine.packages)
    library = answered(answer, Library)
    if library is None:
        absent = module.partition(".")[0] == answer.missing
        what = "is not installed" if absent else "cannot be imported"
        install = "install" if absent else "install --force-reinstall"
        return [Finding(Status.FAIL, f"{what}: {answer.failure}", f"pip {install} '{wanted}'")]
    if packages.release(library.version) < packages.release(wanted.partition(">=")[2]):
        if machine.architecture == "armv7l":  # the index has no newer one: there it is Debian's package
            return [Finding(Status.NOTE, f"{library.version}, older than {wanted}, as Debian has it for 32-bit ARM")]
        return [Finding(Status.WARN, f"{library.version}, wanted {wanted}", f"pip install --upgrade '{wanted}'")]
    if library.lacks:
        return [
            Finding(
                Status.WARN,
                f"{library.version}, built without {library.lacks}",
                f"pip install --force-reinstall {package}",
            )
        ]
    return [Finding(Status.OK, library.version)]
