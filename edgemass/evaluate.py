"""Accuracy of a model on pictures with known truth, through the same Detector as the device.

Detection: COCO mean average precision. Score above 0.01, NMS of the manifest, several labels per box, at most 100 boxes
an image, labels matched by name, averaged over the annotated categories that the model knows.
Classification: share of pictures or texts whose true class is the best (top-1) or among the five best (top-5).
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgemass.detections import Classification, Detections
from edgemass.detector import Stream, Thresholds
from edgemass.errors import ConfigError, UsageError
from edgemass.frame import Image
from edgemass.progress import Progress
from edgemass.sources.images import read
from edgemass.tensors import AnyArray, FloatArray
from edgemass.texts import as_image, read_labelled

SCORE = 0.01
MAX_DETECTIONS = 100


_SAME_THING = {  # names that data sets and models use for one class; Darknet's coco.names and Pascal VOC on the left
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}


class Picture(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: float
    height: float


class TrueBox(msgspec.Struct, frozen=True):
    """bbox: left, top, width, height in pixels. area: of the segment, where there is one."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    area: float | None = None
    iscrowd: int = 0


class Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class Truth(msgspec.Struct, frozen=True):
    """What counts of COCO's instances.json."""

    images: tuple[Picture, ...]
    annotations: tuple[TrueBox, ...]
    categories: tuple[Category, ...]


@dataclass(frozen=True)
class DetectionAccuracy:
    """map_50_95, map_50: mean average precision over IoU 0.50:0.95 and at 0.50. per_class: label -> the same two."""

    map_50_95: float
    map_50: float
    images: int
    per_class: dict[str, dict[str, float]]
    unknown_categories: tuple[str, ...]


@dataclass(frozen=True)
class ClassificationAccuracy:
    top1: float
    top5: float
    images: int
    right: int


def label_key(name: str) -> str:
    """A class name as it is compared: case, spaces and punctuation do not count; `tvmonitor` is `tv`."""
    key = re.sub(r"[^0-9a-z]", "", name.lower())
    return _SAME_THING.get(key, key)


def detection(
    stream: Stream, labels: Sequence[str], images: Path, annotations: Path, progress: Progress
) -> DetectionAccuracy:
    """Measure a detector on COCO-style truth.

    labels: of the model, by class id. images: the folder that holds the annotated files. annotations: instances.json.

    Raises:
        UsageError: a file is missing or not what it should be, or no annotated category has a label's name.
        SourceError: a picture cannot be read.
    """
    truth = read_annotations(annotations)
    pictures = _annotated_pictures(truth, images, annotations)
    categories = match_categories(truth, labels, annotations)
    thresholds = Thresholds(SCORE, multi_label=True, max_detections=MAX_DETECTIONS)
    rows: list[FloatArray] = []
    for done, (image_id, picture) in enumerate(pictures):
        found = stream.detect(picture, thresholds).found
        assert isinstance(found, Detections)
        rows.append(coco_rows(image_id, found, categories))
        stream.forget()
        progress(done + 1, len(truth.images))
    evaluation = coco_evaluation(truth, np.concatenate(rows), known_categories(truth, categories))
    return accuracy(evaluation, truth, categories, labels)


def read_annotations(path: Path) -> Truth:
    """COCO's instances.json.

    Raises:
        UsageError: it cannot be read, is something else, or names no pictures.
    """
    wanted = "wanted COCO's instances.json"
    try:
        truth = msgspec.json.decode(path.read_bytes(), type=Truth)
    except OSError as error:
        raise UsageError(f"cannot read annotations {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {str(error).replace('`$.', '`')}; {wanted}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); {wanted}") from error
    if not truth.images:
        raise UsageError(f"{path} names no images")
    strange = {box.category_id for box in truth.annotations} - {category.id for category in truth.categories}
    if strange:
        raise UsageError(f"{path} has boxes of category {min(strange)}, which is none of its categories; {wanted}")
    return truth


def _annotated_pictures(truth: Truth, folder: Path, annotations: Path) -> Iterator[tuple[int, Image]]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; wanted the folder that holds the pictures of {annotations}")
    for entry in truth.images:
        yield entry.id, read_picture(folder, entry, annotations)


def picture_path(folder: Path, entry: Picture) -> Path:
    """Where a picture lies, or would have to."""
    path = folder / entry.file_name
    return path if path.is_file() else folder / Path(entry.file_name).name  # the annotations name the folder too


