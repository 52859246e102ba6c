"""Teachers' labels beside people's, in one file that is kept as it grows.

Where people have annotated a picture, their boxes stand, and what a teacher finds elsewhere in it is stored as ignored
with its score: a student of soft targets learns it as far as the teachers are sure, and a box that people forgot is not
held against it. Where nobody has, the teachers speak alone.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgemass import durable
from edgemass.errors import SourceError, UsageError
from edgemass.progress import Progress
from edgemass.sources.images import read
from edgemass_tools import teaching
from edgemass_tools.agreement import iou_table
from edgemass_tools.data.coco import Objects
from edgemass_tools.teaching import Rule, Teacher

logger = logging.getLogger(__name__)

FORMAT = "edgemass.labels/1"
KEEP_EVERY = 50
"""Pictures; what an interruption costs at most."""
SAME = 0.5
"""IoU from which a teacher's box is the one that people drew."""
INSIDE = 0.7
"""Share of a teacher's box in a region that people left out from which it is left out too."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Picture:
    """truth: what people say is in it, in its pixels; None = nobody looked. source: the set that it comes from."""

    path: Path
    source: str
    truth: Objects | None = None


def label(
    pictures: Sequence[Picture],
    teachers: Sequence[Teacher],
    labels: Sequence[str],
    rule: Rule,
    asked: Mapping[str, Any],
    path: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Label what is not labelled yet and write COCO-style annotations to `path`, as `data.coco` reads them.

    asked: what the labels depend on. A file that is there with the same is continued.

    Raises:
        UsageError: the file was made otherwise or cannot be written, or there is nothing to learn from.
    """
    known = _read(path, asked)
    fresh = 0
    for done, picture in enumerate(pictures):
        progress(done, len(pictures))
        name = str(picture.path.resolve())
        if name in known:
            continue
        try:
            known[name] = _labelled(picture, teachers, rule, len(labels))
        except SourceError as error:
            logger.warning("left out: %s", error)
            continue
        fresh += 1
        if fresh % KEEP_EVERY == 0:
            _write(path, _file(known, labels, asked))
    body = _file({name: known[name] for item in pictures if (name := str(item.path.resolve())) in known}, labels, asked)
    if not body["images"]:
        raise UsageError(f"none of {len(pictures)} pictures can be read")
    if not body["annotations"]:
        raise UsageError(
            f"the teachers find none of {', '.join(labels)} in {len(body['images'])} pictures: nothing to learn"
        )
    _write(path, body)
    return body


def merge(truth: Objects, rows: Sequence[Row]) -> list[Row]:
    """What people say and what teachers add to it, as rows of `annotations`."""
    merged = [
        _row(int(class_id), box, score=float(score), ignored=bool(ignored))
        for box, class_id, score, ignored in zip(truth.xyxy, truth.class_id, truth.score, truth.ignore, strict=True)
    ]
    for row in rows:
        x, y, width, height = row["bbox"]
        box = np.array([[x, y, x + width, y + height]], np.float32)
        same = truth.class_id == row["category_id"] - 1
        drawn, left_out = truth.xyxy[same & ~truth.ignore], truth.xyxy[same & truth.ignore]
        if (iou_table(box, drawn) >= SAME).any() or (_inside(box[0], left_out) >= INSIDE).any():
            continue
        merged.append({**row, "iscrowd": 1})
    return merged


def _labelled(picture: Picture, teachers: Sequence[Teacher], rule: Rule, class_count: int) -> Row:
    image = read(picture.path)
    rows = list(teaching.fused(image, teachers, rule, class_count))
    return {
        "width": image.shape[1],
        "height": image.shape[0],
        "source": picture.source,
        "rows": rows if picture.truth is None else merge(picture.truth, rows),
    }


def _row(class_id: int, box: np.ndarray[Any, Any], *, score: float, ignored: bool) -> Row:
    x1, y1, x2, y2 = (round(float(value), 1) for value in box)
    return {
        "category_id": class_id + 1,
        "bbox": [x1, y1, round(x2 - x1, 1), round(y2 - y1, 1)],
        "area": round((x2 - x1) * (y2 - y1), 1),
        "iscrowd": int(ignored),
        "score": round(score, 3),
    }


def _inside(box: np.ndarray[Any, Any], regions: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Share of a box that lies in each region (n, 4)."""
    sides = np.minimum(box[2:], regions[:, 2:]) - np.maximum(box[:2], regions[:, :2])
    return np.asarray(np.clip(sides, 0, None).prod(1) / max(float((box[2:] - box[:2]).prod()), 1e-9))


def _file(known: Mapping[str, Row], labels: Sequence[str], asked: Mapping[str, Any]) -> dict[str, Any]:
    images: list[Row] = []
    annotations: list[Row] = []
    for number, (name, found) in enumerate(known.items(), start=1):
        about = {key: found[key] for key in ("width", "height", "source")}
        images.append({"id": number, "file_name": name, **about})
        for row in found["rows"]:
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(labels)]
    return {
        "format": FORMAT,
        "asked": asked,
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def _write(path: Path, body: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(path, msgspec.json.encode(body))
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror}; the same command goes on from what is there"
        ) from error


def _read(path: Path, asked: Mapping[str, Any]) -> dict[str, Row]:
    """File name -> what is known of the picture."""
    if not path.is_file():
        return {}
    try:
        body = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}; give another folder with -o") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise UsageError(f"{path} holds no labels of ours; give another folder with -o")
    if body["asked"] != asked:
        raise UsageError(
            f"{path} was begun with other settings: {body['asked']}, asked for now: {asked}; give the same to go "
            "on, or another folder with -o"
        )
    rows: dict[int, list[Row]] = {image["id"]: [] for image in body["images"]}
    for item in body["annotations"]:
        rows[item["image_id"]].append({key: item[key] for key in item if key not in ("id", "image_id")})
    return {image["file_name"]: {**image, "rows": rows[image["id"]]} for image in body["images"]}
