"""EM403 and EM404: cameras on the ribbon cable, reached through the board's camera stack and GStreamer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine, answered

ARGUS_SOCKET = "tmp/argus_socket"  # of nvargus-daemon, which owns the sensors of a Jetson
_LIBCAMERA = ("usr/lib/*/libcamera.so*", "usr/lib/libcamera.so*", "usr/local/lib/*/libcamera.so*")
_PACKAGES = "gir1.2-gst-plugins-base-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
ELEMENTS = ("appsink", "nvarguscamerasrc", "libcamerasrc")


class GStreamer(msgspec.Struct, frozen=True):
    """elements: those of ELEMENTS that are there."""

    version: str
    elements: tuple[str, ...]


def csi(machine: Machine) -> Sequence[Finding]:
    """Says nothing on boards that have no such socket."""
    if machine.is_jetson:
        if machine.exists(ARGUS_SOCKET):
            return [Finding(Status.OK, "nvargus-daemon is there")]
        fix = "sudo systemctl restart nvargus-daemon"
        if machine.in_container:
            fix = f"hand /{ARGUS_SOCKET} to the container"
        return [Finding(Status.NOTE, "nvargus-daemon is not there: no csi://", fix)]
    if machine.is_pi:
        if any(any(machine.root.glob(pattern)) for pattern in _LIBCAMERA):
            return [Finding(Status.OK, "libcamera is there")]
        return [Finding(Status.NOTE, "libcamera is not there: no csi://", "sudo apt install rpicam-apps")]
    return []


def gstreamer(machine: Machine) -> Sequence[Finding]:
    """PyGObject comes from the operating system: a virtual environment sees it only when it was told to."""
    answer = machine.probe("gstreamer", elements=list(ELEMENTS))
    found = answered(answer, GStreamer)
    if found is None:
        fix = f"sudo apt install {_PACKAGES}, and make the virtual environment with --system-site-packages"
        return [Finding(Status.NOTE, f"not to be had: {answer.failure}; no gst: and no csi://", fix)]
    wanted = _element(machine)
    if "appsink" not in found.elements:
        fix = "sudo apt install gstreamer1.0-plugins-base"
        return [Finding(Status.NOTE, f"{found.version} without appsink: no gst: and no csi://", fix)]
    if wanted and wanted not in found.elements:
        fix = "install NVIDIA's multimedia packages" if machine.is_jetson else "sudo apt install gstreamer1.0-libcamera"
        return [Finding(Status.NOTE, f"{found.version} without {wanted}: no csi://", fix)]
    return [Finding(Status.OK, f"{found.version}{f' with {wanted}' if wanted else ''}")]


def _element(machine: Machine) -> str:
    """The one that csi:// needs on this board."""
    if machine.is_jetson:
        return "nvarguscamerasrc"
    return "libcamerasrc" if machine.is_pi else ""
