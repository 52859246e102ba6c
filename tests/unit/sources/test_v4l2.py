from __future__ import annotations

import errno
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemass.errors import SourceError, UsageError
from edgemass.sources import CaptureOptions, v4l2
from edgemass.sources._v4l2_units import (
    CAP_DEVICE_CAPS,
    CAP_VIDEO_CAPTURE,
    CAP_VIDEO_CAPTURE_MPLANE,
    VIDIOC_QUERYCAP,
    Capability,
    capture_nodes,
    parse_capability,
    query,
    stable_name,
)
from edgemass.sources.v4l2 import V4l2Camera
from tests.simulators.manual_clock import START_MONO_NS, ManualClock

META_CAPTURE = 0x00800000  # V4L2_CAP_META_CAPTURE: the second node of a UVC camera
LOGITECH = "usb-046d_HD_Pro_Webcam_C920_1234ABCD-video-index0"


def raw_capability(device_caps: int, *, whole: int | None = None) -> bytes:
    """A struct v4l2_capability as uvcvideo fills it. whole: what all nodes of the device can do together."""
    capabilities = (CAP_DEVICE_CAPS | device_caps) if whole is None else whole
    names = b"uvcvideo", b"HD Pro Webcam C920", b"usb-0000:01:00.0-1.2"
    return struct.pack("=16s32s32sIII12x", *names, 0x060000, capabilities, device_caps)


