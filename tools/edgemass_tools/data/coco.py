"""Detection data in COCO's form, with two keys that teachers add: `score` of a box, and `source` of a picture."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgemass import evaluate
from edgemass.errors import UsageError
from edgemass.tensors import AnyArray, FloatArray, IntArray

logger = logging.getLogger(__name__)

LEAST_SIDE = 1.0  # pixels of a box


class _Picture(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: float = 0
    height: float = 0
    source: str = ""


class _Box(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    score: float = 1.0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _File(msgspec.Struct, frozen=True):
    images: tuple[_Picture, ...]
    annotations: tuple[_Box, ...]
    categories: tuple[_Category, ...]


@dataclass(frozen=True)
class Objects:
    """What is in one picture.

    xyxy: (n, 4) corners in pixels. class_id: (n,). score: (n,), how sure the annotator was, 1 for people's truth.
    ignore: (n,), where nothing is said of what is there (COCO's iscrowd).
    """

    xyxy: FloatArray
    class_id: IntArray
    score: FloatArray
    ignore: AnyArray

    @staticmethod
    def none() -> Objects:
        return Objects(np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, bool))

    def take(self, rows: AnyArray) -> Objects:
        """Some of them, by mask or number."""
        return Objects(self.xyxy[rows], self.class_id[rows], self.score[rows], self.ignore[rows])

    def moved(self, xyxy: FloatArray) -> Objects:
        """The same objects elsewhere."""
        return Objects(xyxy, self.class_id, self.score, self.ignore)


@dataclass(frozen=True)
class Sample:
    """One annotated picture. source: the set that it comes from. pixels: about how many it has, 0 if not said."""

    path: Path
    objects: Objects
    source: str = ""
    pixels: int = 0


@dataclass(frozen=True)
class DetectionData:
    """labels: by class id. description: one line for the card."""

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    description: str


def read(annotations: Path, images: Path, labels: Sequence[str] = ()) -> DetectionData:
    """Read COCO-style truth.

    labels: the classes that count, matched by name; none = all that have a box.

    Raises:
        UsageError: a file is missing or not what it should be, or nothing of it is of these classes.
    """
    file = _decode(annotations)
    wanted = tuple(labels) or _annotated(file)
    class_of = _match(file, wanted, annotations)
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; wanted the one with the pictures of {annotations}")
    rows: dict[int, list[_Box]] = {picture.id: [] for picture in file.images}
    broken = 0
    for box in file.annotations:
        if box.image_id not in rows or not _is_sound(box):
            broken += 1
        elif box.category_id in class_of:
            rows[box.image_id].append(box)
    if broken:
        logger.warning("%s: %d boxes left out: no picture of theirs, not finite, or no area", annotations, broken)
    samples = tuple(_sample(picture, rows[picture.id], class_of, images) for picture in file.images)
    missing = [sample.path for sample in samples if not sample.path.is_file()]
    if missing:
        raise UsageError(f"{len(missing)} of {len(samples)} pictures of {annotations} are missing, first {missing[0]}")
    boxes = sum(len(sample.objects.class_id) for sample in samples)
    if not boxes:
        raise UsageError(f"{annotations} has no usable box of {', '.join(wanted)}; there is nothing to learn")
    without = sum(not len(sample.objects.class_id) for sample in samples)
    line = f"{annotations.name}: {len(samples)} pictures, {boxes} boxes of {', '.join(wanted)}, {without} without any"
    return DetectionData(samples, wanted, line)


def _decode(path: Path) -> _File:
    wanted = "wanted COCO's instances.json"
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise UsageError(f"cannot read annotations {path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {str(error).replace('`$.', '`')}; {wanted}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); {wanted}") from error
    if not file.images:
        raise UsageError(f"{path} names no images; {wanted}")
    if not file.annotations:
        raise UsageError(f"{path} has no annotations; {wanted}")
    return file


def _annotated(file: _File) -> tuple[str, ...]:
    used = {box.category_id for box in file.annotations}
    return tuple(category.name for category in file.categories if category.id in used)


def _match(file: _File, labels: Sequence[str], path: Path) -> dict[int, int]:
    """Category id -> class id."""
    by_name = {evaluate.label_key(category.name): category.id for category in file.categories}
    unknown = [label for label in labels if evaluate.label_key(label) not in by_name]
    if unknown:
        known = ", ".join(category.name for category in file.categories[:10])
        raise UsageError(f"{path} has no category {', '.join(unknown)}; it has {known}, ...")
    return {by_name[evaluate.label_key(label)]: index for index, label in enumerate(labels)}


def _is_sound(box: _Box) -> bool:
    return bool(np.isfinite(box.bbox).all()) and min(box.bbox[2:]) >= LEAST_SIDE and 0 <= box.score <= 1


def _sample(picture: _Picture, boxes: Sequence[_Box], class_of: Mapping[int, int], folder: Path) -> Sample:
    path = folder / picture.file_name
    if not path.is_file():
        path = folder / Path(picture.file_name).name  # the annotations name the folder too
    pixels = int(picture.width * picture.height)
    if not boxes:
        return Sample(path, Objects.none(), picture.source, pixels)
    xywh = np.array([box.bbox for box in boxes], np.float32)
    objects = Objects(
        np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1),
        np.array([class_of[box.category_id] for box in boxes], np.int64),
        np.array([box.score for box in boxes], np.float32),
        np.array([box.iscrowd for box in boxes], bool),
    )
    return Sample(path, objects, picture.source, pixels)
