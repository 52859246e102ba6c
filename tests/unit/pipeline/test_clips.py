"""Clips of real files, decoded and compared with the source picture by picture."""

from __future__ import annotations

import itertools
import logging
import os
import resource
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.config.clips import ClipsConfig
from edgemass.counters import Counters
from edgemass.frame import Image
from edgemass.pipeline import clips
from edgemass.pipeline.clip_file import Retiming
from edgemass.pipeline.clips import ClipRecorder, Reel
from edgemass.sources import CaptureOptions, Recordable
from edgemass.sources.coded import CodedPacket
from edgemass.sources.synthetic import draw
from tests.simulators.manual_clock import ManualClock

NS = 1_000_000_000
FPS = 10
SECONDS = 24
KEY_EVERY = 20  # pictures: two seconds
CLOSE_S = 10.0


def write_video(path: Path, codec: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = KEY_EVERY
        noise = np.random.default_rng(1).integers(0, 25, (64, 96, 3), np.uint8)
        for number in range(FPS * SECONDS):
            picture = av.VideoFrame.from_ndarray(draw(96, 64, number / 240) // 2 + noise + number % 50, format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


VIDEOS: dict[str, Callable[[Path], Path]] = {
    "as cameras send it": lambda to: write_video(to / "a.mp4", "libx264", tune="zerolatency", sc_threshold="0"),
    "with B frames": lambda to: write_video(to / "b.mp4", "libx264", bf="3", sc_threshold="0"),
    "with open groups": lambda to: write_video(
        to / "o.mkv", "libx264", bf="3", sc_threshold="0", **{"x264-params": "open-gop=1"}
    ),
    "start codes": lambda to: write_video(to / "t.ts", "libx264", bf="2", sc_threshold="0"),
    "H.265": lambda to: write_video(to / "h.ts", "libx265", preset="ultrafast", **{"x265-params": "log-level=none"}),
    "MPEG-4 in AVI": lambda to: write_video(to / "m.avi", "mpeg4"),
    "motion JPEG": lambda to: write_video(to / "j.avi", "mjpeg"),
    "only Matroska can hold it": lambda to: write_video(to / "w.avi", "msmpeg4"),
}


class Player:
    """Plays a file into a recorder, and calls back with every frame, as a detect loop does."""

    def __init__(self, folder: Path, video: Path, **config: float) -> None:
        self.folder = folder / "clips"
        self.counters = Counters()
        self.names: list[str] = []
        self.frames: list[Image] = []
        self.begun_ns = 0
        self.config = ClipsConfig(folder=str(self.folder), **config)
        self.clock = ManualClock()
        self.recorder = ClipRecorder("door", self.config, clock=SystemClock(), counters=self.counters)
        self.source = sources.open(str(video), CaptureOptions(), self.clock)
        assert isinstance(self.source, Recordable)
        self.source.tap(self.recorder.take)

    def play(self, events: dict[str, tuple[float, float]], close: bool = True) -> None:
        """events: name -> seconds from the start at which it begins and ends."""
        for frame in self.source.frames():
            self.begun_ns = self.begun_ns or frame.mono_ns
            at_s = (frame.mono_ns - self.begun_ns) / NS
            self.frames.append(frame.image.copy())
            for name, (begin_s, end_s) in events.items():
                if abs(at_s - begin_s) < 0.01:
                    self.names.append(self.recorder.begin(name, frame.mono_ns))
                if abs(at_s - end_s) < 0.01:
                    self.recorder.end(name, frame.mono_ns)
        if close:
            assert self.recorder.close(CLOSE_S)

    def clips(self) -> list[Path]:
        return sorted(self.folder.iterdir())


def decoded(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [np.asarray(picture.to_ndarray(format="bgr24"), np.uint8) for picture in container.decode(video=0)]


def where(part: list[Image], whole: list[Image]) -> tuple[int, int]:
    """First and last picture of the source that a clip holds; each must be the same to the last bit."""
    for start in range(len(whole) - len(part) + 1):
        if all(np.array_equal(one, other) for one, other in zip(part, whole[start:], strict=False)):
            return start, start + len(part) - 1
    raise AssertionError(f"the {len(part)} pictures of the clip are not {len(part)} in a row of the source")


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        assert not thread.name.startswith("clips-"), thread.name


@pytest.mark.parametrize("kind", VIDEOS)
def test_a_clip_is_the_source_bit_for_bit_from_before_the_event_to_after_it(tmp_path: Path, kind: str) -> None:
    player = Player(tmp_path, VIDEOS[kind](tmp_path), pre_roll_s=3, post_roll_s=2)
    player.play({"event": (9.0, 12.0)})
    (clip,) = player.clips()
    assert [clip.name] == player.names
    assert clip.suffix == (".mkv" if "Matroska" in kind else ".mp4")
    assert f"{clip.stat().st_mode & 0o777:o}" == "640", "it is not for everybody to see"
    first, last = where(decoded(clip), player.frames)
    assert first <= (9 - 3) * FPS  # the pre-roll is there, from a key frame on
    assert first >= (9 - 3) * FPS - KEY_EVERY - 5
    assert (12 + 2) * FPS - 5 <= last <= (12 + 2) * FPS + 5
    assert player.counters["clips_written"] == 1
    with av.open(str(clip)) as container:
        times = [picture.time or 0.0 for picture in container.decode(video=0)]
    assert times[0] == pytest.approx(0, abs=0.05)
    assert np.diff(times) == pytest.approx([0.1] * (len(times) - 1), abs=0.002)


def test_events_that_overlap_share_a_clip_and_later_ones_have_their_own(tmp_path: Path) -> None:
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path), pre_roll_s=1, post_roll_s=1)
    player.play({"a": (3.0, 5.0), "b": (4.0, 7.0), "c": (7.5, 7.5), "d": (15.0, 15.0)})
    assert player.names[0] == player.names[1] == player.names[2] != player.names[3]
    one, other = (where(decoded(player.folder / name), player.frames) for name in player.names[2:])
    assert one[0] <= 2 * FPS
    assert one[1] >= round(8.5 * FPS)
    assert one[1] < other[0] <= 14 * FPS


def test_a_clip_ends_at_its_greatest_length_whatever_goes_on(tmp_path: Path) -> None:
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path), pre_roll_s=1, max_s=5)
    player.play({"parked": (4.0, 100.0), "later": (18.0, 19.0)})
    assert len(player.clips()) == 2
    first, last = where(decoded(player.folder / player.names[0]), player.frames)
    assert first <= 3 * FPS  # the key frame at or before the pre-roll
    assert 7 * FPS < last <= (3 + 5) * FPS  # five seconds from the pre-roll on


