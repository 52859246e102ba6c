"""Labels from teachers: models that edgemass runs look at each picture in several views, and their boxes are fused.

A fused box is the mean of the boxes that overlap, weighted by their scores (weighted boxes fusion, Solovyev et al.,
2021); its score is the sum over all views divided by their number, so that what only one view saw is doubted. What
scores high is an object, what scores low is stored with `iscrowd`, so that training neither asks for it nor against
it; `score` is the soft target.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgemass import durable, evaluate
from edgemass.detections import Detections
from edgemass.detector import Stream, Thresholds
from edgemass.errors import SourceError, UsageError
from edgemass.frame import Image
from edgemass.manifest import Manifest
from edgemass.progress import Progress
from edgemass.sources.images import read
from edgemass.tensors import FloatArray

logger = logging.getLogger(__name__)

LEAST_SCORE = 0.05
OVERLAP = 0.55
TILE = 0.6
"""Side of a tile over that of the picture: four of them overlap by a third of their side."""
MOST_BOXES = 100


@dataclass(frozen=True)
class Teacher:
    """A loaded detector. class_of: its class id -> the student's, where the names are the same."""

    name: str
    stream: Stream
    class_of: dict[int, int]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """object: fused score from which a box is an object. doubt: from which it is stored as ignored.

    mirror: look at the mirrored picture too. tiles: and at four enlarged parts, for small objects.
    """

    object: float = 0.36
    doubt: float = 0.13
    mirror: bool = True
    tiles: bool = False


def teacher(stream: Stream, manifest: Manifest, labels: Sequence[str]) -> Teacher:
    """Match a detector's classes with the student's.

    Raises:
        UsageError: it is no detector, or knows none of the classes.
    """
    name, own = manifest.name, manifest.labels
    if manifest.task != "detection":
        raise UsageError(f"teacher {name} is a {manifest.task} model, wanted a detector")
    wanted = {evaluate.label_key(label): index for index, label in enumerate(labels)}
    class_of = {
        i: wanted[evaluate.label_key(label)] for i, label in enumerate(own) if evaluate.label_key(label) in wanted
    }
    if not class_of:
        raise UsageError(f"teacher {name} knows none of {', '.join(labels)}; its classes are {', '.join(own[:8])}, ...")
    return Teacher(name, stream, class_of)


