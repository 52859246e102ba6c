"""Promises of the labels: people's truth stands, what was labelled stays so, and other labels are not mixed in."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from edgemass import durable
from edgemass.errors import UsageError
from edgemass_tools import teaching
from edgemass_tools.data import coco
from edgemass_tools.data.coco import Objects
from edgemass_tools.distilling import frames, labelling
from edgemass_tools.distilling.labelling import Picture
from edgemass_tools.teaching import Rule, Teacher
from tests.simulators.clips import write_clip

ASKED = {"teachers": ["one"]}
ROW = {"category_id": 1, "bbox": [10.0, 10.0, 20.0, 20.0], "area": 400.0, "iscrowd": 0, "score": 0.8}


def truth(*boxes: tuple[float, float, float, float], ignored: bool = False) -> Objects:
    n = len(boxes)
    xyxy = np.array(boxes, np.float32).reshape(n, 4)
    return Objects(xyxy, np.zeros(n, np.int64), np.ones(n, np.float32), np.full(n, ignored))


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Teachers that find one box in each picture; what they looked at."""
    seen: list[int] = []

    def fused(image: Any, _teachers: Sequence[Teacher], _rule: Rule, _count: int) -> Iterator[dict[str, Any]]:
        seen.append(int(image[0, 0, 0]))
        yield dict(ROW)

    monkeypatch.setattr(teaching, "fused", fused)
    return seen


@pytest.fixture
def pictures(tmp_path: Path) -> list[Picture]:
    made = []
    for number in range(5):
        path = tmp_path / "pictures" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((40, 40, 3), number * 10, np.uint8))
        made.append(Picture(path, "door"))
    return made


def label(pictures: Sequence[Picture], path: Path, asked: dict[str, Any] = ASKED) -> dict[str, Any]:
    return labelling.label(pictures, [], ("person",), Rule(), asked, path, lambda _done, _total: None)


def test_a_box_that_people_drew_wins() -> None:
    (row,) = labelling.merge(truth((11, 10, 31, 30)), [ROW])
    assert row["bbox"] == [11, 10, 20, 20]
    assert (row["score"], row["iscrowd"]) == (1.0, 0)


def test_what_people_left_out_is_added_with_its_score_and_not_held_against_the_student() -> None:
    _, row = labelling.merge(truth((60, 60, 80, 80)), [ROW])
    assert (row["bbox"], row["score"], row["iscrowd"]) == (ROW["bbox"], 0.8, 1)


def test_regions_that_people_marked_as_unclear_stay_unclear() -> None:
    (row,) = labelling.merge(truth((0, 0, 100, 100), ignored=True), [ROW])
    assert (row["score"], row["iscrowd"]) == (1.0, 1)


def test_labels_are_read_as_training_reads_annotations(
    looks: list[int], pictures: list[Picture], tmp_path: Path
) -> None:
    label(pictures, tmp_path / "labels.json")
    data = coco.read(tmp_path / "labels.json", tmp_path)
    assert [sample.path for sample in data.samples] == [picture.path.resolve() for picture in pictures]
    assert data.samples[0].objects.score == pytest.approx([0.8])
    assert data.samples[0].source == "door"
    assert len(looks) == 5


def test_an_interrupted_labelling_goes_on_and_ends_with_the_same_file(
    looks: list[int], pictures: list[Picture], tmp_path: Path
) -> None:
    whole = label(pictures, tmp_path / "whole.json")
    label(pictures[:3], tmp_path / "labels.json")
    looks.clear()
    assert label(pictures, tmp_path / "labels.json") == whole
    assert looks == [30, 40]
    assert (tmp_path / "labels.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_a_full_disk_leaves_the_labels_that_are_there(
    looks: list[int], pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.json"
    label(pictures[:3], path)
    before = path.read_bytes()

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_bytes", full)
    with pytest.raises(UsageError, match="No space left on device"):
        label(pictures, path)
    assert path.read_bytes() == before
    assert len(looks) == 5


def test_labels_of_other_teachers_are_not_mixed_in(looks: list[int], pictures: list[Picture], tmp_path: Path) -> None:
    label(pictures, tmp_path / "labels.json")
    with pytest.raises(UsageError, match="another folder with -o"):
        label(pictures, tmp_path / "labels.json", {"teachers": ["other"]})
    assert len(looks) == 5


@pytest.mark.usefixtures("looks")
def test_a_picture_that_cannot_be_read_is_left_out(pictures: list[Picture], tmp_path: Path) -> None:
    pictures[2].path.write_bytes(b"no picture")
    body = label(pictures, tmp_path / "labels.json")
    assert len(body["images"]) == 4


def test_teachers_that_find_nothing_are_an_error(
    pictures: list[Picture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teaching, "fused", lambda *_: iter(()))
    with pytest.raises(UsageError, match="find none of person in 5 pictures"):
        label(pictures, tmp_path / "labels.json")


def test_every_so_many_frames_of_a_clip_are_taken_once(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "door.mp4", [np.full((32, 32, 3), 20 * i, np.uint8) for i in range(10)], fps=5)
    taken = frames.of_clip(clip, 4, tmp_path / "frames")
    assert [path.name for path in taken] == ["000000.jpg", "000004.jpg", "000008.jpg"]
    clip.unlink()  # what was taken is not read again
    assert frames.of_clip(clip, 4, tmp_path / "frames") == taken


def test_fused_boxes_are_means_and_views_that_saw_nothing_cast_doubt() -> None:
    one = np.array([[0, 0, 10, 10, 0.9, 0]], np.float32)
    other = np.array([[2, 0, 12, 10, 0.3, 0]], np.float32)
    ((box, score),) = teaching.fuse([one, other])
    assert score == pytest.approx(0.6)
    assert box == pytest.approx([0.5, 0, 10.5, 10])
    ((_, alone),) = teaching.fuse([one, np.empty((0, 6), np.float32)])
    assert alone == pytest.approx(0.45)


def test_annotations_are_json_that_names_no_more_than_it_must(
    looks: list[int], pictures: list[Picture], tmp_path: Path
) -> None:
    label(pictures[:1], tmp_path / "labels.json")
    body = msgspec.json.decode((tmp_path / "labels.json").read_bytes())
    assert body["categories"] == [{"id": 1, "name": "person"}]
    assert body["annotations"][0]["image_id"] == body["images"][0]["id"]
    assert looks == [0]
