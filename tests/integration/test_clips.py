"""Clips of a real RTSP camera on loopback."""

from __future__ import annotations

import time
from pathlib import Path

import av
import numpy as np
import pytest

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.config.clips import ClipsConfig
from edgemass.counters import Counters
from edgemass.frame import Frame, Image
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.clips import ClipRecorder
from edgemass.sources import CaptureOptions, Recordable
from tests.simulators.rtsp_server import RtspServer

pytestmark = pytest.mark.rtsp

PATIENCE_S = 20.0
CLOSE_S = 10.0


class Recording:
    """A camera at work with a recorder, and the frames that it gave."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self.counters = Counters()
        self.frames: list[Frame] = []
        config = ClipsConfig(folder=str(folder), pre_roll_s=1, post_roll_s=1)
        self.recorder = ClipRecorder("gate", config, clock=SystemClock(), counters=self.counters)
        source = sources.open(address, CaptureOptions(), SystemClock())
        assert isinstance(source, Recordable)
        source.tap(self.recorder.take)
        self.capture = Capture("gate", source, clock=SystemClock(), counters=Counters())
        self.capture.start()

    def watch(self, seconds: float, *, size: tuple[int, int] | None = None) -> Frame:
        """Take frames for so long, from the first one of that size on; returns the last."""
        give_up = time.monotonic() + PATIENCE_S + seconds
        called_ns = time.monotonic_ns()
        since_ns: int | None = None
        while time.monotonic() < give_up:
            frame = self.capture.slot.get(0.5)
            if frame is None or frame.mono_ns < called_ns or (size is not None and size != (frame.width, frame.height)):
                continue
            frame.convert()
            self.frames.append(frame)
            since_ns = since_ns or frame.mono_ns
            if frame.mono_ns - since_ns >= seconds * 1e9:
                return frame
        raise AssertionError(f"no frames for {seconds} s; {len(self.frames)} in all")

    def close(self) -> None:
        self.capture.stop()
        assert self.recorder.close(CLOSE_S)


def decoded(path: Path) -> list[Image]:
    with av.open(str(path)) as container:
        return [np.asarray(picture.to_ndarray(format="bgr24"), np.uint8) for picture in container.decode(video=0)]


def test_a_clip_of_a_camera_begins_before_the_event_and_holds_every_frame_of_it(tmp_path: Path) -> None:
    with RtspServer() as server:
        recording = Recording(server.address, tmp_path / "clips")
        first = recording.watch(3.0)
        name = recording.recorder.begin("event", first.mono_ns)
        last = recording.watch(1.0)
        recording.recorder.end("event", last.mono_ns)
        recording.watch(2.0)
        recording.close()
    assert [path.name for path in (tmp_path / "clips").iterdir()] == [name]
    shown = {picture.tobytes() for picture in decoded(tmp_path / "clips" / name)}
    wanted = [frame for frame in recording.frames if first.mono_ns - 1e9 <= frame.mono_ns <= last.mono_ns + 0.9e9]
    assert len(wanted) > 30
    missing = [frame for frame in wanted if frame.image.tobytes() not in shown]
    assert not missing
    assert recording.counters.snapshot() == {"clips_written": 1}


@pytest.mark.slow
def test_a_camera_that_breaks_off_ends_its_clip_and_has_a_new_one_when_it_is_back(tmp_path: Path) -> None:
    with RtspServer() as server:
        recording = Recording(server.address, tmp_path / "clips")
        names = [recording.recorder.begin("before", recording.watch(2.0).mono_ns)]
        recording.watch(1.0)
        server.kill()
        deadline = time.monotonic() + PATIENCE_S
        while not recording.counters["clips_written"] and time.monotonic() < deadline:
            time.sleep(0.05)
        server.start()
        names.append(recording.recorder.begin("after", recording.watch(2.0).mono_ns))
        recording.watch(1.0)
        recording.close()
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == sorted(names)
    assert all(len(decoded(tmp_path / "clips" / name)) > 25 for name in names)


@pytest.mark.slow
def test_a_camera_that_changes_its_size_ends_its_clip(tmp_path: Path) -> None:
    with RtspServer(switch_after=75) as server:
        recording = Recording(server.address, tmp_path / "clips")
        names = [recording.recorder.begin("large", recording.watch(1.5, size=(320, 240)).mono_ns)]
        names.append(recording.recorder.begin("small", recording.watch(1.5, size=(160, 120)).mono_ns))
        recording.watch(1.0)
        recording.close()
    sizes = [{picture.shape for picture in decoded(tmp_path / "clips" / name)} for name in names]
    assert sizes == [{(240, 320, 3)}, {(120, 160, 3)}]
