"""Which camera is which: stable names under /dev/v4l, and which device nodes give pictures at all."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from edgemass.errors import SourceError

Ioctl = Callable[[int, int, bytes], bytes]
"""(file descriptor, request, argument) -> the argument as the driver left it; `fcntl.ioctl` with bytes."""

# linux/videodev2.h
VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
CAP_DEVICE_CAPS = 0x80000000
_CAPABILITY = struct.Struct("=16s32s32s6I")  # driver, card, bus_info, version, capabilities, device_caps, reserved[3]


@dataclass(frozen=True)
class Capability:
    """What a node says of itself. captures: it gives pictures, and not metadata or an output."""

    card: str
    captures: bool


def parse_capability(raw: bytes) -> Capability:
    """Read a struct v4l2_capability; `device_caps` is the node's own part of what the whole device can do."""
    _driver, card, _bus, _version, capabilities, device_caps, *_reserved = _CAPABILITY.unpack(raw)
    own = device_caps if capabilities & CAP_DEVICE_CAPS else capabilities
    captures = bool(own & (CAP_VIDEO_CAPTURE | CAP_VIDEO_CAPTURE_MPLANE))
    return Capability(card.split(b"\0")[0].decode("utf-8", "replace"), captures)


def query(node: Path, ioctl: Ioctl = fcntl.ioctl) -> Capability:
    """Ask a node what it is; works while another program uses it.

    Raises:
        SourceError: it is not there, may not be opened, or is no V4L2 device.
    """
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return parse_capability(ioctl(descriptor, VIDIOC_QUERYCAP, bytes(_CAPABILITY.size)))
        finally:
            os.close(descriptor)
    except PermissionError as error:
        raise SourceError(f"{node} may not be opened; add this user to the group `video`") from error
    except FileNotFoundError as error:
        raise SourceError(f"{node} is not there; is the camera plugged in?") from error
    except OSError as error:
        raise SourceError(f"{node} is no camera that works: {error.strerror}") from error


def stable_name(node: Path, dev: Path) -> Path:
    """A name of this unit that survives another order of plugging in: by-id, else by-path, else the node itself.

    by-id names are made of maker, model and serial number; where two units claim one, the port decides.
    """
    found = [_name(folder, node) for folder in (_by_id(dev), _by_path(dev))]
    for name in reversed(found) if by_id_is_shared(dev) else found:
        if name is not None:
            return name
    return node


def port_of(node: Path, dev: Path) -> Path | None:
    """The by-path name: where it is plugged in."""
    return _name(_by_path(dev), node)


def by_id_is_shared(dev: Path) -> bool:
    """Whether two units claim one by-id name: then a USB node has a by-path name and no by-id name.

    Cheap cameras have no serial number, and two of one model then have the same name.
    """
    named = {where for _, where in _links(_by_id(dev))}
    return any("-usb" in link.name and where not in named for link, where in _links(_by_path(dev)))


def capture_nodes(dev: Path, ask: Callable[[Path], Capability] = query) -> list[Path]:
    """/dev/video* that give pictures, by number; nodes that cannot be asked are left out."""
    nodes = [path for path in dev.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    return [node for node in sorted(nodes, key=lambda path: int(path.name[5:])) if _captures(node, ask)]


def _captures(node: Path, ask: Callable[[Path], Capability]) -> bool:
    try:
        return ask(node).captures
    except SourceError:
        return False


def _by_id(dev: Path) -> Path:
    return dev / "v4l" / "by-id"


def _by_path(dev: Path) -> Path:
    return dev / "v4l" / "by-path"


def _name(folder: Path, node: Path) -> Path | None:
    target = node.resolve()
    return next((link for link, where in _links(folder) if where == target), None)


def _links(folder: Path) -> list[tuple[Path, Path]]:
    """(link, node) in the order of names, so that the choice is the same every time."""
    try:
        entries: Iterable[Path] = sorted(folder.iterdir())
    except OSError:  # no udev, as in a container
        return []
    return [(link, link.resolve()) for link in entries]