def read_picture(folder: Path, entry: Picture, annotations: Path) -> Image:
    """An annotated picture, as it was annotated.

    Raises:
        UsageError: it is missing.
        SourceError: it cannot be read.
    """
    path = picture_path(folder, entry)
    if not path.is_file():
        raise UsageError(f"{path} is missing, {annotations} names it")
    image = read(path)
    if image.shape[:2] != (entry.height, entry.width):  # annotated as it is stored
        image = read(path, upright=False)
    return image


def match_categories(truth: Truth, labels: Sequence[str], annotations: Path) -> dict[int, int]:
    """Category ids of the truth by class id of the model, where the names are the same.

    Raises:
        UsageError: no name is the same, or the truth has no box of a category that the model knows.
    """
    by_name = {label_key(category.name): category.id for category in truth.categories}
    matched = {i: by_name[label_key(label)] for i, label in enumerate(labels) if label_key(label) in by_name}
    if not matched:
        theirs = ", ".join(category.name for category in truth.categories[:5])
        raise UsageError(
            f"no label of the model ({', '.join(labels[:5])}, ...) is a category of {annotations} ({theirs}, ...); "
            "import the model with the labels it was trained on"
        )
    if not known_categories(truth, matched):
        raise UsageError(f"{annotations} has no box of a category that the model knows, so there is nothing to measure")
    return matched


def coco_rows(image_id: int, found: Detections, categories: dict[int, int]) -> FloatArray:
    """Rows of image id, x, y, width, height, score, category id (n, 7), as pycocotools loads them."""
    known = np.array([int(class_id) in categories for class_id in found.class_id], bool)
    boxes = found.xyxy[known].astype(np.float64)
    category = [categories[int(class_id)] for class_id in found.class_id[known]]
    return np.column_stack(
        [
            np.full(len(boxes), image_id),
            boxes[:, :2],
            boxes[:, 2:] - boxes[:, :2],
            found.score[known],
            np.asarray(category, np.float64),
        ]
    )


def coco_evaluation(truth: Truth, rows: AnyArray, known: Sequence[int], *, by_size: bool = False) -> Any:
    """What pycocotools makes of the truth and of rows as `coco_rows` gives them: a COCOeval that was accumulated.

    known: category ids to average over, in the order of the axis of its arrays. by_size: small, medium and large boxes
    apart too, which takes four times as long; else the axis of areas has "all" alone.
    """
    coco_module, evaluation_module = _pycocotools()
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        coco = coco_module.COCO()
        coco.dataset = _dataset(truth)
        coco.createIndex()
        results = coco.loadRes(rows) if len(rows) else _no_results(coco_module, coco)
        evaluation = evaluation_module.COCOeval(coco, results, "bbox")
        evaluation.params.catIds = list(known)
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        if not by_size:
            del evaluation.params.areaRng[1:], evaluation.params.areaRngLbl[1:]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _no_results(coco_module: Any, truth: Any) -> Any:
    """An evaluation of nothing found; pycocotools' loadRes takes no empty list."""
    results = coco_module.COCO()
    results.dataset = {**truth.dataset, "annotations": []}
    results.createIndex()
    return results


def known_categories(truth: Truth, categories: dict[int, int]) -> list[int]:
    """Ids of the categories that the model knows and that have a box. categories: as `match_categories` gives them.

    A box of a crowd is no box here: it is neither a find nor a miss (COCO).
    """
    return sorted(set(categories.values()) & {box.category_id for box in truth.annotations if not box.iscrowd})


def accuracy(evaluation: Any, truth: Truth, categories: dict[int, int], labels: Sequence[str]) -> DetectionAccuracy:
    """The averages of an evaluation over the categories of `known_categories`."""
    names = {category.id: category.name for category in truth.categories}
    annotated = {box.category_id for box in truth.annotations}
    by_category = {category: class_id for class_id, category in categories.items()}
    per_class = {
        labels[by_category[category]]: _averages(evaluation, index)
        for index, category in enumerate(known_categories(truth, categories))
    }
    means = {key: float(np.mean([values[key] for values in per_class.values()])) for key in ("map_50_95", "map_50")}
    unknown = tuple(sorted(names[category] for category in annotated - set(categories.values())))
    return DetectionAccuracy(means["map_50_95"], means["map_50"], len(truth.images), per_class, unknown)


def _dataset(truth: Truth) -> dict[str, Any]:
    """The truth as pycocotools takes it, with what annotators leave out."""
    dataset: dict[str, Any] = {"info": {}, **msgspec.to_builtins(truth)}
    for number, box in enumerate(dataset["annotations"], start=1):
        box["bbox"] = list(box["bbox"])
        box["id"] = number  # their own may be missing, or 0, which COCOeval takes for "matches nothing"
        if box["area"] is None:
            box["area"] = box["bbox"][2] * box["bbox"][3]
    return dataset


