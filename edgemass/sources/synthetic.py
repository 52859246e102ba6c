"""A drawn camera: `synthetic:` or `synthetic:?width=1280&height=720&fps=30&frames=300`; the same pixels every time.

Without `frames` it is live, as a camera is: it gives `fps` frames a second for ever. With `frames` it is like a file:
so many frames, as fast as they are taken (at `fps` with the option realtime).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import parse_qsl

import cv2
import msgspec
import numpy as np

from edgemass.clock import Clock
from edgemass.config.explaining import explain
from edgemass.errors import UsageError
from edgemass.frame import Frame, Image
from edgemass.sources import CaptureOptions
from edgemass.sources._timeline import NS, Timeline, ready

PHASES = 8  # pictures of one round; drawn once, so that a benchmark does not measure drawing
READ_TIMEOUT_S = 60.0
_COLOURS = ((60, 60, 220), (60, 200, 80), (220, 140, 40), (40, 210, 230), (200, 70, 190))  # BGR


EXAMPLE = "synthetic:?width=1280&height=720&fps=30&frames=300"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the `?`."""

    width: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 1280
    height: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 720
    fps: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 30.0
    frames: Annotated[int, msgspec.Meta(ge=1)] | None = None


def open(uri: str, options: CaptureOptions, clock: Clock) -> Synthetic:  # noqa: A001 (the plug-ins' own word)
    """A drawn camera; what the address leaves open comes from `options`.

    Raises:
        UsageError: an unknown option or one out of range.
    """
    _, _, query = uri.partition("?")
    if uri.partition(":")[2].partition("?")[0].strip("/"):
        raise UsageError(f"cannot read {uri!r}; wanted {EXAMPLE}")
    asked = {"width": options.width, "height": options.height, "fps": options.fps}
    table: dict[str, object] = {key: value for key, value in asked.items() if value is not None}
    try:
        table.update(parse_qsl(query, strict_parsing=bool(query), keep_blank_values=True))
        drawn = msgspec.convert(table, Options, strict=False)
    except ValueError as error:  # msgspec's ValidationError is one
        raise UsageError(f"cannot read {uri!r}: {explain(str(error), Options)}; wanted {EXAMPLE}") from error
    return Synthetic(uri, drawn, clock, realtime=options.realtime)


class Synthetic:
    """Coloured discs that go round over a still background. Frames share their pixels, which cannot be written to."""

    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, name: str, options: Options, clock: Clock, *, realtime: bool) -> None:
        self.name = name
        self.live = options.frames is None
        self.realtime = self.live or realtime
        self._options = options
        self._clock = clock
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        options = self._options
        if self._closed.is_set():
            return
        pictures = [draw(options.width, options.height, phase / PHASES) for phase in range(PHASES)]
        timeline = Timeline(self._clock, self._closed, step_ns=round(NS / options.fps), realtime=self.realtime)
        count = 0
        while options.frames is None or count < options.frames:
            frame = timeline.frame(ready(pictures[count % PHASES]), width=options.width, height=options.height)
            if frame is None:
                return
            count += 1
            yield frame


def draw(width: int, height: int, phase: float) -> Image:
    """One picture. phase: 0 to 1, how far round the discs have gone."""
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.linspace(40, 120, width, dtype=np.uint8)[None, :, None]
    image[height // 2 :] += 40
    radius = max(min(width, height) // 10, 2)
    for place, colour in enumerate(_COLOURS):
        angle = 2 * math.pi * (phase + place / len(_COLOURS))
        centre = (round(width * (0.5 + 0.35 * math.cos(angle))), round(height * (0.5 + 0.35 * math.sin(angle))))
        cv2.circle(image, centre, radius, colour, thickness=-1)
    image.flags.writeable = False
    return image