def test_an_event_before_anything_came_has_no_clip(tmp_path: Path) -> None:
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path))
    assert player.recorder.begin("early", 0) == ""
    player.recorder.end("early", 0)
    player.recorder.end("unknown", 0)
    player.play({})
    assert player.clips() == []
    assert player.recorder.begin("late", 0) == ""


def test_the_end_of_the_stream_ends_the_clip(tmp_path: Path) -> None:
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path), pre_roll_s=0)
    player.play({"event": (20.0, 100.0)})
    (clip,) = player.clips()
    assert where(decoded(clip), player.frames)[1] == FPS * SECONDS - 1


def test_a_stream_that_is_opened_anew_ends_the_clip(tmp_path: Path) -> None:
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path), pre_roll_s=1)
    player.play({"event": (22.0, 100.0)}, close=False)
    player.begun_ns = 0
    player.clock.advance(30)
    player.play({"again": (4.0, 5.0)})
    assert len(set(player.names)) == len(player.clips()) == 2
    for name in player.names:
        where(decoded(player.folder / name), player.frames)


def test_a_stream_whose_pictures_change_their_size_ends_the_clip_and_the_next_one_has_the_new_size(
    tmp_path: Path,
) -> None:
    parts = []
    for width in (96, 48):
        with av.open(str(tmp_path / f"{width}.h264"), "w", format="h264") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency"})
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, 32, "yuv420p"
            for number in range(80):
                picture = av.VideoFrame.from_ndarray(draw(width, 32, number / 80), format="bgr24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        parts.append((tmp_path / f"{width}.h264").read_bytes())
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    player = Player(tmp_path, tmp_path / "both.h264", pre_roll_s=1)
    for seen, frame in enumerate(player.source.frames(), start=1):
        player.frames.append(frame.image.copy())
        if seen in (60, 120):
            player.names.append(player.recorder.begin(f"{seen}", frame.mono_ns))
    assert player.recorder.close(CLOSE_S)
    assert len(player.clips()) == 2
    for name, width in zip(player.names, (96, 48), strict=True):
        pictures = decoded(player.folder / name)
        assert {picture.shape for picture in pictures} == {(32, width, 3)}
        with av.open(str(player.folder / name)) as container:
            assert container.streams.video[0].width == width


def test_only_the_newest_clips_of_its_own_stay_and_the_folder_keeps_its_bounds(tmp_path: Path) -> None:
    video = VIDEOS["motion JPEG"](tmp_path)
    folder = tmp_path / "clips"
    folder.mkdir()
    strangers = ["holiday.mp4", "door-20200101T000000000Z-7.jpg", ".hidden.part"]
    for name in strangers:
        (folder / name).write_bytes(bytes(3_000_000))
    for number in range(4):
        old = folder / f"yard-20261126T00000000{number}Z-clip1.mp4"
        old.write_bytes(bytes(400_000))
        os.utime(old, (1_795_700_000 + number,) * 2)
    player = Player(tmp_path, video, pre_roll_s=1, post_roll_s=1, max_bytes=1e6)
    player.play({"event": (9.0, 10.0)})
    kept = {path.name for path in player.clips()}
    assert set(strangers) <= kept
    ours = sorted(kept - set(strangers))
    assert player.names[0] in ours
    assert sum((folder / name).stat().st_size for name in ours) <= 1e6
    assert "yard-20261126T000000003Z-clip1.mp4" in ours
    assert "yard-20261126T000000000Z-clip1.mp4" not in ours


def test_old_clips_go_while_the_clock_can_be_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    now_s = SystemClock().time_ns() / 1e9
    ages = {"door-20261126T000000000Z-clip1.mp4": 8 * 86_400, "door-20261126T000000000Z-clip2.mkv": 60}
    unset = "door-19700101T000000000Z-clip1.mp4"  # written before the clock was set
    for name, age_s in ages.items():
        (folder / name).touch()
        os.utime(folder / name, (now_s - age_s + 30 * 86_400,) * 2)
    (folder / unset).touch()
    os.utime(folder / unset, (100, 100))

    class Later(SystemClock):
        def time_ns(self) -> int:
            return super().time_ns() + 30 * 86_400 * NS

    for synced, left in ((False, {unset, *ages}), (True, {unset, "door-20261126T000000000Z-clip2.mkv"})):
        monkeypatch.setattr("edgemass.pipeline.clip_folder.clock_synced", lambda synced=synced: synced)
        recorder = ClipRecorder("door", ClipsConfig(folder=str(folder)), clock=Later(), counters=Counters())
        assert recorder.close(CLOSE_S)
        assert {path.name for path in folder.iterdir()} == left


def test_what_a_crash_left_unfinished_is_swept_away_but_not_that_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    half = folder / ".door-20261126T000000000Z-clip1.mp4.part"
    other = folder / ".door-2-20261126T000000000Z-clip1.mp4.part"
    half.touch()
    other.touch()
    recorder = ClipRecorder("door", ClipsConfig(folder=str(folder)), clock=SystemClock(), counters=Counters())
    assert recorder.close(CLOSE_S)
    assert list(folder.iterdir()) == [other]


def test_a_disk_that_is_full_costs_that_clip_alone_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    player = Player(tmp_path, VIDEOS["motion JPEG"](tmp_path), pre_roll_s=1, post_roll_s=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    written = threading.Event()
    for frame in player.source.frames():
        player.begun_ns = player.begun_ns or frame.mono_ns
        at_s = round((frame.mono_ns - player.begun_ns) / NS, 1)
        player.frames.append(frame.image.copy())
        if at_s in (4.0, 9.0, 16.0):
            player.names.append(player.recorder.begin(str(at_s), frame.mono_ns))
            player.recorder.end(str(at_s), frame.mono_ns)
        if at_s == 3.0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # Python ignores the signal that comes with it
        if at_s == 13.0:
            until = 200
            while player.counters["clips_lost"] < 2 and until:
                written.wait(0.02)
                until -= 1
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert player.recorder.close(CLOSE_S)
    assert player.counters["clips_lost"] == 2
    assert [path.name for path in player.clips()] == player.names[2:]
    said = [record.message for record in caplog.records if "clips" in record.message]
    assert len([text for text in said if "are lost" in text]) == 1
    assert len([text for text in said if "again" in text]) == 1


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "clips").touch()
    player = Player(tmp_path, VIDEOS["as cameras send it"](tmp_path))
    player.play({"event": (9.0, 10.0)})
    assert len(player.frames) == FPS * SECONDS
    assert player.counters["clips_lost"] == 1


def packet(at_s: float, size: int, *, key: bool) -> CodedPacket:
    return CodedPacket(None, bytes(size), None, None, 0, key, round(at_s * NS))  # type: ignore[arg-type]


def test_the_reel_reaches_back_to_the_key_frame_before_its_seconds_and_no_further() -> None:
    reel = Reel(3.0)
    for tenth in range(200):
        reel.add(packet(tenth / 10, 100, key=tenth % 20 == 0))
    held = reel.since(0)
    assert held[0].key
    assert held[0].mono_ns == 16 * NS
    assert reel.since(17.9 * NS)[0].mono_ns == 16 * NS
    assert reel.since(18.0 * NS)[0].mono_ns == 18 * NS
    assert reel.left_out == 0


@pytest.mark.parametrize("key_every", [10, 10**9])
def test_the_reel_holds_no_more_bytes_than_it_may_and_counts_what_it_leaves_out(key_every: int) -> None:
    reel = Reel(60.0, memory_bytes=10_000)
    for tenth in range(1000):
        reel.add(packet(tenth / 10, 300, key=tenth % key_every == 0))
        assert sum(len(item.data) for item in reel.since(0)) <= 10_000
    held = reel.since(0)
    assert not held or held[0].key
    assert reel.left_out + len(held) == 1000


def test_a_writer_that_is_too_slow_costs_packets_up_to_a_key_frame_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VIDEOS["as cameras send it"](tmp_path)
    monkeypatch.setattr(clips, "QUEUE_BYTES", 6000)
    held, go_on = threading.Event(), threading.Event()
    take = clips._Writer.take

    def slow(writer: clips._Writer, item: object) -> None:
        held.set()
        go_on.wait(30)
        take(writer, item)  # type: ignore[arg-type]

    monkeypatch.setattr(clips._Writer, "take", slow)
    player = Player(tmp_path, video, pre_roll_s=1)
    for seen, frame in enumerate(player.source.frames(), start=1):
        player.frames.append(frame.image.copy())
        if seen == 40:
            player.names.append(player.recorder.begin("event", frame.mono_ns))
        if seen == 150:
            assert held.is_set()
            go_on.set()
            until = 500
            while player.recorder._waiting and until:
                threading.Event().wait(0.01)
                until -= 1
    assert player.recorder.close(CLOSE_S)
    assert player.counters["clip_packets_left_out"] > 10
    pictures = decoded(player.folder / player.names[0])
    numbers = [
        next(index for index, whole in enumerate(player.frames) if np.array_equal(whole, one)) for one in pictures
    ]
    assert numbers == sorted(numbers)  # each is a picture of the source, to the last bit
    assert numbers[-1] == len(player.frames) - 1
    gaps = [later for earlier, later in itertools.pairwise(numbers) if later != earlier + 1]
    assert gaps
    assert all(index % KEY_EVERY == 0 for index in gaps)


def test_times_of_a_clip_never_go_back_and_leap_over_no_clock_that_was_set() -> None:
    retiming = Retiming(leap=1000)
    found = [retiming.of(pts, pts, 10) for pts in (5000, 5010, 5020, 90_000, 90_010, 20, 30, 30)]
    assert found == [(0, 0), (10, 10), (20, 20), (30, 30), (40, 40), (50, 50), (60, 60), (70, 70)]


def test_pictures_that_refer_to_what_lies_before_the_clip_are_left_out() -> None:
    retiming = Retiming(leap=1000)
    found = [retiming.of(pts, dts, 10) for pts, dts in ((130, 100), (110, 110), (120, 120), (160, 130), (140, 140))]
    assert found == [(0, -30), None, None, (30, 0), (10, 10)]


def test_a_source_that_is_not_tapped_hands_out_nothing(tmp_path: Path) -> None:
    source = sources.open(str(VIDEOS["as cameras send it"](tmp_path)), CaptureOptions(), ManualClock())
    assert isinstance(source, Recordable)
    taken: list[CodedPacket | None] = []
    source.tap(taken.append)
    source.tap(None)
    assert len(list(source.frames())) == FPS * SECONDS
    assert taken == []


def test_only_sources_that_have_packets_are_recordable() -> None:
    assert not isinstance(sources.open("synthetic:", CaptureOptions(), ManualClock()), Recordable)
    assert isinstance(sources.open("rtsp://127.0.0.1/cam", CaptureOptions(), ManualClock()), Recordable)
