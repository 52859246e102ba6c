"""Detectors on pictures with COCO-style truth: all of them on one picture, then on the next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from edgemass import evaluate
from edgemass.detections import Detections
from edgemass.detector import Thresholds
from edgemass.errors import SourceError, UsageError
from edgemass.evaluate import MAX_DETECTIONS, SCORE, Picture, Truth
from edgemass.frame import Image
from edgemass.progress import Progress
from edgemass.tensors import AnyArray, FloatArray
from edgemass_tools import speed
from edgemass_tools.evaluating import matches
from edgemass_tools.evaluating.entrants import Entrant
from edgemass_tools.evaluating.result import DetectedClass, DetectionFigures, Example, Row, Shape, Size

logger = logging.getLogger(__name__)

TIMED = 8
"""Pictures that latency is measured on."""
EXAMPLES = 6
_EXAMPLE_SIDE = 480  # pixels; a report of six stays below half a megabyte
_SIZES = ("all", "small", "medium", "large")  # as COCOeval orders them: up to 32 x 32 pixels, up to 96 x 96, above
_AT_75 = 5  # where IoU 0.75 stands among 0.50, 0.55, ... 0.95
_AP = "precision"
_AR = "recall"


@dataclass(frozen=True, eq=False)
class Measured:
    """rows: one for each entrant. images, boxes: that counted. skipped: pictures that were left out."""

    rows: tuple[Row, ...]
    images: int
    boxes: int
    skipped: int


def read_truth(annotations: Path, images: Path, *, skip: bool) -> tuple[Truth, int]:
    """The truth about the pictures that are there, and how many are not.

    skip: leave those out that are missing, else refuse them.

    Raises:
        UsageError: the annotations are not what they should be, or pictures are missing.
    """
    truth = evaluate.read_annotations(annotations)
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; wanted the folder that holds the pictures of {annotations}")
    missing = [item for item in truth.images if not evaluate.picture_path(images, item).is_file()]
    if len(missing) == len(truth.images):
        raise UsageError(
            f"{images} holds none of the {len(truth.images)} pictures of {annotations}, as {missing[0].file_name}; "
            "give the folder that they lie in with --images"
        )
    if missing and not skip:
        raise UsageError(
            f"{len(missing)} of {len(truth.images)} pictures of {annotations} are missing in {images}, the first is "
            f"{missing[0].file_name}; put them there, or leave them out with --skip-broken"
        )
    return without(truth, {item.id for item in missing}), len(missing)


def without(truth: Truth, left_out: set[int]) -> Truth:
    """The truth about all pictures but these."""
    return msgspec.structs.replace(
        truth,
        images=tuple(item for item in truth.images if item.id not in left_out),
        annotations=tuple(item for item in truth.annotations if item.image_id not in left_out),
    )


def measure(
    entrants: Sequence[Entrant],
    images: Path,
    annotations: Path,
    *,
    score: float | None,
    skip: bool,
    progress: Progress,
) -> Measured:
    """Measure accuracy and latency.

    score: where precision and recall are told; None = the manifest's. skip: leave out pictures that are missing or
    cannot be read.

    Raises:
        UsageError: pictures or annotations are not what they should be, or their classes none of a model's.
        SourceError: a picture cannot be read.
    """
    truth, missing = read_truth(annotations, images, skip=skip)
    categories = [evaluate.match_categories(truth, entrant.labels, annotations) for entrant in entrants]
    _check_common(entrants, truth, categories)
    found, unreadable, timed = _detect(entrants, truth, images, annotations, categories, skip=skip, progress=progress)
    truth = without(truth, unreadable)
    for entrant in entrants:
        evaluate.match_categories(truth, entrant.labels, annotations)  # refuses a truth of which too little is left
    scores = [entrant.manifest.score if score is None else score for entrant in entrants]
    latencies = speed.frames([(item.stream, at) for item, at in zip(entrants, scores, strict=True)], timed)
    evaluations = [
        evaluate.coco_evaluation(truth, rows, evaluate.known_categories(truth, known), by_size=True)
        for rows, known in zip(found, categories, strict=True)
    ]
    shown = next((place for place, entrant in enumerate(entrants) if entrant.held), 0)
    rows: list[Row] = []
    for place, entrant in enumerate(entrants):
        figures, curves = _figures(evaluations[place], truth, categories[place], entrant.labels, scores[place])
        rows.append(
            Row(
                model=entrant.model,
                variant=entrant.variant.name,
                backend=entrant.backend,
                precision=entrant.variant.precision,
                size_bytes=entrant.variant.size_bytes,
                score=scores[place],
                latency=latencies[place],
                figures=figures,
                loss=_loss(evaluations[0], evaluations[place]) if place else None,
                held=entrant.held,
                labels=entrant.labels,
                curve=np.mean(list(curves.values()), axis=0),
                curves=curves,
                examples=_examples(evaluations[place], truth, images, annotations, scores[place])
                if place == shown
                else (),
            )
        )
    boxes = sum(not box.iscrowd for box in truth.annotations)
    return Measured(tuple(rows), len(truth.images), boxes, missing + len(unreadable))


def _check_common(entrants: Sequence[Entrant], truth: Truth, categories: Sequence[dict[int, int]]) -> None:
    """Everybody is compared with the first one, over the classes that both know."""
    first = set(evaluate.known_categories(truth, categories[0]))
    for entrant, known in zip(entrants[1:], categories[1:], strict=True):
        if not first & set(evaluate.known_categories(truth, known)):
            raise UsageError(
                f"{entrants[0].model} and {entrant.model} know no annotated class in common ("
                f"{', '.join(entrants[0].labels[:3])}, ... and {', '.join(entrant.labels[:3])}, ...), so that they "
                "cannot be compared; evaluate each alone"
            )


def _detect(
    entrants: Sequence[Entrant],
    truth: Truth,
    images: Path,
    annotations: Path,
    categories: Sequence[dict[int, int]],
    *,
    skip: bool,
    progress: Progress,
) -> tuple[list[FloatArray], set[int], list[Image]]:
    """Rows as `evaluate.coco_rows` gives them for each entrant, ids of unreadable pictures, and pictures to time on."""
    thresholds = Thresholds(SCORE, multi_label=True, max_detections=MAX_DETECTIONS)
    found: list[list[FloatArray]] = [[] for _ in entrants]
    unreadable: set[int] = set()
    timed: list[Image] = []
    step = max(1, len(truth.images) // TIMED)
    for done, entry in enumerate(truth.images):
        try:
            picture = evaluate.read_picture(images, entry, annotations)
        except SourceError as error:
            if not skip:
                raise SourceError(f"{error}; or leave such pictures out with --skip-broken") from error
            logger.warning("left out: %s", error)
            unreadable.add(entry.id)
            continue
        if done % step == 0 and len(timed) < TIMED:
            timed.append(picture)
        for place, entrant in enumerate(entrants):
            answer = entrant.stream.detect(picture, thresholds).found
            assert isinstance(answer, Detections)
            found[place].append(evaluate.coco_rows(entry.id, answer, categories[place]))
            entrant.stream.forget()
        progress(done + 1, len(truth.images))
    if len(unreadable) == len(truth.images):
        raise UsageError(f"none of the {len(truth.images)} pictures of {annotations} can be read")
    return [np.concatenate(parts) for parts in found], unreadable, timed or [picture]


def _figures(
    evaluation: Any, truth: Truth, categories: dict[int, int], labels: Sequence[str], score: float
) -> tuple[DetectionFigures, dict[str, AnyArray]]:
    """All figures of one detector, and precision over recall (101,) by class."""
    accuracy = evaluate.accuracy(evaluation, truth, categories, labels)
    known = evaluate.known_categories(truth, categories)
    parts = [matches.of_category(evaluation, index) for index in range(len(known))]
    per_class = {
        label: DetectedClass(
            values["map_50_95"], values["map_50"], part.wanted, matches.best_f1(part), matches.at(part, score)
        )
        for (label, values), part in zip(accuracy.per_class.items(), parts, strict=True)
    }
    curves: dict[str, AnyArray] = {
        label: evaluation.eval[_AP][matches.AT_50, :, index, 0, -1] for index, label in enumerate(per_class)
    }
    everything = matches.pooled(parts)
    figures = DetectionFigures(
        map_50_95=accuracy.map_50_95,
        map_50=accuracy.map_50,
        map_75=_mean(evaluation.eval[_AP][_AT_75, :, :, 0, -1]) or 0.0,
        ar_1=_mean(evaluation.eval[_AR][:, :, 0, 0]) or 0.0,
        ar_10=_mean(evaluation.eval[_AR][:, :, 0, 1]) or 0.0,
        ar_100=_mean(evaluation.eval[_AR][:, :, 0, 2]) or 0.0,
        sizes={
            name: Size(
                _mean(evaluation.eval[_AP][:, :, :, place, -1]),
                _mean(evaluation.eval[_AR][:, :, place, -1]),
                _boxes(evaluation, len(known), place),
            )
            for place, name in enumerate(_SIZES)
            if place
        },
        best=matches.best_f1(everything),
        at_score=matches.at(everything, score),
        per_class=per_class,
        images=accuracy.images,
        boxes=everything.wanted,
        unknown_categories=accuracy.unknown_categories,
    )
    return figures, curves


def _mean(values: AnyArray) -> float | None:
    """Of what there is: COCOeval writes -1 where a class has no box."""
    there = values[values > -1]
    return float(there.mean()) if there.size else None


def _boxes(evaluation: Any, categories: int, size: int) -> int:
    """True boxes of one size."""
    pictures, sizes = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    starts = [(index * sizes + size) * pictures for index in range(categories)]
    entries = [entry for start in starts for entry in evaluation.evalImgs[start : start + pictures] if entry]
    return sum(int(np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)) for entry in entries)


def _loss(reference: Any, other: Any) -> float:
    """Of mAP 50-95, over the classes that both know."""
    means: list[float] = []
    common = sorted(set(reference.params.catIds) & set(other.params.catIds))
    for evaluation in (reference, other):
        places = [evaluation.params.catIds.index(category) for category in common]
        means.append(_mean(evaluation.eval[_AP][:, :, places, 0, -1]) or 0.0)
    return means[0] - means[1]


def _examples(evaluation: Any, truth: Truth, images: Path, annotations: Path, score: float) -> tuple[Example, ...]:
    """Pictures with the worst misses and the surest false boxes, by turns."""
    names = {category.id: category.name for category in truth.categories}
    shapes = _shapes(evaluation, names, score)
    sides = {item.id: item for item in truth.images}

    def missed(image_id: int) -> float:
        return sum(
            float(np.sqrt(shape.box[2] * shape.box[3] / (sides[image_id].width * sides[image_id].height)))
            for shape in shapes[image_id]
            if shape.kind == "missed"
        )

    def false(image_id: int) -> float:
        return sum(shape.score or 0.0 for shape in shapes[image_id] if shape.kind == "false")

    by_misses, by_false = (sorted(shapes, key=weight, reverse=True) for weight in (missed, false))
    by_turns = [image_id for pair in zip(by_misses, by_false, strict=True) for image_id in pair]
    worst = [image_id for image_id in dict.fromkeys(by_turns) if missed(image_id) or false(image_id)]
    return tuple(_example(sides[image_id], shapes[image_id], images, annotations) for image_id in worst[:EXAMPLES])


def _shapes(evaluation: Any, names: dict[int, str], score: float) -> dict[int, list[Shape]]:
    """What was found, missed and false above one score, by picture."""
    pictures, sizes = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    shapes: dict[int, list[Shape]] = {}
    for index, category in enumerate(evaluation.params.catIds):
        start = index * sizes * pictures
        for entry in evaluation.evalImgs[start : start + pictures]:
            if entry is None:
                continue
            mine = shapes.setdefault(entry["image_id"], [])
            sure = np.asarray(entry["dtScores"]) > score
            taken = entry["dtMatches"][matches.AT_50]
            for place in np.flatnonzero(sure & ~entry["dtIgnore"][matches.AT_50]):
                find = evaluation.cocoDt.anns[entry["dtIds"][place]]
                kind = "found" if taken[place] else "false"
                mine.append(Shape(kind, names[category], tuple(find["bbox"]), float(find["score"])))
            for box_id, ignored in zip(entry["gtIds"], entry["gtIgnore"], strict=True):
                if not ignored and box_id not in taken[sure]:
                    mine.append(Shape("missed", names[category], tuple(evaluation.cocoGt.anns[box_id]["bbox"])))
    return shapes


def _example(entry: Picture, shapes: Sequence[Shape], images: Path, annotations: Path) -> Example:
    picture = evaluate.read_picture(images, entry, annotations)
    small = smaller(picture, _EXAMPLE_SIDE)
    scale = small.shape[1] / picture.shape[1]
    counts = {kind: sum(shape.kind == kind for shape in shapes) for kind in ("found", "missed", "false")}
    caption = f"{entry.file_name}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items())
    scaled = [
        Shape(item.kind, item.label, (x * scale, y * scale, w * scale, h * scale), item.score)
        for item in shapes
        for x, y, w, h in [item.box]
    ]
    return Example(jpeg(small), small.shape[1], small.shape[0], caption, tuple(scaled))


def smaller(picture: Image, side: int) -> Image:
    """With no side longer than that."""
    scale = min(1.0, side / max(picture.shape[:2]))
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(picture: Image) -> bytes:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return bytes(data)