class FakeDev:
    """A /dev with cameras that can be plugged and unplugged; nodes are plain files that hold their capabilities."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "v4l" / "by-id").mkdir(parents=True)
        (root / "v4l" / "by-path").mkdir()

    def plug(
        self, number: int, *, by_id: str = "", by_path: tuple[str, ...] = (), caps: int = CAP_VIDEO_CAPTURE
    ) -> Path:
        node = self.root / f"video{number}"
        node.write_bytes(raw_capability(caps, whole=CAP_DEVICE_CAPS | CAP_VIDEO_CAPTURE | META_CAPTURE))
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
        return parse_capability(node.read_bytes())


class FakeCapture:
    """cv2.VideoCapture of a camera that does what it likes with what it is asked for."""

    def __init__(self, frames: list[Any], given: dict[int, float]) -> None:
        self.asked: list[tuple[int, float]] = []
        self.released = False
        self._frames: Iterator[Any] = iter(frames)
        self._given = given

    def isOpened(self) -> bool:  # noqa: N802 (OpenCV's name)
        return True

    def set(self, key: int, value: float) -> bool:
        self.asked.append((key, value))
        return True

    def get(self, key: int) -> float:
        return self._given.get(key, 0.0)

    def read(self) -> tuple[bool, Any]:
        frame = next(self._frames, None)
        if isinstance(frame, Exception):
            raise frame
        return frame is not None, frame

    def release(self) -> None:
        self.released = True


@pytest.fixture
def dev(tmp_path: Path) -> FakeDev:
    return FakeDev(tmp_path / "dev")


@pytest.fixture
def camera(dev: FakeDev) -> Callable[..., tuple[V4l2Camera, list[str], list[FakeCapture]]]:
    """A camera on the fake /dev, the paths it opened, and the captures that were made for it."""

    def make(
        number: int, *frames: Any, options: CaptureOptions | None = None
    ) -> tuple[V4l2Camera, list[str], list[FakeCapture]]:
        paths: list[str] = []
        captures: list[FakeCapture] = []
        given = {
            cv2.CAP_PROP_FRAME_WIDTH: 640.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 480.0,
            cv2.CAP_PROP_FPS: 30.0,
            cv2.CAP_PROP_FOURCC: float(int.from_bytes(b"MJPG", "little")),
        }

        def open_capture(path: str, api: int) -> FakeCapture:
            assert api == cv2.CAP_V4L2
            paths.append(path)
            captures.append(FakeCapture(list(frames), given))
            return captures[-1]

        source = V4l2Camera(
            dev.root / f"video{number}",
            options or CaptureOptions(),
            ManualClock(),
            dev=dev.root,
            ask=dev.ask,
            open_capture=open_capture,
        )
        return source, paths, captures

    return make


def picture(value: int = 7) -> Any:
    return np.full((4, 6, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("raw", "captures"),
    [
        (raw_capability(CAP_VIDEO_CAPTURE), True),
        (raw_capability(CAP_VIDEO_CAPTURE_MPLANE), True),
        (raw_capability(META_CAPTURE, whole=CAP_DEVICE_CAPS | CAP_VIDEO_CAPTURE | META_CAPTURE), False),
        (raw_capability(0, whole=CAP_VIDEO_CAPTURE), True),  # drivers before Linux 3.4 fill no device_caps
        (raw_capability(0x2, whole=CAP_DEVICE_CAPS | 0x2), False),  # an output
    ],
)
def test_only_nodes_that_give_pictures_count_as_cameras(raw: bytes, captures: bool) -> None:
    assert parse_capability(raw) == Capability("HD Pro Webcam C920", captures)


def test_a_node_is_asked_with_the_kernels_own_request(tmp_path: Path) -> None:
    node = tmp_path / "video0"
    node.touch()

    def ioctl(_descriptor: int, request: int, argument: bytes) -> bytes:
        assert request == VIDIOC_QUERYCAP
        assert len(argument) == request >> 16 & 0x3FFF  # _IOC_SIZE
        return raw_capability(CAP_VIDEO_CAPTURE)

    assert query(node, ioctl).captures


def test_a_node_that_is_no_camera_is_told_in_our_own_words(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()

    def no_tty(*_given: object) -> bytes:
        raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")

    with pytest.raises(SourceError, match="no camera that works: Inappropriate ioctl"):
        query(tmp_path / "video0", no_tty)
    with pytest.raises(SourceError, match="plugged in"):
        query(tmp_path / "video9")


def test_capture_nodes_are_listed_by_number_without_metadata_nodes(dev: FakeDev) -> None:
    for number, caps in ((10, CAP_VIDEO_CAPTURE), (2, CAP_VIDEO_CAPTURE), (3, META_CAPTURE)):
        dev.plug(number, caps=caps)
    (dev.root / "video-not-a-node").touch()
    assert [node.name for node in capture_nodes(dev.root, dev.ask)] == ["video2", "video10"]


def test_by_id_is_chosen_before_by_path_and_by_path_before_the_number(dev: FakeDev) -> None:
    both = dev.plug(0, by_id=LOGITECH, by_path=("pci-0-usb-0:2:1.0-video-index0",))
    path_only = dev.plug(2, by_path=("platform-csi-video-index0", "platform-csi-again-video-index0"))
    bare = dev.plug(4)
    assert stable_name(both, dev.root).name == LOGITECH
    assert stable_name(path_only, dev.root).name == "platform-csi-again-video-index0"  # the first by name, every time
    assert stable_name(bare, dev.root) == bare


def test_two_cameras_of_one_model_without_serial_number_are_told_apart_by_their_port(dev: FakeDev) -> None:
    first = dev.plug(0, by_id="usb-Generic_Camera-video-index0", by_path=("pci-0-usb-0:1:1.0-video-index0",))
    second = dev.plug(2, by_id="usb-Generic_Camera-video-index0", by_path=("pci-0-usb-0:2:1.0-video-index0",))
    assert stable_name(first, dev.root).name == "pci-0-usb-0:1:1.0-video-index0"
    assert stable_name(second, dev.root).name == "pci-0-usb-0:2:1.0-video-index0"


def test_frames_come_as_they_arrive_and_the_device_is_freed(dev: FakeDev, camera: Any) -> None:
    dev.plug(0, by_id=LOGITECH)
    source, paths, captures = camera(0, picture(1), picture(2))
    frames = source.frames()
    first = next(frames)
    assert (first.width, first.height, first.mono_ns, first.image[0, 0, 0]) == (6, 4, START_MONO_NS, 1)
    assert next(frames).image[0, 0, 0] == 2
    with pytest.raises(SourceError, match="unplugged"):
        next(frames)
    assert paths == [str(dev.root / "video0")]
    assert captures[0].released


def test_after_an_unplug_the_same_unit_is_waited_for(dev: FakeDev, camera: Any) -> None:
    dev.plug(0, by_id=LOGITECH)
    source, paths, _ = camera(0, picture())
    next(source.frames())
    dev.unplug(0)
    dev.plug(0, by_id="usb-Another_Camera_99-video-index0")
    with pytest.raises(SourceError, match="no other camera is taken"):
        next(source.frames())
    assert len(paths) == 1
    dev.plug(5, by_id=LOGITECH)
    next(source.frames())
    assert paths[1] == str(dev.root / "video5")


def test_a_camera_that_is_not_there_yet_is_taken_when_it_comes(dev: FakeDev, camera: Any) -> None:
    source, _, _ = camera(0, picture())
    with pytest.raises(SourceError):
        next(source.frames())
    dev.plug(0, by_id=LOGITECH)
    assert next(source.frames()).width == 6
    assert source.unit.name == LOGITECH


def test_a_metadata_node_is_refused_and_the_cameras_are_named(dev: FakeDev, camera: Any) -> None:
    dev.plug(0)
    dev.plug(1, caps=META_CAPTURE)
    source, paths, _ = camera(1, picture())
    with pytest.raises(SourceError, match=rf"metadata, not pictures; nodes that give pictures: {dev.root}/video0$"):
        next(source.frames())
    assert paths == []


def test_what_is_asked_for_is_set_and_what_the_device_gives_is_logged_once(
    dev: FakeDev, camera: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dev.plug(0, by_id=LOGITECH)
    options = CaptureOptions(width=1920, height=1080, fps=25, fourcc="MJPG")
    source, _, captures = camera(0, picture(), options=options)
    with caplog.at_level(logging.INFO):
        next(source.frames())
        next(source.frames())
    assert captures[0].asked == [
        (cv2.CAP_PROP_FOURCC, int.from_bytes(b"MJPG", "little")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1920),
        (cv2.CAP_PROP_FRAME_HEIGHT, 1080),
        (cv2.CAP_PROP_FPS, 25),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]
    told = [record for record in caplog.records if record.getMessage() == "camera set up"]
    assert [(record.__dict__["width"], record.__dict__["fourcc"]) for record in told] == [(640, "MJPG")]


def test_gray_cameras_give_bgr_and_opencvs_errors_become_ours(dev: FakeDev, camera: Any) -> None:
    dev.plug(0)
    source, _, _ = camera(0, np.full((4, 6), 9, np.uint8), cv2.error("bad\njpeg"))
    frames = source.frames()
    assert next(frames).image.shape == (4, 6, 3)
    with pytest.raises(SourceError, match="broken frame: bad jpeg"):
        next(frames)


def test_a_closed_camera_is_not_opened(dev: FakeDev, camera: Any) -> None:
    dev.plug(0)
    source, paths, captures = camera(0, picture(), picture())
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []
    assert list(source.frames()) == []
    assert len(paths) == 1
    assert captures[0].released


@pytest.mark.parametrize(
    ("uri", "node"),
    [
        ("0", "/dev/video0"),
        ("12", "/dev/video12"),
        ("/dev/video3", "/dev/video3"),
        (f"v4l2:///dev/v4l/by-id/{LOGITECH}", f"/dev/v4l/by-id/{LOGITECH}"),
        ("v4l2:/dev/video1", "/dev/video1"),
    ],
)
def test_every_way_to_write_a_camera_is_read(uri: str, node: str) -> None:
    assert v4l2.open(uri, CaptureOptions(), ManualClock()).name == node


@pytest.mark.parametrize("uri", ["v4l2://", "v4l2:door", "99999"])
def test_what_names_no_device_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="wanted a number, /dev/videoN"):
        v4l2.open(uri, CaptureOptions(), ManualClock())
