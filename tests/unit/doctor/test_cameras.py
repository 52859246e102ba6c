from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import Any

import pytest

from edgemass.doctor import Status
from edgemass.doctor.cameras import access, asked, local
from edgemass.doctor.child import Answer
from edgemass.doctor.csi import csi, gstreamer
from edgemass.doctor.v4l2_modes import (
    VIDIOC_ENUM_FMT,
    VIDIOC_ENUM_FRAMEINTERVALS,
    VIDIOC_ENUM_FRAMESIZES,
    formats,
    unit,
)
from edgemass.sources._v4l2_units import CAP_VIDEO_CAPTURE, VIDIOC_QUERYCAP
from tests.unit.doctor.conftest import MakeMachine

MJPG = int.from_bytes(b"MJPG", "little")
YUYV = int.from_bytes(b"YUYV", "little")
DISCRETE, STEPWISE = 1, 3


class FakeDriver:
    """ioctl of a camera, in the layout of linux/videodev2.h.

    modes: pixel format -> sizes -> intervals as (seconds' numerator, denominator); a size of four numbers is a range.
    kind: the buffer type that the formats belong to. endless: never says that there is no further entry.
    """

    def __init__(self, modes: dict[int, dict[tuple[int, ...], list[tuple[int, int]]]], *, kind: int = 1) -> None:
        self.modes = modes
        self.kind = kind
        self.endless = False
        self.error = errno.EINVAL

    def __call__(self, _: int, request: int, argument: bytes) -> bytes:
        try:
            return self._answer(request, argument)
        except (IndexError, KeyError):
            raise OSError(self.error, "no more") from None

    def _answer(self, request: int, argument: bytes) -> bytes:
        if request == VIDIOC_QUERYCAP:
            return struct.pack("=16s32s32sIII12x", b"uvcvideo", b"HD Pro Webcam", b"usb", 0, CAP_VIDEO_CAPTURE, 0)
        index = struct.unpack_from("=I", argument)[0]
        if self.endless:
            index = 0
        if request == VIDIOC_ENUM_FMT:
            if struct.unpack_from("=I", argument, 4)[0] != self.kind:
                raise IndexError
            return struct.pack("=3I32sI16x", index, self.kind, 0, b"", list(self.modes)[index])
        sizes = self.modes[struct.unpack_from("=I", argument, 4)[0]]
        if request == VIDIOC_ENUM_FRAMESIZES:
            size = list(sizes)[index]
            if len(size) == 2:
                return struct.pack("=5I24x", index, 0, DISCRETE, *size)
            least_width, most_width, least_height, most_height = size
            return struct.pack("=9I8x", index, 0, STEPWISE, least_width, most_width, 2, least_height, most_height, 2)
        assert request == VIDIOC_ENUM_FRAMEINTERVALS
        wanted = struct.unpack_from("=2I", argument, 8)
        intervals = next(
            rates for size, rates in sizes.items() if (size[0], size[-1]) == wanted or size[1::2] == wanted
        )
        return struct.pack("=7I24x", index, 0, *wanted, DISCRETE, *intervals[index])


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "video0").touch()
    return tmp_path / "video0"


def listed(*units: dict[str, Any]) -> dict[str, Answer]:
    return {"units": Answer(list(units))}


def camera(fourcc: str = "MJPG", **change: Any) -> dict[str, Any]:
    sizes = [{"width": 160 * step, "height": 90 * step, "fps": 30.0} for step in range(1, 13)]
    return {
        "node": "/dev/video0",
        "name": "/dev/v4l/by-id/usb-Maker_Webcam-index0",
        "card": "Webcam",
        "captures": True,
        "formats": [{"fourcc": fourcc, "sizes": sizes}],
        **change,
    }


@pytest.mark.parametrize("kind", [1, 9])
def test_every_format_size_and_highest_rate_of_a_camera_is_read(node: Path, kind: int) -> None:
    modes: dict[int, dict[tuple[int, ...], list[tuple[int, int]]]] = {
        MJPG: {(1920, 1080): [(1, 15), (1, 30)], (640, 480): [(1, 60)]},
        YUYV: {(640, 480): [(1001, 30000)]},
    }
    found = formats(node, FakeDriver(modes, kind=kind))
    assert [item.fourcc for item in found] == ["MJPG", "YUYV"]
    assert [(size.width, size.height, round(size.fps, 2)) for item in found for size in item.sizes] == [
        (1920, 1080, 30.0),
        (640, 480, 60.0),
        (640, 480, 29.97),
    ]


def test_a_range_of_sizes_is_told_by_its_largest(node: Path) -> None:
    (found,) = formats(node, FakeDriver({YUYV: {(16, 3280, 16, 2464): [(1, 21)]}}))
    (size,) = found.sizes
    assert (size.width, size.height, size.fps, size.up_to) == (3280, 2464, 21.0, True)


