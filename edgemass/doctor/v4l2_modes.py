"""Which formats, sizes and rates a V4L2 node offers. Runs in a child process: a driver may hang in any call."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgemass.doctor.answers import Format, Size, Unit
from edgemass.errors import SourceError
from edgemass.sources._v4l2_units import Ioctl, query, stable_name

# linux/videodev2.h; checked against its compiled structs on x86-64, and the same on every Linux.
VIDIOC_ENUM_FMT = 0xC0405602  # _IOWR('V', 2, struct v4l2_fmtdesc)
VIDIOC_ENUM_FRAMESIZES = 0xC02C564A  # _IOWR('V', 74, struct v4l2_frmsizeenum)
VIDIOC_ENUM_FRAMEINTERVALS = 0xC034564B  # _IOWR('V', 75, struct v4l2_frmivalenum)
BUFFER_TYPES = (1, 9)  # V4L2_BUF_TYPE_VIDEO_CAPTURE and ..._MPLANE
_DISCRETE = 1  # of V4L2_FRMSIZE_TYPE and V4L2_FRMIVAL_TYPE; the others give a range

_FORMAT = struct.Struct("=3I32s5I")  # index, type, flags, description, pixelformat, mbus_code, reserved[3]
_SIZE = struct.Struct("=3I6I2I")  # index, pixel_format, type, union, reserved[2]
_INTERVAL = struct.Struct("=5I6I2I")  # index, pixel_format, width, height, type, union, reserved[2]

# More than any camera has; a driver that never says "that was the last" must not keep us.
_MOST_FORMATS, _MOST_SIZES, _MOST_INTERVALS = 64, 256, 64


def units(dev: str) -> object:
    """All nodes /dev/video*, as JSON has them."""
    return msgspec.to_builtins(list(_units(Path(dev))))


def _units(dev: Path) -> Iterator[Unit]:
    nodes = [path for path in dev.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    for node in sorted(nodes, key=lambda path: int(path.name[5:])):
        yield unit(node, dev)


def unit(node: Path, dev: Path, ioctl: Ioctl = fcntl.ioctl) -> Unit:
    name = str(stable_name(node, dev))
    try:
        capability = query(node, ioctl)
        found = formats(node, ioctl) if capability.captures else ()
    except SourceError as error:
        return Unit(str(node), name, error=str(error), forbidden=isinstance(error.__cause__, PermissionError))
    return Unit(str(node), name, capability.card, capability.captures, found)


def formats(node: Path, ioctl: Ioctl = fcntl.ioctl) -> tuple[Format, ...]:
    """What the node offers; works while another program uses it.

    Raises:
        SourceError: it cannot be asked.
    """
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return tuple(
                Format(_name(pixels), tuple(_sizes(descriptor, pixels, ioctl)))
                for pixels in _pixel_formats(descriptor, ioctl)
            )
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SourceError(f"{node} does not tell its formats: {error.strerror}") from error


def _ask(descriptor: int, request: int, argument: bytes, ioctl: Ioctl) -> bytes | None:
    """None behind the last entry, and where a driver does not know the question."""
    try:
        return ioctl(descriptor, request, argument)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTTY, errno.ENODATA):
            return None
        raise


def _pixel_formats(descriptor: int, ioctl: Ioctl) -> Iterator[int]:
    for kind in BUFFER_TYPES:
        for index in range(_MOST_FORMATS):
            raw = _ask(descriptor, VIDIOC_ENUM_FMT, _FORMAT.pack(index, kind, 0, b"", *[0] * 5), ioctl)
            if raw is None:
                break
            yield _FORMAT.unpack(raw)[4]


def _sizes(descriptor: int, pixels: int, ioctl: Ioctl) -> Iterator[Size]:
    for index in range(_MOST_SIZES):
        raw = _ask(descriptor, VIDIOC_ENUM_FRAMESIZES, _SIZE.pack(index, pixels, *[0] * 9), ioctl)
        if raw is None:
            return
        _, _, kind, *union = _SIZE.unpack(raw)
        if kind == _DISCRETE:
            width, height = union[:2]
            yield Size(width, height, _fps(descriptor, pixels, (width, height), ioctl))
        else:  # min, max and step of width, then of height: there is one entry
            width, height = union[1], union[4]
            yield Size(width, height, _fps(descriptor, pixels, (width, height), ioctl), up_to=True)
            return


def _fps(descriptor: int, pixels: int, size: tuple[int, int], ioctl: Ioctl) -> float:
    """The highest rate at this size; 0 where the driver does not say."""
    best = 0.0
    for index in range(_MOST_INTERVALS):
        raw = _ask(descriptor, VIDIOC_ENUM_FRAMEINTERVALS, _INTERVAL.pack(index, pixels, *size, *[0] * 9), ioctl)
        if raw is None:
            break
        _, _, _, _, kind, numerator, denominator, *_ = _INTERVAL.unpack(raw)  # the shortest interval, where a range
        best = max(best, denominator / numerator if numerator else 0.0)
        if kind != _DISCRETE:
            break
    return best


def _name(pixels: int) -> str:
    """Bit 31 marks big-endian variants."""
    return (pixels & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1").strip()
