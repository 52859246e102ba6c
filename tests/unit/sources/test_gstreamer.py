from __future__ import annotations

import sys

import numpy as np
import pytest

from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.sources import CaptureOptions, gstreamer
from tests.simulators.manual_clock import ManualClock


@pytest.mark.parametrize("row", ["gst:videotestsrc", "csi://0"])
def test_without_pygobject_it_is_told_how_to_install_it(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgemass import sources

    monkeypatch.setitem(sys.modules, "gi", None)
    with pytest.raises(SourceNotFoundError, match=r"needs GStreamer and PyGObject.*apt-get install python3-gi") as told:
        sources.open(row, CaptureOptions(), ManualClock())
    assert str(told.value).startswith(row)


@pytest.mark.parametrize("uri", ["gst:", "GST: "])
def test_an_address_without_a_pipeline_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(UsageError, match="wanted gst:ELEMENT ! ELEMENT"):
        gstreamer.open(uri, CaptureOptions(), ManualClock())


@pytest.mark.parametrize(
    "text",
    [
        "rtspsrc location=rtsp://admin:hunter2@cam/1 ! decodebin",
        "rtspsrc location=rtsp://cam/1 user-id=admin user-pw=hunter2 ! decodebin",
        'souphttpsrc user-pw="hunter2 with blanks" location=http://cam/1',
        "srtsrc passphrase = hunter2",
        "souphttpsrc location=http://cam/1?token=hunter2",
    ],
)
def test_the_name_carries_no_password(text: str) -> None:
    assert "hunter2" not in gstreamer.name_of(text)
    assert gstreamer.name_of(text).startswith("gst:" + text.split(maxsplit=1)[0])


def test_the_name_is_one_short_line() -> None:
    name = gstreamer.name_of("videotestsrc\n ! " + "identity ! " * 100)
    assert name.startswith("gst:videotestsrc ! identity")
    assert len(name) == gstreamer.NAME_LENGTH


@pytest.mark.parametrize(
    "text",
    [
        "videotestsrc ! videoconvert ! appsink",
        "videotestsrc ! tee name=t t. ! fakesink t. ! appsink max-buffers=2",
        "appsink name=out videotestsrc ! out.",
    ],
)
def test_an_appsink_of_the_users_own_is_left_alone(text: str) -> None:
    assert gstreamer.with_appsink(text) == text


@pytest.mark.parametrize("text", ["videotestsrc name=appsink", "filesrc location=/clips/appsink ! decodebin", "a ! b"])
def test_conversion_and_an_appsink_that_keeps_the_newest_are_added_otherwise(text: str) -> None:
    added = gstreamer.with_appsink(text).removeprefix(text)
    assert added.startswith(" ! videoconvert ! video/x-raw,format=BGR ! appsink ")
    assert "max-buffers=1 drop=true" in added


@pytest.mark.parametrize("width", [4, 5, 6, 7])
def test_rows_that_begin_at_multiples_of_four_bytes_are_read_right(width: int) -> None:
    image = np.arange(3 * width * 3, dtype=np.uint8).reshape(3, width, 3)
    row_bytes = -(-3 * width // 4) * 4
    padded = np.full((3, row_bytes), 255, np.uint8)
    padded[:, : 3 * width] = image.reshape(3, -1)
    read = gstreamer.to_bgr(padded.tobytes() + b"what lies behind", (width, 3), "gst:x")
    assert np.array_equal(read, image)
    assert read.flags.c_contiguous


def test_a_picture_that_is_too_short_is_refused() -> None:
    with pytest.raises(SourceError, match="gave a picture of 47 bytes; wanted 48 for 5 x 3 BGR"):
        gstreamer.to_bgr(bytes(47), (5, 3), "gst:x")


def test_a_read_may_take_longer_than_every_deadline_of_its_own() -> None:
    # else a thread that is about to end by itself would be abandoned first
    assert max(gstreamer.START_S, gstreamer.SILENCE_S) < gstreamer.READ_TIMEOUT_S