def test_a_driver_that_goes_on_for_ever_is_left_after_a_while(node: Path) -> None:
    driver = FakeDriver({MJPG: {(640, 480): [(0, 0)]}})
    driver.endless = True
    found = formats(node, driver)
    assert 1 < len(found) <= 64
    assert 1 < len(found[0].sizes) <= 256
    assert found[0].sizes[0].fps == 0


def test_a_camera_that_breaks_while_it_is_asked_is_an_error_of_that_unit(node: Path) -> None:
    driver = FakeDriver({MJPG: {(640, 480): [(1, 30)]}})
    assert unit(node, node.parent, driver).captures
    driver.error = errno.ENODEV
    broken = unit(node, node.parent, driver)
    assert "does not tell its formats" in broken.error
    assert not broken.forbidden


def test_a_camera_is_listed_with_its_stable_name_and_its_largest_modes(machine: MakeMachine) -> None:
    (finding,) = local(machine(answers=listed(camera())))
    assert finding.status is Status.OK
    assert finding.found.startswith("Webcam /dev/v4l/by-id/usb-Maker_Webcam-index0 (/dev/video0): MJPG 1920x1080@30 ")
    assert finding.found.endswith("(+6)")


def test_a_camera_without_a_stable_name_and_a_bare_sensor_are_noted(machine: MakeMachine) -> None:
    (unstable,) = local(machine(answers=listed(camera(name="/dev/video0"))))
    assert unstable.status is Status.NOTE
    assert "no stable name" in unstable.found
    (sensor,) = local(machine(answers=listed(camera("pRAA"))))
    assert "csi://0" in sensor.fix


@pytest.mark.parametrize("hidden", [{"card": "bcm2835-isp"}, {"captures": False}])
def test_what_is_no_camera_is_not_listed_as_one(machine: MakeMachine, hidden: dict[str, Any]) -> None:
    (finding,) = local(machine(answers=listed(camera(**hidden))))
    assert (finding.status, finding.found) == (Status.NOTE, "none")


def test_a_camera_that_this_user_may_not_open_is_a_warning_with_the_group(machine: MakeMachine) -> None:
    locked = camera(captures=False, error="/dev/video0 may not be opened", forbidden=True)
    made = machine(answers=listed(locked))
    assert local(made)[0].found == "none that this user can see"
    (finding,) = access(made)
    assert finding.status is Status.WARN
    assert "usermod -aG video" in finding.fix
    assert "--device" in access(machine("mini-pc", listed(locked)))[0].fix


def test_a_driver_that_hangs_or_crashes_is_a_finding(machine: MakeMachine) -> None:
    (hung,) = local(machine(answers={"units": Answer(failure="no answer within 60 s", late=True)}))
    assert hung.status is Status.WARN
    assert "unplug" in hung.fix


def test_the_camera_that_is_asked_for_must_give_pictures(machine: MakeMachine) -> None:
    good = {"frames": 30, "width": 640, "height": 480, "fps": 14.96, "first_s": 0.42}
    found = {
        "good": asked(machine(answers={"trial": Answer(good)}, camera="0")),
        "black": asked(machine(answers={"trial": Answer({**good, "black": True})}, camera="0")),
        "empty": asked(machine(answers={"trial": Answer({"frames": 0})}, camera="a.mp4")),
        "absent": asked(machine(answers={"trial": Answer(failure="/dev/video0 is not there; plug it in")}, camera="0")),
    }
    assert {name: findings[0].status.value for name, findings in found.items()} == {
        "good": "OK",
        "black": "WARN",
        "empty": "FAIL",
        "absent": "FAIL",
    }
    assert found["good"][0].found == "0 gives 640x480 at 15.0 fps, 30 frames, the first after 0.4 s"
    assert found["absent"][0].fix == "plug it in"
    assert asked(machine()) == []


@pytest.mark.parametrize("answer", [Answer(failure="connection refused"), Answer({"frames": 0})])
def test_a_password_with_a_space_in_it_does_not_leave_with_the_address(machine: MakeMachine, answer: Answer) -> None:
    found = asked(machine(answers={"trial": answer}, camera="rtsp://admin:hunter2 x@cam/1"))[0].found
    assert "rtsp://admin:***@cam/1" in found
    assert "hunter2" not in found


def test_csi_is_looked_for_where_there_is_a_socket_for_it(machine: MakeMachine) -> None:
    assert csi(machine("mini-pc")) == []
    assert csi(machine("raspberry-pi-4"))[0].status is Status.OK
    assert "nvargus-daemon" in csi(machine("jetson-orin-nano"))[0].fix


def test_gstreamer_must_have_the_element_of_the_board(machine: MakeMachine) -> None:
    some = {"gstreamer": Answer({"version": "1.22.0", "elements": ["appsink", "libcamerasrc"]})}
    assert gstreamer(machine("raspberry-pi-4", some))[0].found == "1.22.0 with libcamerasrc"
    assert "without nvarguscamerasrc" in gstreamer(machine("jetson-orin-nano", some))[0].found
    assert "--system-site-packages" in gstreamer(machine("raspberry-pi-4"))[0].fix
