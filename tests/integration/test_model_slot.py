"""The exchange of models under a running camera, with real runtimes."""

from __future__ import annotations

import itertools
import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edgemass.agent.slot import ModelSlot, load
from edgemass.bundles import Bundle, load_bundle
from edgemass.clock import SystemClock
from edgemass.config import Config
from edgemass.counters import Counters
from edgemass.detector import made_up_picture
from edgemass.errors import BackendError
from edgemass.frame import Frame
from edgemass.messages import FrameMessage
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.moment import Identity

pytestmark = pytest.mark.runtime

PERSON = Path(__file__).parents[2] / "models" / "edgemass-person"
CONFIG = Config(cameras={}, device="pi")
PATIENCE_S = 60.0
SETTLED = 20
"""Swaps until the allocators have what they keep."""


def of_version(version: str) -> Bundle:
    bundle = load_bundle(PERSON)
    return Bundle(msgspec.structs.replace(bundle.manifest, version=version), bundle.folder)


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Camera:
    """A camera's loop: frame after frame through a line. told: (seq, version) of all messages; last: the newest."""

    def __init__(self, slot: ModelSlot) -> None:
        self.told: list[tuple[int, str]] = []
        self.last: FrameMessage | None = None
        self.line = CameraLine(
            "cam",
            slot.running,
            [],
            identity=Identity("pi", "boot", "run"),
            score=None,
            clock=SystemClock(),
            counters=Counters(),
        )
        slot.lines = (self.line,)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        picture, clock = made_up_picture(), SystemClock()
        height, width = picture.shape[:2]
        while not self._stop.is_set():
            now = clock.monotonic_ns()
            frame = Frame(lambda: picture, width=width, height=height, mono_ns=now, time_ns=0, arrived_ns=now)
            self.last = self.line.process(frame)
            self.told.append((self.last.seq, self.last.model.version))
            self._stop.wait(0.005)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(PATIENCE_S)


def swaps(count: int) -> tuple[Camera, list[int]]:
    """Exchange two versions of a model so many times under a camera; RSS in bytes after each."""
    clock = SystemClock()
    bundles = itertools.cycle([of_version("2"), of_version("1")])
    slot = ModelSlot("main", of_version("1"), load(of_version("1"), CONFIG, clock), clock=clock)
    camera, sizes = Camera(slot), []
    with camera.running():
        for bundle in itertools.islice(bundles, count):
            assert slot.exchange(bundle, load(bundle, CONFIG, clock, warm=True), threading.Event())
            seen = len(camera.told)
            while len(camera.told) < seen + 3:
                threading.Event().wait(0.001)
            assert camera.told[-1][1] == bundle.manifest.version
            assert camera.last is not None
            assert camera.last.model.digest == bundle.digest
            sizes.append(rss_bytes())
    slot.close()
    print(f"RSS in MB: {sizes[0] / 1e6:.1f} after the first swap, {sizes[-1] / 1e6:.1f} after {count}")
    return camera, sizes


def leak(sizes: list[int]) -> float:
    """Growth from the first settled quarter to the last, as a share of medians: what comes and goes is none."""
    settled = sizes[SETTLED:]
    quarter = max(1, len(settled) // 4)
    return statistics.median(settled[-quarter:]) / statistics.median(settled[:quarter]) - 1


def test_no_frame_is_lost_and_every_message_names_the_model_that_answered() -> None:
    camera, _ = swaps(6)
    assert [seq for seq, _ in camera.told] == list(range(1, len(camera.told) + 1))
    versions = [version for version, _ in itertools.groupby(version for _, version in camera.told)]
    assert versions == ["1", "2", "1", "2", "1", "2", "1"]


def test_swaps_leak_nothing() -> None:
    _, sizes = swaps(40)
    assert leak(sizes) < 0.02, sizes


@pytest.mark.slow
def test_500_swaps_leak_nothing() -> None:
    _, sizes = swaps(500)
    assert leak(sizes) < 0.02, sizes


def test_where_there_is_no_room_for_both_the_old_one_goes_first_and_comes_back_if_the_new_one_fails() -> None:
    clock = SystemClock()
    old, new = of_version("1"), of_version("2")
    slot = ModelSlot("main", old, load(old, CONFIG, clock), clock=clock)
    camera = Camera(slot)

    def refuse() -> None:
        raise BackendError("no room")

    with camera.running():
        slot.replace(new, lambda: load(new, CONFIG, clock), lambda: load(old, CONFIG, clock))
        assert slot.bundle is new
        with pytest.raises(BackendError, match="no room"):
            slot.replace(old, refuse, lambda: load(new, CONFIG, clock))  # type: ignore[arg-type]
        assert slot.bundle is new
        seen = len(camera.told)
        while len(camera.told) < seen + 3:
            threading.Event().wait(0.001)
    slot.close()
    assert camera.told[-1][1] == "2"
    assert [seq for seq, _ in camera.told] == list(range(1, len(camera.told) + 1))
