"""Promises of classification data: every class has its pictures, and what is wrong is named."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass_tools.data import folders


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Ten cats, ten dogs, and a hidden folder."""
    root = tmp_path / "animals"
    for name in ("cat", "dog", ".thumbnails"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            cv2.imwrite(str(root / name / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    return root


def test_classes_are_the_folders_by_name_or_in_the_order_asked_for(animals: Path) -> None:
    data = folders.read(animals)
    assert data.labels == ("cat", "dog")
    assert data.class_id == (0,) * 10 + (1,) * 10
    assert data.description == "animals: 20 pictures of cat, dog"
    assert folders.read(animals, ["dog", "cat"]).paths[0].parent.name == "dog"


def test_a_fifth_of_each_class_is_held_out_the_same_for_the_same_seed(animals: Path) -> None:
    data = folders.read(animals)
    learnt, held = folders.split(data, seed=1)
    assert sorted(held.class_id) == [0, 0, 1, 1]
    assert {*learnt.paths, *held.paths} == {*data.paths}
    assert not {*learnt.paths} & {*held.paths}
    assert folders.split(data, seed=1)[1] == held
    assert folders.split(data, seed=2)[1] != held


def test_the_list_of_what_is_held_out_names_files_as_eval_reads_them(animals: Path, tmp_path: Path) -> None:
    folders.write_truth(folders.read(animals), tmp_path / "run" / "held.csv")
    with (tmp_path / "run" / "held.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"file": "cat/0.png", "label": "cat"}
    assert all((animals / row["file"]).is_file() for row in rows)


def test_what_is_wrong_is_named(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder; wanted a folder with one folder of pictures"):
        folders.read(tmp_path / "none")
    with pytest.raises(UsageError, match="has no folder bird; it has cat, dog"):
        folders.read(animals, ["cat", "bird"])
    with pytest.raises(UsageError, match="holds 1 folders, which leaves nothing to tell apart"):
        folders.read(animals, ["cat"])
    (animals / "bird").mkdir()
    with pytest.raises(UsageError, match="class 'bird' is empty"):
        folders.read(animals)
    (animals / "bird").rename(animals / "Dog!")
    with pytest.raises(UsageError, match="cannot be told apart by letters and digits"):
        folders.read(animals)


def test_a_class_of_one_picture_cannot_be_split(animals: Path) -> None:
    (animals / "bird").mkdir()
    cv2.imwrite(str(animals / "bird" / "0.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UsageError, match="class 'bird' has one picture"):
        folders.split(folders.read(animals), seed=0)
