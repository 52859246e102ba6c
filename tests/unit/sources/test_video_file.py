from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from edgemass import sources
from edgemass.errors import SourceError, SourceNotFoundError
from edgemass.frame import Frame, Image
from edgemass.imaging.orient import Orientation
from edgemass.sources import CaptureOptions, _av, video_file
from edgemass.sources.video_file import VideoFile
from tests.simulators.manual_clock import NS, START_MONO_NS, START_UNIX_NS, ManualClock

FPS = 10
SIZE = 64, 48


def write_video(path: Path, *, count: int = 12, codec: str = "mpeg4", rotate: int = 0) -> Path:
    """A video whose picture n is of brightness 20 n; with `rotate`, its left half only, the rest black."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = 4
        if rotate:
            stream.set_display_rotation(rotate)
        for number in range(count):
            image = np.full((SIZE[1], SIZE[0], 3), 20 * number % 256, np.uint8)
            if rotate:
                image[:] = 0
                image[:, : SIZE[0] // 2] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def opened(path: Path | str, clock: ManualClock | None = None, *, realtime: bool = False) -> VideoFile:
    return video_file.open(str(path), CaptureOptions(realtime=realtime), clock or ManualClock(jump=True))


def brightness(frames: list[Frame]) -> list[int]:
    return [round(float(frame.image.mean()) / 20) for frame in frames]


def middle(avi: bytes) -> int:
    """Offset of the middle of an AVI file's pictures."""
    start = avi.index(b"00dc", avi.index(b"movi"))
    return start + (len(avi) - start) // 2


@pytest.fixture
def locked_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that may not be searched; root, who may search everything, becomes nobody meanwhile."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


def test_every_picture_comes_once_and_in_order(tmp_path: Path) -> None:
    frames = list(opened(write_video(tmp_path / "a.mp4")).frames())
    assert brightness(frames) == list(range(12))
    assert all(frame.image.shape == (48, 64, 3) and frame.image.flags.c_contiguous for frame in frames)


def test_frames_carry_start_of_the_run_plus_presentation_time(tmp_path: Path) -> None:
    frames = list(opened(write_video(tmp_path / "a.mp4", count=4)).frames())
    assert [frame.mono_ns for frame in frames] == [START_MONO_NS + index * NS // FPS for index in range(4)]
    assert [frame.time_ns for frame in frames] == [START_UNIX_NS + index * NS // FPS for index in range(4)]
    assert {frame.arrived_ns for frame in frames} == {START_MONO_NS}  # read as fast as it goes: no time has passed


def test_a_stream_without_timestamps_follows_the_frame_rate(tmp_path: Path) -> None:
    with av.open(str(write_video(tmp_path / "a.avi", count=4))) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    raw = tmp_path / "a.m4v"
    raw.write_bytes(b"".join(packets))
    times = [frame.mono_ns for frame in opened(raw).frames()]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert len(times) == 4
    assert len(steps) == 1
    assert steps.pop() > NS / 100


def test_times_increase_where_those_of_the_file_begin_again(tmp_path: Path) -> None:
    once = write_video(tmp_path / "a.ts", codec="mpeg2video").read_bytes()
    (tmp_path / "twice.ts").write_bytes(once + once)
    times = [frame.mono_ns for frame in opened(tmp_path / "twice.ts").frames()]
    assert len(times) > 14
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] - times[0] < 10 * NS


def test_a_phone_video_is_turned_upright(tmp_path: Path) -> None:
    # FFmpeg counts counterclockwise: -90 is a phone held upright, to be turned 90 degrees clockwise
    frame = next(opened(write_video(tmp_path / "a.mp4", rotate=-90)).frames())
    assert (frame.width, frame.height) == (48, 64)
    assert frame.image.shape == (64, 48, 3)
    assert frame.image[:28].mean() > 200  # what was left is now on top
    assert frame.image[36:].mean() < 50


@pytest.mark.parametrize("rotate", [0, -90, 180])
@pytest.mark.parametrize("codec", ["mpeg4", "mjpeg"])
def test_brightness_lies_where_the_picture_shows_it_without_the_padding_of_lines(
    tmp_path: Path, codec: str, rotate: int
) -> None:
    frame = next(opened(write_video(tmp_path / "a.mov", codec=codec, rotate=rotate)).frames())
    luma = frame.luma
    assert luma is not None
    assert luma.shape == (frame.height, frame.width)
    expected = frame.image.mean(axis=2)
    shown = (luma.astype(float) - luma.min()) / max(float(np.ptp(luma)), 1) * np.ptp(expected)
    assert np.abs(shown - (expected - expected.min())).mean() < 10


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("yuv420p", True),
        ("yuvj422p", True),
        ("nv12", True),
        ("gray", True),
        ("yuv420p10le", False),
        ("gray16le", False),
        ("rgb24", False),
        ("yuyv422", False),
        ("pal8", False),
    ],
)
def test_brightness_is_told_only_of_formats_that_have_it_a_byte_a_pixel(name: str, there: bool) -> None:
    picture = VideoFrame(100, 48, name)  # 100: lines are padded
    luma = _av.luma(picture, Orientation())
    assert (luma is not None) is there
    if luma is not None:
        assert luma.shape == (48, 100)
        assert picture.planes[0].line_size >= 100
        np.testing.assert_array_equal(luma, np.frombuffer(bytes(picture.planes[0]), np.uint8).reshape(48, -1)[:, :100])


