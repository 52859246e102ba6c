from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemass.errors import SourceError, UsageError
from edgemass.sources import CaptureOptions, csi
from tests.simulators.manual_clock import ManualClock

PI5 = ["/base/axi/pcie@120000/rp1/i2c@80000/imx219@10", "/base/axi/pcie@120000/rp1/i2c@88000/imx708@1a"]
WEBCAM = "/base/axi/pcie@120000/rp1/usb@200000-1:1.0-046d:0825"


@pytest.mark.parametrize("uri", ["csi:", "csi://", "csi://-1", "csi://0/x", "csi://door", 'csi:///base/a" ! filesink'])
def test_an_address_that_names_no_camera_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match="wanted csi://0"):
        csi.open(uri, CaptureOptions(), ManualClock())


def test_numbers_count_as_rpicam_apps_count_without_usb_cameras() -> None:
    listed = [PI5[0], WEBCAM, PI5[1]]
    assert csi.camera_name(listed, 0) == PI5[1]
    assert csi.camera_name(listed, 1) == PI5[0]


def test_a_number_that_is_too_high_is_told_with_what_there_is() -> None:
    with pytest.raises(
        SourceError, match=r"csi://2 is not there; libcamera lists csi://0 = /base/axi.*imx708.*csi://1"
    ):
        csi.camera_name(PI5, 2)
    with pytest.raises(SourceError, match="libcamera lists none; is the ribbon cable seated"):
        csi.camera_name([WEBCAM], 0)


def test_what_is_left_open_is_left_to_the_sensor() -> None:
    assert "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM) ! nvvidconv" in csi.argus(1, CaptureOptions())
    text = csi.libcamera(PI5[0], CaptureOptions())
    assert f'camera-name="{PI5[0]}" ! video/x-raw,format=(string){{NV12,' in text
    assert "width" not in text


@pytest.mark.parametrize("make", [lambda options: csi.argus(0, options), lambda options: csi.libcamera("x", options)])
@pytest.mark.parametrize(
    ("fps", "rate"), [(30.0, "30/1"), (29.97, "30000/1001"), (23.976, "24000/1001"), (7.5, "15/2"), (0.5, "1/2")]
)
def test_size_and_rate_are_asked_of_the_sensor(make: Callable[[CaptureOptions], str], fps: float, rate: str) -> None:
    source = make(CaptureOptions(width=1280, height=720, fps=fps)).split(" ! ")[1]
    assert source.endswith(f"width=1280,height=720,framerate={rate}")


@pytest.mark.parametrize("text", [csi.argus(0, CaptureOptions()), csi.libcamera("x", CaptureOptions())])
def test_a_pipeline_ends_in_bgr_and_keeps_only_the_newest(text: str) -> None:
    assert text.endswith("drop=true")
    assert " ! videoconvert ! video/x-raw,format=BGR ! appsink " in text