def _averages(evaluation: Any, category: int) -> dict[str, float]:
    """Average precision of one category; axes of `precision`: IoU threshold, recall, category, area, max detections."""
    precision = evaluation.eval["precision"][:, :, category, 0, -1]
    known = precision[precision > -1]
    at_50 = precision[0][precision[0] > -1]
    return {
        "map_50_95": float(known.mean()) if known.size else 0.0,
        "map_50": float(at_50.mean()) if at_50.size else 0.0,
    }


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools import coco, cocoeval  # noqa: PLC0415 (an extra, only for `eval`)
    except ImportError as error:
        raise ConfigError("eval of a detector needs pycocotools: pip install 'edgemass[eval]'") from error
    return coco, cocoeval


def classification(
    stream: Stream, labels: Sequence[str], images: Path, truth: Path, progress: Progress
) -> ClassificationAccuracy:
    """Measure a classifier.

    truth: CSV of file,label; label is a class name of the model (compared as `label_key` does) or a class id.

    Raises:
        UsageError: a file is missing or not what it should be, or a label is none of the model's.
        SourceError: a picture cannot be read.
    """
    rows = read_truth(truth)
    wanted = [class_ids(row["label"], labels, truth) for row in rows]
    top1 = top5 = 0
    for done, (row, ids) in enumerate(zip(rows, wanted, strict=True)):
        path = images / row["file"]
        if not path.is_file():
            raise UsageError(f"{path} is missing, {truth} names it")
        found = stream.detect(read(path), Thresholds(0.0, max_detections=5)).found
        assert isinstance(found, Classification)
        best = found.class_id[:5].tolist()
        top1 += best[0] in ids if best else 0
        top5 += any(class_id in ids for class_id in best)
        stream.forget()
        progress(done + 1, len(rows))
    return ClassificationAccuracy(top1 / len(rows), top5 / len(rows), len(rows), top1)


def texts(stream: Stream, labels: Sequence[str], truth: Path, progress: Progress) -> ClassificationAccuracy:
    """Measure a classifier of texts; its `images` counts texts.

    truth: CSV with the columns text and label.

    Raises:
        UsageError: it is missing or not what it should be, or a label is none of the model's.
    """
    rows = read_labelled(truth)
    ids = {label: class_ids(label, labels, truth) for label in {label for _, label in rows}}
    top1 = top5 = 0
    for done, (text, label) in enumerate(rows):
        found = stream.detect(as_image(text.encode()), Thresholds(0.0, max_detections=5)).found
        assert isinstance(found, Classification)
        best = found.class_id[:5].tolist()
        top1 += best[0] in ids[label] if best else 0
        top5 += any(class_id in ids[label] for class_id in best)
        progress(done + 1, len(rows))
    return ClassificationAccuracy(top1 / len(rows), top5 / len(rows), len(rows), top1)


def read_truth(path: Path) -> list[dict[str, str]]:
    """Rows of file and label.

    Raises:
        UsageError: it cannot be read, or holds something else.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines: Iterable[list[str]] = list(csv.reader(file))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read {path}: {why}; wanted CSV with the columns file,label") from error
    rows = [line for line in lines if line]
    if rows and rows[0][0].strip().lower() in ("file", "filename", "image", "path"):
        rows = rows[1:]
    if not rows or any(len(row) < 2 for row in rows):
        raise UsageError(f"{path} has no rows of file,label")
    return [{"file": row[0].strip(), "label": row[1].strip()} for row in rows]


def class_ids(label: str, labels: Sequence[str], truth: Path) -> frozenset[int]:
    """Class ids that a true label means: several where a data set uses a name twice (ImageNet's "crane")."""
    key = label_key(label)
    ids = frozenset(i for i, name in enumerate(labels) if key in _spellings(name))
    if ids:
        return ids
    if label.isdigit() and int(label) < len(labels):
        return frozenset({int(label)})
    raise UsageError(
        f"{truth}: {label!r} is no class of the model ({', '.join(labels[:5])}, ...); wanted a label or a class id"
    )


def _spellings(name: str) -> frozenset[str]:
    """`n01440764 tench` and `tench, Tinca tinca` are both found by `tench`, and the first by its id alone."""
    parts = {name, *name.split(",")}
    head, _, tail = name.partition(" ")
    if re.fullmatch(r"n\d{8}", head):
        parts |= {head, tail}
    return frozenset(label_key(part) for part in parts)