def label(
    pictures: Sequence[Path],
    teachers: Sequence[Teacher],
    labels: Sequence[str],
    rule: Rule,
    progress: Progress,
    source: str = "",
) -> dict[str, Any]:
    """COCO-style annotations of these pictures, as `data.coco` reads them.

    Raises:
        UsageError: none of the pictures can be read.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for done, path in enumerate(pictures):
        progress(done, len(pictures))
        try:
            image = read(path)
        except SourceError as error:
            logger.warning("left out: %s", error)
            continue
        number = len(images) + 1
        height, width = image.shape[:2]
        images.append(
            {
                "id": number,
                "file_name": path.name,
                "width": width,
                "height": height,
                "source": source or path.parent.name,
            }
        )
        for row in fused(image, teachers, rule, len(labels)):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
    if not images:
        raise UsageError(f"none of {len(pictures)} pictures can be read")
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(labels)]
    return {"images": images, "annotations": annotations, "categories": categories}


def save(annotations: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_bytes(path, msgspec.json.encode(annotations))


def fused(image: Image, teachers: Sequence[Teacher], rule: Rule, class_count: int) -> Iterator[dict[str, Any]]:
    """Rows of `annotations` for one picture."""
    looks = [look for teacher in teachers for look in _looks(image, teacher, rule)]
    for class_id in range(class_count):
        rows = [look[look[:, 5] == class_id] for look in looks]
        for box, score in fuse(rows):
            if score < rule.doubt:
                continue
            x1, y1, x2, y2 = (round(float(value), 1) for value in box)
            yield {
                "category_id": class_id + 1,
                "bbox": [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)],
                "area": round((x2 - x1) * (y2 - y1), 1),
                "iscrowd": int(score < rule.object),
                "score": round(score, 3),
            }


def fuse(looks: Sequence[FloatArray]) -> list[tuple[FloatArray, float]]:
    """Boxes of one class from several looks, rows x1, y1, x2, y2, score, ... -> mean boxes with their fused score."""
    rows = np.concatenate([np.column_stack([look[:, :5], np.full(len(look), i)]) for i, look in enumerate(looks)])
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    clusters: list[list[FloatArray]] = []
    for row in rows:
        means = [_mean(cluster) for cluster in clusters]
        overlaps = [_iou(mean, row) for mean in means]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= OVERLAP:
            if all(item[5] != row[5] for item in clusters[best]):  # a look says a thing once
                clusters[best].append(row)
        else:
            clusters.append([row])
    found = [(_mean(cluster), float(sum(row[4] for row in cluster) / len(looks))) for cluster in clusters]
    return sorted(found, key=lambda item: -item[1])[:MOST_BOXES]


def _mean(cluster: Sequence[FloatArray]) -> FloatArray:
    weight = np.array([row[4] for row in cluster])
    return np.asarray((np.stack([row[:4] for row in cluster]) * weight[:, None]).sum(0) / weight.sum(), np.float32)


def _iou(first: FloatArray, second: FloatArray) -> float:
    sides = np.minimum(first[2:4], second[2:4]) - np.maximum(first[:2], second[:2])
    shared = float(np.clip(sides, 0, None).prod())
    areas = [float((box[2:4] - box[:2]).prod()) for box in (first, second)]
    return shared / max(sum(areas) - shared, 1e-9)


def _looks(image: Image, teacher: Teacher, rule: Rule) -> Iterator[FloatArray]:
    """Rows x1, y1, x2, y2, score, class id (n, 6) for each view, in pixels of the picture."""
    yield _detect(image, teacher)
    if rule.mirror:
        rows = _detect(np.ascontiguousarray(image[:, ::-1]), teacher)
        rows[:, [0, 2]] = image.shape[1] - rows[:, [2, 0]]
        yield rows
    if rule.tiles:
        yield _tiled(image, teacher)


def _tiled(image: Image, teacher: Teacher) -> FloatArray:
    """What four overlapping parts show; boxes that a part's inner edge cuts are left to the others."""
    height, width = image.shape[:2]
    across, down = round(width * TILE), round(height * TILE)
    found = []
    for left, top in ((0, 0), (width - across, 0), (0, height - down), (width - across, height - down)):
        rows = _detect(np.ascontiguousarray(image[top : top + down, left : left + across]), teacher)
        margin = 2.0
        cut = (rows[:, 0] < margin) & (left > 0) | (rows[:, 2] > across - margin) & (left == 0)
        cut |= (rows[:, 1] < margin) & (top > 0) | (rows[:, 3] > down - margin) & (top == 0)
        found.append(rows[~cut] + np.array([left, top, left, top, 0, 0], np.float32))
    every = np.concatenate(found)
    merged = []
    for class_id in np.unique(every[:, 5]):
        mine = every[every[:, 5] == class_id]
        merged += [np.array([*box, mine_score, class_id], np.float32) for box, mine_score in _distinct(mine)]
    return np.stack(merged) if merged else np.empty((0, 6), np.float32)


def _distinct(rows: FloatArray) -> Iterator[tuple[FloatArray, float]]:
    """The best of each heap of overlapping boxes: parts overlap and see the same thing."""
    left = rows[np.argsort(-rows[:, 4], kind="stable")]
    while len(left):
        best = left[0]
        yield best[:4], float(best[4])
        left = left[[_iou(best, row) < OVERLAP for row in left]]


def _detect(image: Image, teacher: Teacher) -> FloatArray:
    found = teacher.stream.detect(image, Thresholds(LEAST_SCORE, max_detections=MOST_BOXES)).found
    teacher.stream.forget()
    assert isinstance(found, Detections)
    known = np.array([int(class_id) in teacher.class_of for class_id in found.class_id], bool)
    classes = [teacher.class_of[int(class_id)] for class_id in found.class_id[known]]
    return np.column_stack([found.xyxy[known], found.score[known], np.asarray(classes, np.float32)]).astype(np.float32)
