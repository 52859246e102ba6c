from __future__ import annotations

import pytest

from edgemass.errors import UsageError
from edgemass.sources import CaptureOptions, rtsp
from edgemass.sources.rtsp import RtspCamera
from tests.simulators.manual_clock import ManualClock


def opened(uri: str) -> RtspCamera:
    return rtsp.open(uri, CaptureOptions(), ManualClock())


@pytest.mark.parametrize(
    "uri", ["rtsp://", "rtsp:///path", "rtsp://host:99999/x", "rtsp://host:door/x", "rtsp://[::1/x"]
)
def test_an_address_without_a_usable_host_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"wanted rtsp://\[user@\]host\[:port\]/path"):
        opened(uri)


@pytest.mark.parametrize("uri", ["rtsp://cam/1#transport=quic", "rtsp://cam/1#udp=1", "rtsp://admin:12#hunter2@cam/1"])
def test_an_unknown_option_is_refused_without_telling_a_password(uri: str) -> None:
    with pytest.raises(UsageError, match="#transport=tcp and #transport=udp") as told:
        opened(uri)
    assert "hunter2" not in str(told.value)


def test_the_option_is_no_part_of_the_name() -> None:
    assert opened("rtsp://admin:hunter2@cam/1?channel=2#transport=udp").name == "rtsp://admin:***@cam/1?channel=2"


def test_a_read_may_take_longer_than_every_deadline_of_its_own() -> None:
    # else a thread that FFmpeg is about to end would be abandoned first
    assert opened("rtsp://cam/1").read_timeout_s > max(2 * rtsp.SILENCE_S, rtsp.NO_PICTURE_S + rtsp.SILENCE_S)
