from __future__ import annotations

import errno
import logging
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
from tests.simulators.fake_dev import META_CAPTURE, FakeDev, raw_capability
from tests.simulators.manual_clock import START_MONO_NS, ManualClock

OTHER = "usb-Another_Camera_99-video-index0"
LOGITECH = "usb-046d_HD_Pro_Webcam_C920_1234ABCD-video-index0"


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
    dev.plug(0, by_id=OTHER)
    with pytest.raises(SourceError, match="no other camera is taken"):
        next(source.frames())
    assert len(paths) == 1
    dev.plug(5, by_id=LOGITECH)
    next(source.frames())
    assert paths[1] == str(dev.root / "video5")


def test_a_number_means_the_same_unit_after_a_restart(
    dev: FakeDev, camera: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = CaptureOptions(state=tmp_path / "state")
    dev.plug(0, by_id=LOGITECH)
    next(camera(0, picture(), options=kept)[0].frames())
    dev.unplug(0)
    dev.plug(0, by_id=OTHER)
    dev.plug(2, by_id=LOGITECH)
    source, paths, _ = camera(0, picture(), options=kept)
    next(source.frames())
    assert paths == [str(dev.root / "video2")]
    assert (
        f"is not the camera that it was: going on with {dev.root}/v4l/by-id/{LOGITECH} at {dev.root}/video2"
        in caplog.text
    )


def test_a_unit_that_was_replaced_is_waited_for_until_somebody_says_so(
    dev: FakeDev, camera: Any, tmp_path: Path
) -> None:
    kept = CaptureOptions(state=tmp_path / "state")
    dev.plug(0, by_id=LOGITECH)
    next(camera(0, picture(), options=kept)[0].frames())
    dev.unplug(0)
    dev.plug(0, by_id=OTHER)
    source, paths, _ = camera(0, picture(), options=kept)
    file = tmp_path / "state" / "cameras" / "video0"
    with pytest.raises(SourceError, match=rf"if it was replaced for good, delete {file}$"):
        next(source.frames())
    assert paths == []
    file.unlink()
    next(source.frames())
    assert source.unit.name.name == OTHER
    assert OTHER in file.read_text()


def test_a_second_camera_of_one_name_does_not_take_the_place_of_the_first(
    dev: FakeDev, camera: Any, tmp_path: Path
) -> None:
    kept, name = CaptureOptions(state=tmp_path / "state"), "usb-Generic_Camera-video-index0"
    dev.plug(0, by_id=name, by_path=("pci-0-usb-0:1:1.0-video-index0",))
    next(camera(0, picture(), options=kept)[0].frames())
    dev.plug(2, by_id=name, by_path=("pci-0-usb-0:2:1.0-video-index0",))  # udev gives it the name that the first had
    source, paths, _ = camera(0, picture(), options=kept)
    next(source.frames())
    assert paths == [str(dev.root / "video0")]


def test_what_cannot_be_read_or_kept_of_the_unit_is_said_and_the_camera_works(
    dev: FakeDev, camera: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cameras").write_text("in the way")
    dev.plug(0, by_id=LOGITECH)
    next(camera(0, picture(), options=CaptureOptions(state=tmp_path / "state"))[0].frames())
    assert "which camera is meant is found anew: cannot read" in caplog.text
    assert "which camera is meant is not kept: cannot write" in caplog.text


def test_an_empty_memory_is_said_and_made_anew(
    dev: FakeDev, camera: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "state" / "cameras" / "video0"
    file.parent.mkdir(parents=True)
    file.touch()
    dev.plug(0, by_id=LOGITECH)
    next(camera(0, picture(), options=CaptureOptions(state=tmp_path / "state"))[0].frames())
    assert "which camera is meant is found anew" in caplog.text
    assert LOGITECH in file.read_text()


def test_a_camera_that_is_not_there_yet_is_taken_when_it_comes(dev: FakeDev, camera: Any) -> None:
    source, _, _ = camera(0, picture())
    with pytest.raises(SourceError):
        next(source.frames())
    dev.plug(0, by_id=LOGITECH)
    assert next(source.frames()).width == 6
    assert source.unit.name.name == LOGITECH


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
