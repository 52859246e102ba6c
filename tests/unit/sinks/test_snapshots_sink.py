from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass import sinks
from edgemass.errors import SinkError, UsageError
from edgemass.sinks.snapshots import SnapshotSink
from tests.documents import HEIGHT, WIDTH, classification, context, detections, frame


def open_sink(uri: str) -> SnapshotSink:
    sink = sinks.open(uri, context())
    assert isinstance(sink, SnapshotSink)
    return sink


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_first_frame_with_something_in_it_makes_a_picture_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    sink = open_sink(f"snapshots:{folder}")
    sink.publish(detections(seq=1), frame())
    assert sink.last_path is None
    assert names(folder) == []
    sink.publish(detections("person", seq=2, at_s=0.1), frame())
    assert names(folder) == ["door-20261122T020000100Z-2.jpg"]
    assert sink.last_path == folder / "door-20261122T020000100Z-2.jpg"


def test_the_picture_shows_what_was_found_and_the_frame_stays_clean(tmp_path: Path) -> None:
    sink = open_sink(f"snapshots:{tmp_path}")
    shared = frame()
    sink.publish(detections("person"), shared)
    assert (shared.image == 128).all()
    picture = cv2.imread(str(sink.last_path))
    assert picture is not None
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (np.ptp(picture.astype(int), axis=2) > 50).any()  # something coloured on the grey


def test_classes_make_pictures_too(tmp_path: Path) -> None:
    sink = open_sink(f"snapshots:{tmp_path}")
    sink.publish(classification("tabby"), frame())
    assert len(names(tmp_path)) == 1


def test_one_picture_in_an_interval_for_each_camera(tmp_path: Path) -> None:
    sink = open_sink(f"snapshots:{tmp_path}?every_s=10")
    for seq, at_s in enumerate([0, 1, 9.9, 10, 19.9, 20.0], start=1):
        for camera in ("door", "yard"):
            sink.publish(detections("person", camera=camera, seq=seq, at_s=at_s), frame())
    assert [name.rpartition("-")[2] for name in names(tmp_path)] == ["1.jpg", "4.jpg", "6.jpg"] * 2


def test_interval_0_means_every_frame_with_something_in_it(tmp_path: Path) -> None:
    sink = open_sink(f"snapshots:{tmp_path}?every_s=0")
    for seq in range(1, 6):
        sink.publish(detections("person", seq=seq), frame())
    assert len(names(tmp_path)) == 5


def test_only_the_newest_of_its_own_stay(tmp_path: Path) -> None:
    strangers = ["holiday.jpg", "door-notes.txt"]
    for name in strangers:
        (tmp_path / name).touch()
    for run in range(2):  # the second one finds the first one's files
        sink = open_sink(f"snapshots:{tmp_path}?every_s=0&max_files=3")
        for seq in range(1, 6):
            sink.publish(detections("person", seq=seq, at_s=100 * run + seq), frame())
            assert sink.last_path is not None
            os.utime(sink.last_path, ns=(0, (100 * run + seq) * 10**9))
    kept = [name for name in names(tmp_path) if name not in strangers]
    assert [name.rpartition("-")[2] for name in kept] == ["3.jpg", "4.jpg", "5.jpg"]
    assert set(strangers) <= set(names(tmp_path))


def test_quality_is_heeded(tmp_path: Path) -> None:
    sizes = []
    for quality in (5, 95):
        sink = open_sink(f"snapshots:{tmp_path}?quality={quality}")
        sink.publish(detections("person", seq=quality), frame())
        assert sink.last_path is not None
        sizes.append(sink.last_path.stat().st_size)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("evrey_s=1", "did you mean every_s"),
        ("colour=1", "known are every_s, max_files, quality"),
        ("every_s=-1", ">= 0.0"),
        ("max_files=0", ">= 1"),
        ("quality=101", "<= 100"),
        ("quality=high", "Expected `int`"),
    ],
)
def test_an_option_that_does_not_fit_says_so(tmp_path: Path, query: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        open_sink(f"snapshots:{tmp_path}?{query}")


def test_needs_a_folder() -> None:
    with pytest.raises(UsageError, match="snapshots:DIR"):
        open_sink("snapshots:")


def test_a_folder_that_cannot_be_made_says_why_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SinkError, match=r"cannot write snapshots into .*: (Not a directory|File exists)"):
        open_sink(f"snapshots:{tmp_path / 'file'}")


def test_a_folder_that_goes_away_is_an_error_of_that_picture_only(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    sink = open_sink(f"snapshots:{folder}")
    folder.rmdir()
    with pytest.raises(SinkError, match="No such file"):
        sink.publish(detections("person", seq=1), frame())
    folder.mkdir()
    sink.publish(detections("person", seq=2), frame())
    assert [name.rpartition("-")[2] for name in names(folder)] == ["2.jpg"]


def test_the_name_of_a_camera_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    sink = open_sink(f"snapshots:{tmp_path / 'inside'}")
    sink.publish(detections("person", camera="../../yard"), frame())
    assert names(tmp_path) == ["inside"]
    assert len(names(tmp_path / "inside")) == 1
