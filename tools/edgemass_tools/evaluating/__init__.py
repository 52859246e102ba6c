"""Measures variants of models side by side, through the same Detector as the device.

entrants: who runs. detecting, classifying: run them over pictures. matches, class_scores: figures. gate: bounds.
result: what was found. report: the same for people.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgemass.bundles import Bundle
from edgemass.errors import UsageError
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.progress import Progress
from edgemass_tools.evaluating import classifying, detecting, entrants, gate
from edgemass_tools.evaluating.entrants import Field
from edgemass_tools.evaluating.gate import Bounds
from edgemass_tools.evaluating.result import DetectionFigures, Result, Row

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for.

    annotations, labels, folders: the truth, exactly one of them: COCO's instances.json; lines of file,label; the
        folders of `images` are named as classes.
    variants: names; empty = all. score: where a detector's precision and recall are told; None = the manifest's.
    skip_broken: leave out pictures that are missing or cannot be read.
    """

    images: Path
    annotations: Path | None = None
    labels: Path | None = None
    folders: bool = False
    variants: tuple[str, ...] = ()
    threads: int = 1
    score: float | None = None
    skip_broken: bool = False
    bounds: Bounds = field(default_factory=Bounds)


def evaluate(models: Sequence[tuple[str, Bundle]], order: Order, progress: Progress) -> Result:
    """Measure every variant of the models, each given with the text that named it.

    Raises:
        UsageError: models, truth and bounds do not fit each other.
        EdgemassError: a model or a picture cannot be read.
    """
    task = models[0][1].manifest.task
    _check(models, order)
    gate.check(order.bounds, task)
    leave_cores_to_the_runtime()
    truth = _read_truth(order)
    running = entrants.assemble(models, order.variants, order.threads)
    try:
        if order.bounds.max_loss is not None and len(running.entrants) == 1:
            raise UsageError(
                f"--max-loss compares with a reference, but {models[0][0]} has one variant that runs here; give the "
                "model to compare with first, and this one after it"
            )
        if truth is None:
            measured = _detection(running, order, progress)
        else:
            measured = classifying.measure(running.entrants, truth, skip=order.skip_broken, progress=progress)
    finally:
        running.close()
    result = Result(task, measured.rows, _data(measured, order), order.threads, _notes(running, measured))
    return replace(result, bounds=order.bounds.words(), misses=gate.misses(order.bounds, result))


def _check(models: Sequence[tuple[str, Bundle]], order: Order) -> None:
    for given, bundle in models:
        if bundle.manifest.input.text is not None:
            raise UsageError(
                f"{given} reads texts, here are pictures; measure it with `edgemass eval --texts truth.csv`"
            )
        task = bundle.manifest.task
        if (task == "detection") != (order.annotations is not None):
            wanted = "--annotations instances.json" if task == "detection" else "--labels truth.csv or --folders"
            raise UsageError(f"{given} is a {task} model: give {wanted}")
        if task != "detection" and order.score is not None:
            raise UsageError(f"--score is of detections, and {given} is a {task} model; leave it out")
    if order.score is not None and not 0 <= order.score < 1:
        raise UsageError(f"--score must lie between 0 and 1, found {order.score:g}")
    if order.threads < 1:
        raise UsageError(f"--threads must be at least 1, found {order.threads}")


def _read_truth(order: Order) -> classifying.Truth | None:
    """Of a classifier; a detector's is read for nothing but its errors, before models are loaded."""
    if order.annotations is not None:
        detecting.read_truth(order.annotations, order.images, skip=order.skip_broken)
        return None
    if order.labels is not None:
        return classifying.from_csv(order.labels, order.images, skip=order.skip_broken)
    return classifying.from_folders(order.images)


def _detection(running: Field, order: Order, progress: Progress) -> detecting.Measured:
    assert order.annotations is not None
    return detecting.measure(
        running.entrants,
        order.images,
        order.annotations,
        score=order.score,
        skip=order.skip_broken,
        progress=progress,
    )


def _data(measured: detecting.Measured, order: Order) -> str:
    truth = order.annotations or order.labels or order.images
    boxes = f", {measured.boxes} boxes" if measured.boxes else ""
    return f"{measured.images} pictures{boxes} of {truth.resolve().parent.name if truth.is_file() else truth.name}"


def _notes(running: Field, measured: detecting.Measured) -> tuple[str, ...]:
    notes = list(running.left_out)
    if measured.skipped:
        notes.append(f"{measured.skipped} pictures were missing or could not be read and are left out")
    notes += [_unlike_classes(row) for row in measured.rows if _unlike(row, measured.rows[0])]
    unknown = {row.figures.unknown_categories for row in measured.rows if isinstance(row.figures, DetectionFigures)}
    if len(unknown) == 1 and (names := next(iter(unknown))):
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        notes.append(f"not counted, no model knows them: {shown}")
    return tuple(dict.fromkeys(notes))


def _unlike(row: Row, reference: Row) -> bool:
    """Whether a detector's averages are over other classes than those of the reference."""
    if not isinstance(row.figures, DetectionFigures) or not isinstance(reference.figures, DetectionFigures):
        return False
    return row.figures.unknown_categories != reference.figures.unknown_categories


def _unlike_classes(row: Row) -> str:
    count = len(row.figures.per_class)
    return (
        f"{row.model} is averaged over the {count} annotated class{'es' * (count != 1)} that it knows, the reference "
        "over others; its loss is over those that both know"
    )
