from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine

PATIENCE_S = 10.0
BROKEN = 2


class Pictures:
    """Implements `edgemass.sources.Source`: four frames, of which number BROKEN cannot be converted."""

    live = False
    realtime = False
    name = "pictures"
    read_timeout_s = 5.0

    def frames(self) -> Iterator[Frame]:
        for number in range(1, 5):

            def load(number: int = number) -> Image:
                if number == BROKEN:
                    raise SourceError("a JPEG that cannot be decoded")
                return np.full((6, 8, 3), number, np.uint8)

            yield Frame(load, width=8, height=6, mono_ns=number, time_ns=number, arrived_ns=number)

    def close(self) -> None:
        pass


class Looking:
    """Stands for a line that looks at every picture."""

    def __init__(self) -> None:
        self.camera = "cam"
        self.heard = True
        self.seen: list[int] = []

    @property
    def processed(self) -> int:
        return len(self.seen)

    def process(self, frame: Frame) -> Any:
        self.seen.append(int(frame.image[0, 0, 0]))
        return types.SimpleNamespace()


def test_a_picture_that_cannot_be_converted_is_counted_and_the_camera_goes_on() -> None:
    counters = Counters()
    line = Looking()
    capture = Capture("cam", Pictures(), clock=SystemClock(), counters=counters)
    camera = Camera(
        capture, cast("CameraLine", line), max_fps=None, frames=None, clock=SystemClock(), counters=counters
    )
    camera.start()
    assert camera.join(PATIENCE_S)
    assert camera.failure is None
    assert line.seen == [1, 3, 4]
    assert counters["frames_broken"] == 1
