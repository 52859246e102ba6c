from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass_tools.evaluating import classifying, detecting


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("ant/1.png", "ant/2.png", "bee/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8, 3), np.uint8))
    return tmp_path


def test_folders_name_the_classes_of_their_pictures(folder: Path) -> None:
    (folder / ".cache").mkdir()
    truth = classifying.from_folders(folder)
    assert [(path.parent.name, path.name) for path in truth.paths] == [
        ("ant", "1.png"),
        ("ant", "2.png"),
        ("bee", "1.png"),
    ]
    assert truth.names == ("ant", "ant", "bee")


def test_a_folder_without_folders_or_pictures_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="has no folders; wanted one folder for each class"):
        classifying.from_folders(folder / "ant")
    with pytest.raises(UsageError, match="is not a folder; wanted"):
        classifying.from_folders(folder / "none")
    (folder / "cat").mkdir()
    with pytest.raises(UsageError, match=r"no pictures in folder .*cat"):
        classifying.from_folders(folder)


def test_missing_pictures_of_a_table_are_counted_and_refused_or_left_out(folder: Path) -> None:
    table = folder / "truth.csv"
    table.write_text("file,label\nant/1.png,ant\nant/9.png,ant\n")
    with pytest.raises(UsageError, match=r"1 of 2 pictures of \S+ are missing in \S+, the first is ant/9\.png"):
        classifying.from_csv(table, folder, skip=False)
    truth = classifying.from_csv(table, folder, skip=True)
    assert (truth.names, truth.missing) == (("ant",), 1)
    with pytest.raises(UsageError, match="holds none of the 2 pictures"):
        classifying.from_csv(table, folder / "bee", skip=True)


def annotated(folder: Path, *names: str) -> Path:
    images = [{"id": number, "file_name": name, "width": 8, "height": 8} for number, name in enumerate(names, 1)]
    boxes = [{"image_id": image["id"], "category_id": 1, "bbox": [1, 1, 4, 4]} for image in images]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "ant"}]}))
    return path


def test_missing_annotated_pictures_are_counted_and_refused_or_left_out(folder: Path) -> None:
    path = annotated(folder, "ant/1.png", "ant/8.png", "ant/9.png")
    with pytest.raises(UsageError, match=r"2 of 3 pictures of \S+ are missing in \S+, the first is ant/8\.png"):
        detecting.read_truth(path, folder, skip=False)
    truth, missing = detecting.read_truth(path, folder, skip=True)
    assert ([item.id for item in truth.images], len(truth.annotations), missing) == ([1], 1, 2)
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match="holds none of the 3 pictures"):
        detecting.read_truth(path, folder / "empty", skip=True)