def test_a_video_that_ends_in_garbage_gives_its_good_frames_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_video(tmp_path / "a.avi", count=12).read_bytes()
    cut = middle(whole)
    garbage = np.random.default_rng(1).integers(0, 256, len(whole) - cut, np.uint8).tobytes()
    (tmp_path / "b.avi").write_bytes(whole[:cut] + garbage)
    with caplog.at_level(logging.WARNING):
        frames = list(opened(tmp_path / "b.avi").frames())
    assert len(frames) >= 4
    assert brightness(frames[:4]) == [0, 1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'b.avi'} is damaged: what could not be decoded was left out"
    ]


def test_a_video_that_was_cut_off_gives_what_is_there_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = write_video(tmp_path / "a.avi", count=12).read_bytes()
    (tmp_path / "b.avi").write_bytes(whole[: middle(whole)])
    with caplog.at_level(logging.WARNING):
        assert 4 <= len(list(opened(tmp_path / "b.avi").frames())) < 12
        assert len(list(opened(tmp_path / "a.avi").frames())) == 12
    assert [record.getMessage().split()[0] for record in caplog.records] == [str(tmp_path / "b.avi")]


def test_a_video_of_which_nothing_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    whole = bytearray(write_video(tmp_path / "a.mp4", codec="libx264").read_bytes())
    start = whole.index(b"mdat") + 4
    end = whole.index(b"moov") - 4
    whole[start:end] = b"\xff" * (end - start)
    (tmp_path / "b.mp4").write_bytes(whole)
    with pytest.raises(SourceError, match=r"b\.mp4"):
        list(opened(tmp_path / "b.mp4").frames())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"a text of some length\n" * 200),
        ("noise.mp4", np.random.default_rng(2).integers(0, 256, 5000, np.uint8).tobytes()),
        ("settings.mp4", b"[a]\nb = 1\n" * 50),
        ("half.mp4", None),
    ],
)
def test_what_is_no_video_is_told_in_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    path.write_bytes(write_video(tmp_path / "whole.mp4").read_bytes()[:600] if content is None else content)
    with pytest.raises(SourceNotFoundError) as told:
        list(opened(path).frames())
    assert name in str(told.value)
    assert "\n" not in str(told.value)


def test_sound_without_pictures_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        for packet in stream.encode(sound):
            container.mux(packet)
    with pytest.raises(SourceNotFoundError, match="holds no video"):
        list(opened(tmp_path / "a.wav").frames())


def test_an_empty_file_a_folder_and_a_missing_file_are_refused_when_opened(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for address, words in (
        (tmp_path / "empty.mp4", "is empty"),
        (f"file:{tmp_path}", "is a folder"),
        (tmp_path / "nope.mp4", "No such file"),
        ("x" * 300 + ".mp4", "too long"),
        ("a\0b.mp4", "null"),
    ):
        with pytest.raises(SourceNotFoundError, match=words):
            opened(address)


def test_a_folder_without_permission_is_told(locked_folder: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="Permission denied"):
        sources.open(str(locked_folder / "a.mp4"), CaptureOptions(), ManualClock())


def test_addresses_with_a_scheme_and_names_with_a_colon_are_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "12:30 door.mp4", count=2)
    for address in (str(path), f"file:{path}", f"file://{str(path).replace(' ', '%20')}"):
        assert len(list(opened(address).frames())) == 2


def test_a_frame_that_nobody_looks_at_is_not_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[object] = []
    real = _av.to_bgr

    def counted(picture: VideoFrame, upright: Orientation) -> Image:
        converted.append(picture)
        return real(picture, upright)

    monkeypatch.setattr(_av, "to_bgr", counted)
    frames = list(opened(write_video(tmp_path / "a.mp4")).frames())
    assert converted == []
    assert frames[3].image is frames[3].image
    assert len(converted) == 1


def test_realtime_plays_a_file_at_its_own_speed(tmp_path: Path) -> None:
    clock = ManualClock(jump=True)
    source = opened(write_video(tmp_path / "a.mp4", count=6), clock, realtime=True)
    assert (source.live, source.realtime) == (False, True)
    arrived = [frame.arrived_ns - START_MONO_NS for frame in source.frames()]
    assert arrived == [index * NS // FPS for index in range(6)]


def test_closing_ends_the_wait_for_the_next_frame(tmp_path: Path) -> None:
    source = opened(write_video(tmp_path / "a.mp4"), ManualClock(), realtime=True)
    frames = source.frames()
    next(frames)
    threading.Timer(0.05, source.close).start()
    assert list(frames) == []  # time stands still on this clock: only the close can end it
    assert list(source.frames()) == []
