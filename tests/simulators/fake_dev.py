"""A /dev with V4L2 cameras that can be plugged and unplugged, and an edgemass that believes in it.

Run as `python -m tests.simulators.fake_dev run ...`, with the folder in EDGEMASS_FAKE_DEV.
"""

from __future__ import annotations

import functools
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgemass import cli
from edgemass.clock import Clock
from edgemass.errors import SourceError
from edgemass.pipeline import retry
from edgemass.sources import CaptureOptions, v4l2
from edgemass.sources._v4l2_units import CAP_DEVICE_CAPS, CAP_VIDEO_CAPTURE, Capability, parse_capability

VARIABLE = "EDGEMASS_FAKE_DEV"
META_CAPTURE = 0x00800000  # V4L2_CAP_META_CAPTURE: the second node of a UVC camera
CAPABILITY_BYTES = 104
HEIGHT = 64
PERIOD_S = 0.05


def raw_capability(device_caps: int, *, whole: int | None = None) -> bytes:
    """A struct v4l2_capability as uvcvideo fills it. whole: what all nodes of the device can do together."""
    capabilities = (CAP_DEVICE_CAPS | device_caps) if whole is None else whole
    names = b"uvcvideo", b"HD Pro Webcam C920", b"usb-0000:01:00.0-1.2"
    return struct.pack("=16s32s32sIII12x", *names, 0x060000, capabilities, device_caps)


class FakeDev:
    """Nodes are plain files that hold their capabilities, and the width of their pictures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "v4l" / "by-id").mkdir(parents=True, exist_ok=True)
        (root / "v4l" / "by-path").mkdir(exist_ok=True)

    def plug(
        self,
        number: int,
        *,
        by_id: str = "",
        by_path: tuple[str, ...] = (),
        caps: int = CAP_VIDEO_CAPTURE,
        width: int = 64,
    ) -> Path:
        node = self.root / f"video{number}"
        told = raw_capability(caps, whole=CAP_DEVICE_CAPS | CAP_VIDEO_CAPTURE | META_CAPTURE)
        node.write_bytes(told + str(width).encode())
        links = [self.root / "v4l" / "by-path" / name for name in by_path]
        links += [self.root / "v4l" / "by-id" / by_id] if by_id else []
        for link in links:
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../video{number}")
        return node

    def unplug(self, number: int) -> None:
        node = self.root / f"video{number}"
        for link in (self.root / "v4l").glob("*/*"):
            if link.resolve() == node:
                link.unlink()
        node.unlink()

    def ask(self, node: Path) -> Capability:
        if not node.exists():
            raise SourceError(f"{node} is not there")
        return parse_capability(node.read_bytes()[:CAPABILITY_BYTES])


class PluggedCapture:
    """cv2.VideoCapture of a node: noise of its width, until it is unplugged."""

    def __init__(self, path: str, _: int) -> None:
        self._node = Path(path)
        self._plugged_ns = self._node.stat().st_mtime_ns
        width = int(self._node.read_bytes()[CAPABILITY_BYTES:])
        self._image = np.random.default_rng(width).integers(0, 255, (HEIGHT, width, 3), np.uint8)

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def set(self, _: int, __: float) -> bool:
        return True

    def get(self, _: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, Any]:
        time.sleep(PERIOD_S)
        try:
            there = self._node.stat().st_mtime_ns == self._plugged_ns
        except FileNotFoundError:
            there = False
        return there, self._image if there else None

    def release(self) -> None:
        pass


def open_camera(dev: FakeDev, uri: str, options: CaptureOptions, clock: Clock) -> v4l2.V4l2Camera:
    """As `edgemass.sources.v4l2.open`, with this /dev."""
    node = dev.root / f"video{int(uri)}"
    return v4l2.V4l2Camera(node, options, clock, dev=dev.root, ask=dev.ask, open_capture=PluggedCapture)


def main() -> int:
    retry.FIRST_S = retry.EARLY_CEILING_S = 0.1
    v4l2.open = functools.partial(open_camera, FakeDev(Path(os.environ[VARIABLE])))
    return cli.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
