"""Promises of the reader of annotations: what is broken is told or counted, and boxes are where they were drawn."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass_tools.data import coco


def written(folder: Path, **changes: Any) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "images" / "a.png"), np.zeros((40, 60, 3), np.uint8))
    body = {
        "images": [{"id": 7, "file_name": "a.png", "width": 60, "height": 40, "source": "mine"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 30], "iscrowd": 0},
            {"id": 2, "image_id": 7, "category_id": 9, "bbox": [0, 0, 8, 8], "iscrowd": 1, "score": 0.25},
        ],
        "categories": [{"id": 3, "name": "person"}, {"id": 9, "name": "Traffic Light"}, {"id": 4, "name": "cat"}],
        **changes,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(body))
    return path


def test_boxes_become_corners_and_categories_the_classes_that_were_asked_for(tmp_path: Path) -> None:
    data = coco.read(written(tmp_path), tmp_path / "images", ("traffic light", "person"))
    (sample,) = data.samples
    assert sample.source == "mine"
    assert sample.objects.xyxy.tolist() == [[10, 5, 30, 35], [0, 0, 8, 8]]
    assert sample.objects.class_id.tolist() == [1, 0]
    assert sample.objects.score.tolist() == [1.0, 0.25]
    assert sample.objects.ignore.tolist() == [False, True]
    assert data.description == "instances.json: 1 pictures, 2 boxes of traffic light, person, 0 without any"


def test_without_labels_every_category_that_has_a_box_counts(tmp_path: Path) -> None:
    assert coco.read(written(tmp_path), tmp_path / "images").labels == ("person", "Traffic Light")


def test_broken_boxes_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 30]},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [10, 5, 0, 30]},
        {"id": 3, "image_id": 99, "category_id": 3, "bbox": [10, 5, 20, 30]},
        {"id": 4, "image_id": 7, "category_id": 3, "bbox": [10, 5, -4, 30]},
    ]
    with caplog.at_level(logging.WARNING):
        data = coco.read(written(tmp_path, annotations=rows), tmp_path / "images", ("person",))
    assert len(data.samples[0].objects.class_id) == 1
    assert "3 boxes left out" in caplog.text


@pytest.mark.parametrize(
    ("changes", "labels", "told"),
    [
        ({"annotations": []}, ("person",), "has no annotations"),
        ({"images": []}, ("person",), "names no images"),
        ({}, ("dog",), "has no category dog; it has person, Traffic Light, cat"),
        ({}, ("cat",), "has no usable box of cat"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3]}]}, ("person",), "wanted COCO's"),
        (
            {"images": [{"id": 7, "file_name": "b.png"}, {"id": 8, "file_name": "c.png"}]},
            ("person",),
            "2 of 2 pictures of .* are missing, first .*b.png",
        ),
    ],
)
def test_what_cannot_be_learnt_from_is_told(
    tmp_path: Path, changes: dict[str, Any], labels: tuple[str, ...], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        coco.read(written(tmp_path, **changes), tmp_path / "images", labels)


def test_a_file_that_is_no_json_and_a_folder_that_is_none_are_told(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(UsageError, match="is not a folder"):
        coco.read(path, tmp_path / "pictures")
    path.write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        coco.read(path, tmp_path / "images")
    with pytest.raises(UsageError, match="cannot read annotations"):
        coco.read(tmp_path / "none.json", tmp_path / "images")
