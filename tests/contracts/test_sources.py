"""What every source of frames promises, wherever they come from."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream

from edgemass import sources
from edgemass.errors import EdgemassError, SourceError, SourceNotFoundError, UsageError
from edgemass.sources import SOURCES, CaptureOptions, Source
from tests.simulators.manual_clock import START_MONO_NS, START_UNIX_NS, ManualClock

SECRET = "hunter2"
ABSENT = {  # row -> an address of the right form behind which nothing is
    "v4l2": "/dev/video987",
    "rtsp": f"rtsp://admin:{SECRET}@127.0.0.1:1/cam?token={SECRET}",
    "rtsps": f"rtsps://admin:{SECRET}@127.0.0.1:1/cam",
    "http": f"http://admin:{SECRET}@127.0.0.1:1/mjpeg?token={SECRET}",
    "https": f"https://admin:{SECRET}@127.0.0.1:1/mjpeg",
    "gst": f"gst:rtspsrc location=rtsp://admin:{SECRET}@127.0.0.1:1/cam user-pw={SECRET} ! decodebin",
    "csi": "csi://987",
    "file": "no-such-clip.mp4",
    "images": "no-such-folder/*.png",
    "synthetic": "synthetic:?frames=0",
    "demo": "demo:no-such-clip",
    "text": "text:no-such-file.txt",
}
WORKING = (
    "file",
    "images",
    "synthetic",
    "demo",
    "text",
)  # the others need a device, a server or GStreamer: tested elsewhere


def address_of(row: str, folder: Path) -> str:
    """An address that gives four frames or more on any machine."""
    if row == "synthetic":
        return "synthetic:?width=32&height=24&frames=4"
    if row == "demo":
        return "demo:"
    if row == "text":
        (folder / "lines.txt").write_text("one\ntwo\nthree\nfour\n")
        return f"text:{folder / 'lines.txt'}"
    pictures = [np.full((24, 32, 3), 60 * number, np.uint8) for number in range(4)]
    if row == "images":
        for number, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{number}.png"), picture)
        return str(folder)
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return str(folder / "clip.mp4")


@pytest.fixture(params=WORKING)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return opened(address_of(str(request.param), tmp_path))


def opened(address: str, *, realtime: bool = False) -> Source:
    return sources.open(address, CaptureOptions(realtime=realtime), ManualClock(jump=True))


def test_every_row_is_tried_here() -> None:
    assert set(ABSENT) == set(SOURCES)
    assert set(WORKING) <= set(SOURCES)


@pytest.mark.parametrize("row", SOURCES)
def test_what_is_not_there_fails_with_an_error_of_ours_in_one_line(row: str) -> None:
    with pytest.raises(EdgemassError) as told:
        next(opened(ABSENT[row]).frames())
    assert isinstance(told.value, SourceError | UsageError)
    assert "\n" not in str(told.value)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("row", SOURCES)
def test_what_goes_on_by_itself_is_never_told_to_be_past_help(row: str) -> None:
    try:
        source = opened(ABSENT[row])
    except (SourceNotFoundError, UsageError):
        return  # known when opened: a person has to change the address
    assert source.live
    with pytest.raises(SourceError) as told:
        next(source.frames())
    assert not isinstance(told.value, SourceNotFoundError)


@pytest.mark.parametrize("row", ["rtsp", "rtsps", "http", "https"])
def test_the_name_carries_no_password(row: str) -> None:
    name = opened(ABSENT[row]).name
    assert SECRET not in name
    assert "127.0.0.1" in name


def test_frames_are_bgr_of_the_size_they_tell_with_times_that_increase(source: Source) -> None:
    frames = list(itertools.islice(source.frames(), 4))
    assert len(frames) == 4
    for frame in frames:
        assert frame.image.dtype == np.uint8
        assert frame.image.shape == (frame.height, frame.width, 3)
    assert all(later.mono_ns > earlier.mono_ns for earlier, later in itertools.pairwise(frames))
    assert {frame.mono_ns - frame.time_ns for frame in frames} == {START_MONO_NS - START_UNIX_NS}


def test_it_can_be_played_again_from_the_beginning(source: Source) -> None:
    first, again = ([frame.image.copy() for frame in source.frames()] for _ in range(2))
    assert len(first) >= 4
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_iterator_that_is_dropped_leaves_the_others_alone(source: Source) -> None:
    dropped, kept = source.frames(), source.frames()
    next(dropped)
    next(kept)
    del dropped
    assert next(kept).image.size > 0


def test_close_ends_what_runs_and_nothing_begins_afterwards(source: Source) -> None:
    frames = source.frames()
    next(frames)
    source.close()
    assert list(frames) == []
    assert list(source.frames()) == []
    source.close()


@pytest.mark.parametrize("row", ["v4l2", "rtsp", "rtsps", "http", "https"])
def test_a_closed_camera_is_not_tried_any_more(row: str) -> None:
    source = opened(ABSENT[row])
    source.close()
    assert list(source.frames()) == []


@pytest.mark.parametrize("row", WORKING)
def test_played_in_realtime_a_frame_comes_when_it_is_due(row: str, tmp_path: Path) -> None:
    source = opened(address_of(row, tmp_path), realtime=True)
    assert source.realtime
    frames = list(itertools.islice(source.frames(), 4))
    assert [frame.arrived_ns for frame in frames] == [frame.mono_ns for frame in frames]


def test_a_live_source_is_always_realtime() -> None:
    for row in ("v4l2", "rtsp", "rtsps", "http", "https"):
        assert opened(ABSENT[row]).realtime
    endless = opened("synthetic:")
    assert endless.live
    assert endless.realtime


@pytest.mark.parametrize("address", ["ftp://host/clip.mp4", f"gopher://admin:{SECRET}@host/"])
def test_an_unknown_scheme_is_refused_with_the_known_ones(address: str) -> None:
    with pytest.raises(UsageError, match="v4l2:, rtsp:") as told:
        opened(address)
    assert SECRET not in str(told.value)
