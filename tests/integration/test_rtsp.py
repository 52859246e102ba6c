"""Against a real RTSP server on loopback."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edgemass import sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import SourceError
from edgemass.frame import Frame
from edgemass.messages import CameraState
from edgemass.pipeline.capture import Capture
from edgemass.sources import CaptureOptions
from tests.simulators.rtsp_server import RtspServer, lag_ms

pytestmark = pytest.mark.rtsp

NOTICE_S = 5.0
RETURN_S = 10.0


def opened(address: str) -> sources.Source:
    return sources.open(address, CaptureOptions(), SystemClock())


class Watched:
    """A capture with its states, each with the monotonic time at which it was told."""

    def __init__(self, address: str) -> None:
        self.states: list[tuple[float, CameraState]] = []
        self.counters = Counters()
        self.capture = Capture(
            "cam",
            opened(address),
            clock=SystemClock(),
            counters=self.counters,
            on_state=lambda state: self.states.append((time.monotonic(), state)),
        )

    def frame(self, timeout_s: float) -> Frame:
        frame = self.capture.slot.get(timeout_s)
        assert frame is not None, f"no frame in {timeout_s} s; states {self.states}"
        return frame

    def told(self, *states: str) -> None:
        """The first states, in order; the last may come a moment after the frame that it tells of.

        What comes after them is the server's affair: GstRtspServer at times ends a stream that it has only just begun
        again, while it still clears away the connection from before its silence.
        """
        give_up = time.monotonic() + 5.0
        while len(self.states) < len(states) and time.monotonic() < give_up:
            time.sleep(0.01)
        assert [state.state for _, state in self.states[: len(states)]] == list(states)

    def failed(self, times: int) -> None:
        """Wait until so many attempts in a row have failed, the loss itself being the first."""
        give_up = time.monotonic() + 30.0
        while self.capture._failures < times:
            assert time.monotonic() < give_up, f"{self.capture._failures} failures; states {self.states}"
            time.sleep(0.01)

    def offline_since(self, then: float, timeout_s: float) -> CameraState:
        """The first offline state after `then`; frames are taken meanwhile, as a detect loop does."""
        while time.monotonic() < then + timeout_s:
            self.capture.slot.get(0.05)
            for told, state in self.states:
                if told >= then and state.state == "offline":
                    return state
        raise AssertionError(f"not noticed in {timeout_s} s; states {self.states}")


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watched]]:
    running: list[Watched] = []

    def start(address: str) -> Watched:
        watched = Watched(address)
        running.append(watched)
        watched.capture.start()
        return watched

    yield start
    for watched in running:
        watched.capture.stop(5.0)


def test_frames_arrive_and_move(watch: Callable[[str], Watched]) -> None:
    with RtspServer() as server:
        camera = watch(server.address)
        frames = [camera.frame(10.0) for _ in range(5)]
    assert {(frame.width, frame.height) for frame in frames} == {(320, 240)}
    assert all(later.mono_ns > earlier.mono_ns for earlier, later in itertools.pairwise(frames))
    bars = [int(frame.image[120, :, 1].astype(int).argmax()) for frame in frames]
    assert len(set(bars)) > 1
    assert frames[0].image.max() > 200
    assert frames[0].image.min() < 40


def test_a_file_is_served_and_shown_as_it_is(assets: Path, watch: Callable[[str], Watched]) -> None:
    with RtspServer(file=assets / "videos" / "vtest.avi", size=(384, 288), fps=10) as server:
        frame = watch(server.address).frame(15.0)
        source = sources.open(str(assets / "videos" / "vtest.avi"), CaptureOptions(), SystemClock())
        first = next(iter(source.frames())).image[::2, ::2].astype(int)
    difference = np.abs(frame.image.astype(int) - first).mean()
    assert difference < 15  # the same street, through H.264; a black or gray picture is over 80 away


def test_the_lag_is_below_a_quarter_second(watch: Callable[[str], Watched]) -> None:
    with RtspServer(pictures="time") as server:
        camera = watch(server.address)
        lags = [lag_ms(camera.frame(10.0).image[120, :, 1].tobytes()) for _ in range(45)][15:]
    print(f"lag of {len(lags)} frames at 15 fps: median {statistics.median(lags)} ms, worst {max(lags)} ms")
    assert statistics.median(lags) < 250


def test_a_server_that_was_killed_and_comes_back_is_seen_again(watch: Callable[[str], Watched]) -> None:
    with RtspServer() as server:
        camera = watch(server.address)
        camera.frame(10.0)
        killed = time.monotonic()
        server.kill()
        camera.offline_since(killed, NOTICE_S)
        camera.failed(4)  # the pauses have grown
        while camera.capture.slot.get(0.0) is not None:
            pass
        server.start()
        back = time.monotonic()
        frame = camera.frame(RETURN_S)
        print(f"frames {time.monotonic() - back:.1f} s after the return of a killed server")
        assert frame.mono_ns > int(back * 1e9)
        assert camera.counters["reconnects"] == 1
        camera.told("online", "offline", "online")


def test_a_silent_server_is_noticed_and_seen_again(
    watch: Callable[[str], Watched], caplog: pytest.LogCaptureFixture
) -> None:
    with RtspServer() as server, caplog.at_level(logging.INFO, logger="edgemass"):
        camera = watch(server.address)
        camera.frame(10.0)
        silenced = time.monotonic()
        server.silence()
        state = camera.offline_since(silenced, NOTICE_S)
        print(f"silence noticed after {time.monotonic() - silenced:.1f} s: {state.reason}")
        assert "silent" in state.reason
        camera.failed(2)  # an attempt too, against the silent server
        server.resume()
        back = time.monotonic()
        camera.frame(RETURN_S)
        print(f"frames {time.monotonic() - back:.1f} s after the return of a silent server")
        camera.told("online", "offline", "online")
    words = [record.getMessage() for record in caplog.records if record.name.startswith("edgemass.pipeline")]
    assert [word.split(",")[0].split(":")[0] for word in words[:3]] == [
        "camera online",
        "camera offline",
        "camera is back",
    ]


def test_a_change_of_size_within_the_stream_is_followed(watch: Callable[[str], Watched]) -> None:
    with RtspServer(switch_after=30) as server:
        camera = watch(server.address)
        sizes: list[tuple[int, int]] = []
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and (160, 120) not in sizes:
            frame = camera.capture.slot.get(1.0)
            if frame is not None:
                assert frame.image.shape == (frame.height, frame.width, 3)
                sizes.append((frame.width, frame.height))
    assert sizes[0] == (320, 240)
    assert sizes[-1] == (160, 120)


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_opening_and_closing_again_and_again_does_not_grow(times: int) -> None:
    with RtspServer() as server:

        def open_once() -> None:
            frames = opened(server.address).frames()
            assert next(frames).image.shape == (240, 320, 3)
            frames.close()  # type: ignore[attr-defined]  # every source's iterator is a generator

        for _ in range(3):
            open_once()
        before = rss_bytes()
        threads = threading.active_count()
        for _ in range(times):
            open_once()
        grown = rss_bytes() - before
    print(f"resident memory grew by {grown / 1e6:.1f} MB over {times} reconnects")
    assert grown < times * 0.5e6
    assert threading.active_count() == threads


def rss_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_stop_is_quick_while_frames_flow_and_bounded_while_the_server_is_silent(
    watch: Callable[[str], Watched],
) -> None:
    with RtspServer() as server:
        flowing = watch(server.address)
        flowing.frame(10.0)
        started = time.monotonic()
        assert flowing.capture.stop()
        assert time.monotonic() - started < 1.0
        silent = watch(server.address)
        silent.frame(10.0)
        server.silence()
        time.sleep(0.5)
        started = time.monotonic()
        silent.capture.stop(2.0)
        assert time.monotonic() - started < 3.0
        server.resume()


def test_a_wrong_password_is_told_without_the_password() -> None:
    with RtspServer(user="viewer", password="right") as server:
        good = server.address.replace("rtsp://", "rtsp://viewer:right@")
        assert next(opened(good).frames()).width == 320
        bad = opened(server.address.replace("rtsp://", "rtsp://viewer:hunter2@"))
        with pytest.raises(SourceError, match="check user and password") as refused:
            next(bad.frames())
    assert "hunter2" not in str(refused.value)
    assert "hunter2" not in bad.name


def test_a_stream_that_is_not_there_is_named() -> None:
    with RtspServer() as server:
        source = opened(server.address + "2")
        with pytest.raises(SourceError, match="no stream of this path"):
            next(source.frames())


def test_udp_works_where_it_is_asked_for(watch: Callable[[str], Watched]) -> None:
    with RtspServer() as server:
        assert watch(server.address + "#transport=udp").frame(10.0).image.max() > 200
