from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest

from edgemass import evaluate
from edgemass.detections import Classification, Detections
from edgemass.detector import Inference, Ran, Stream
from edgemass.errors import UsageError


class Answers:
    """A stream that gives prepared answers, one per picture."""

    def __init__(self, answers: Sequence[Detections | Classification]) -> None:
        self._answers = iter(answers)

    def detect(self, image: object, thresholds: object) -> Inference:  # noqa: ARG002
        return Inference(next(self._answers), Ran(1, "scripted"))

    def forget(self) -> None:
        pass


def stream(*answers: Detections | Classification) -> Stream:
    return cast("Stream", Answers(answers))


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two pictures; a person on the first, a person and a tv on the second."""
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((100, 100, 3), np.uint8))
    images = [{"id": i, "file_name": name, "width": 100, "height": 100} for i, name in enumerate(("a.png", "b.png"), 1)]
    categories = [{"id": 1, "name": "person"}, {"id": 72, "name": "tv"}, {"id": 90, "name": "toothbrush"}]
    rows = [(1, 1, [10, 10, 30, 30]), (2, 1, [50, 50, 20, 40]), (2, 72, [5, 5, 20, 20]), (2, 90, [60, 5, 20, 20])]
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, (image, category, box) in enumerate(rows, 1)
    ]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def silent(done: int, total: int) -> None:
    assert 0 < done <= total


def test_perfect_answers_score_one_and_classes_the_model_does_not_know_do_not_count(truth: Path) -> None:
    answers = boxes((10, 10, 40, 40, 0.9, 1)), boxes((50, 50, 70, 90, 0.8, 1), (5, 5, 25, 25, 0.7, 0))
    result = evaluate.detection(stream(*answers), ("tvmonitor", "Person"), truth.parent, truth, silent)
    assert result.map_50_95 == pytest.approx(1.0)
    assert result.map_50 == pytest.approx(1.0)
    assert result.images == 2
    assert set(result.per_class) == {"tvmonitor", "Person"}
    assert result.unknown_categories == ("toothbrush",)


def test_a_missed_object_costs_its_class(truth: Path) -> None:
    answers = boxes((10, 10, 40, 40, 0.9, 0)), boxes((5, 5, 25, 25, 0.7, 1))
    result = evaluate.detection(stream(*answers), ("person", "tv"), truth.parent, truth, silent)
    assert result.per_class["person"]["map_50"] == pytest.approx(51 / 101)  # half of the recall thresholds are reached
    assert result.per_class["tv"]["map_50"] == pytest.approx(1.0)


def test_finding_nothing_scores_nothing(truth: Path) -> None:
    result = evaluate.detection(stream(boxes(), boxes()), ("person", "tv"), truth.parent, truth, silent)
    assert (result.map_50_95, result.map_50) == (0.0, 0.0)


def test_labels_of_another_data_set_are_refused_with_both_names(truth: Path) -> None:
    with pytest.raises(UsageError, match=r"helmet.*person"):
        evaluate.detection(stream(), ("helmet",), truth.parent, truth, silent)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": [], "annotations": [], "categories": []}', "\x00"])
def test_annotations_of_another_shape_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"truth\.json"):
        evaluate.detection(stream(), ("person",), tmp_path, path, silent)


@pytest.mark.parametrize(
    ("table", "key", "value", "told"),
    [
        ("annotations", "bbox", None, "bbox"),
        ("annotations", "category_id", 4711, "category 4711"),
        ("annotations", "image_id", "one", "image_id"),
        ("images", "file_name", None, "file_name"),
        ("images", "width", None, "width"),
        ("categories", "name", None, "name"),
    ],
)
def test_an_entry_that_lacks_something_is_named(truth: Path, table: str, key: str, value: object, told: str) -> None:
    content = json.loads(truth.read_bytes())
    content[table][0].pop(key)
    content[table][0] |= {} if value is None else {key: value}
    truth.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=told):
        evaluate.detection(stream(boxes(), boxes()), ("person",), truth.parent, truth, silent)


def test_what_annotators_leave_out_does_not_change_the_score(truth: Path) -> None:
    """Nor does an id of 0, which COCOeval would take for a box that nothing matched."""
    content = json.loads(truth.read_bytes())
    for number, box in enumerate(content["annotations"]):
        del box["area"], box["iscrowd"]
        box["id"] = number
    truth.write_text(json.dumps(content))
    answers = boxes((10, 10, 40, 40, 0.9, 0)), boxes((50, 50, 70, 90, 0.8, 0), (5, 5, 25, 25, 0.7, 1))
    result = evaluate.detection(stream(*answers), ("person", "tv"), truth.parent, truth, silent)
    assert result.map_50 == pytest.approx(1.0)


def test_truth_without_a_box_that_the_model_could_find_is_refused(truth: Path) -> None:
    content = json.loads(truth.read_bytes())
    content["annotations"] = []
    truth.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="nothing to measure"):
        evaluate.detection(stream(), ("person",), truth.parent, truth, silent)


def test_pictures_of_one_name_in_several_folders_are_told_apart(truth: Path) -> None:
    content = json.loads(truth.read_bytes())
    for place, entry in enumerate(content["images"]):
        entry["file_name"] = f"day{place}/same.png"
        (truth.parent / f"day{place}").mkdir()
        cv2.imwrite(str(truth.parent / entry["file_name"]), np.full((100, 100, 3), place, np.uint8))
    truth.write_text(json.dumps(content))
    seen: list[int] = []

    class Watcher(Answers):
        def detect(self, image: Any, thresholds: object) -> Inference:
            seen.append(int(image[0, 0, 0]))
            return super().detect(image, thresholds)

    watcher = cast("Stream", Watcher([boxes(), boxes()]))
    evaluate.detection(watcher, ("person",), truth.parent, truth, silent)
    assert seen == [0, 1]


def test_a_missing_picture_is_named(truth: Path) -> None:
    (truth.parent / "b.png").unlink()
    with pytest.raises(UsageError, match=r"b\.png is missing"):
        evaluate.detection(stream(boxes(), boxes()), ("person",), truth.parent, truth, silent)


def classes(*ids: int) -> Classification:
    return Classification(np.linspace(0.9, 0.1, len(ids)).astype(np.float32), np.array(ids, np.int64))


def test_top1_and_top5_are_counted_over_names_ids_and_spellings(tmp_path: Path) -> None:
    labels = ("background", "tench, Tinca tinca", "n01443537 goldfish", "crane", "crane", "lamp", "cup")
    lines = ["file,label", "1.png,tench", "2.png,n01443537", "3.png,crane", "4.png,6", "5.png,lamp"]
    for line in lines[1:]:
        cv2.imwrite(str(tmp_path / line.split(",")[0]), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    answers: list[Any] = [classes(1), classes(2), classes(4), classes(5, 6), classes(0, 1, 2, 3, 4)]
    result = evaluate.classification(stream(*answers), labels, tmp_path, tmp_path / "truth.csv", silent)
    assert (result.right, result.images) == (3, 5)
    assert result.top1 == pytest.approx(0.6)
    assert result.top5 == pytest.approx(0.8)


def test_a_truth_that_cannot_be_read_is_named_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^cannot read \S+/none\.csv: No such file or directory; wanted CSV"):
        evaluate.classification(stream(), ("cat",), tmp_path, tmp_path / "none.csv", silent)


def test_a_true_label_that_the_model_does_not_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").write_text("1.png,unicorn\n")
    with pytest.raises(UsageError, match="unicorn"):
        evaluate.classification(stream(), ("cat",), tmp_path, tmp_path / "truth.csv", silent)


def test_texts_are_measured_by_their_labels(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("text,label\nhello,en\nhallo,de\nsalut,fr\n")
    answers = [Classification(np.array([0.9, 0.1], np.float32), np.array(best)) for best in ([0, 1], [0, 1], [0, 1])]
    result = evaluate.texts(stream(*answers), ("en", "de", "fr"), truth, silent)
    assert (result.right, result.images) == (1, 3)
    assert result.top5 == pytest.approx(2 / 3)


def test_a_text_with_a_label_that_the_model_lacks_is_refused_before_anything_runs(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("text,label\nhello,en\nciao,it\n")
    with pytest.raises(UsageError, match="'it' is no class of the model"):
        evaluate.texts(stream(), ("en", "de"), truth, silent)
