"""Classifiers on pictures of known class: all of them on one picture, then on the next."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemass import evaluate
from edgemass.detections import Classification
from edgemass.detector import Thresholds
from edgemass.errors import SourceError, UsageError
from edgemass.frame import Image
from edgemass.progress import Progress
from edgemass.sources import images as pictures
from edgemass.tensors import FloatArray, IntArray
from edgemass_tools import speed
from edgemass_tools.evaluating import class_scores
from edgemass_tools.evaluating.detecting import EXAMPLES, TIMED, Measured, jpeg, smaller
from edgemass_tools.evaluating.entrants import Entrant
from edgemass_tools.evaluating.result import ClassificationFigures, Example, LabelFigures, Row

logger = logging.getLogger(__name__)

_NO_ANSWER = -1
_EXAMPLE_SIDE = 320  # pixels


@dataclass(frozen=True)
class Truth:
    """Pictures with the name or number of their class. where: what says so."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    where: Path
    missing: int = 0


def from_csv(table: Path, images: Path, *, skip: bool) -> Truth:
    """Lines of file,label. skip: leave pictures out that are missing, else refuse them.

    Raises:
        UsageError: it is something else, or pictures are missing.
    """
    rows = evaluate.read_truth(table)
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; wanted the folder that holds the pictures of {table}")
    there = [row for row in rows if (images / row["file"]).is_file()]
    if not there:
        raise UsageError(
            f"{images} holds none of the {len(rows)} pictures of {table}, as {rows[0]['file']}; give the folder that "
            "they lie in with --images"
        )
    missing = [row for row in rows if not (images / row["file"]).is_file()]
    if missing and not skip:
        raise UsageError(
            f"{len(missing)} of {len(rows)} pictures of {table} are missing in {images}, the first is "
            f"{missing[0]['file']}; put them there, or leave them out with --skip-broken"
        )
    return Truth(
        tuple(images / row["file"] for row in there), tuple(row["label"] for row in there), table, len(missing)
    )


def from_folders(images: Path) -> Truth:
    """One folder for each class, named as the class is.

    Raises:
        UsageError: there is none, or one without a picture.
    """
    wanted = "wanted one folder for each class, with its pictures"
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder; {wanted}")
    folders = sorted(item for item in images.iterdir() if item.is_dir() and not item.name.startswith("."))
    if not folders:
        raise UsageError(f"{images} has no folders; {wanted}")
    paths: list[Path] = []
    names: list[str] = []
    for folder in folders:
        try:
            found = pictures.find(str(folder))
        except SourceError as error:
            raise UsageError(f"{error}; {wanted}") from error
        paths += found
        names += [folder.name] * len(found)
    return Truth(tuple(paths), tuple(names), images)


def measure(entrants: Sequence[Entrant], truth: Truth, *, skip: bool, progress: Progress) -> Measured:
    """Measure accuracy and latency. skip: leave out pictures that cannot be read.

    Raises:
        UsageError: a true class is none of a model's.
        SourceError: a picture cannot be read.
    """
    wanted = [[evaluate.class_ids(name, entrant.labels, truth.where) for name in truth.names] for entrant in entrants]
    answers, kept, timed = _classify(entrants, truth, skip=skip, progress=progress)
    latencies = speed.frames([(item.stream, item.manifest.score) for item in entrants], timed)
    shown = next((place for place, entrant in enumerate(entrants) if entrant.held), 0)
    rows: list[Row] = []
    for place, entrant in enumerate(entrants):
        ids = [wanted[place][index] for index in kept]
        figures, summary = _figures(answers[place], ids, entrant.labels)
        rows.append(
            Row(
                model=entrant.model,
                variant=entrant.variant.name,
                backend=entrant.backend,
                precision=entrant.variant.precision,
                size_bytes=entrant.variant.size_bytes,
                score=entrant.manifest.score,
                latency=latencies[place],
                figures=figures,
                loss=rows[0].figures.main - figures.main if place else None,
                held=entrant.held,
                labels=entrant.labels,
                summary=summary,
                examples=_examples(answers[place], ids, [truth.paths[index] for index in kept], entrant.labels)
                if place == shown
                else (),
            )
        )
    return Measured(tuple(rows), len(kept), 0, truth.missing + len(truth.paths) - len(kept))


@dataclass(frozen=True, eq=False)
class Answers:
    """scores: (n, classes), 0 where the device gives none. best: the five best class ids of each picture, or fewer."""

    scores: FloatArray
    best: list[list[int]]


def _classify(
    entrants: Sequence[Entrant], truth: Truth, *, skip: bool, progress: Progress
) -> tuple[list[Answers], list[int], list[Image]]:
    """Answers of each entrant, the places of the pictures that could be read, and pictures to time on."""
    scores: list[list[FloatArray]] = [[] for _ in entrants]
    best: list[list[list[int]]] = [[] for _ in entrants]
    kept: list[int] = []
    timed: list[Image] = []
    step = max(1, len(truth.paths) // TIMED)
    for done, path in enumerate(truth.paths):
        try:
            picture = pictures.read(path)
        except SourceError as error:
            if not skip:
                raise SourceError(f"{error}; or leave such pictures out with --skip-broken") from error
            logger.warning("left out: %s", error)
            continue
        kept.append(done)
        if done % step == 0 and len(timed) < TIMED:
            timed.append(picture)
        for place, entrant in enumerate(entrants):
            found = entrant.stream.detect(picture, Thresholds(0.0)).found
            assert isinstance(found, Classification)
            row = np.zeros(len(entrant.labels), np.float32)
            row[found.class_id] = found.score
            scores[place].append(row)
            best[place].append(found.class_id[:5].tolist())
            entrant.stream.forget()
        progress(done + 1, len(truth.paths))
    if not kept:
        raise UsageError(f"none of the {len(truth.paths)} pictures of {truth.where} can be read")
    answers = [Answers(np.stack(rows), five) for rows, five in zip(scores, best, strict=True)]
    return answers, kept, timed or [picture]


def _figures(
    answers: Answers, wanted: Sequence[frozenset[int]], labels: Sequence[str]
) -> tuple[ClassificationFigures, class_scores.Summary]:
    true, answer = _columns(answers, wanted)
    summary = class_scores.summarize(true, answer, answers.scores)
    right = int(np.count_nonzero(true == answer))
    among_five = sum(bool(ids & set(best)) for ids, best in zip(wanted, answers.best, strict=True))
    names = unlike(labels)
    figures = ClassificationFigures(
        top1=right / len(true),
        top5=among_five / len(true),
        macro=summary.macro,
        weighted=summary.weighted,
        auc=summary.auc,
        per_class={
            names[class_id]: LabelFigures(item.precision, item.recall, item.f1, item.images, item.auc)
            for class_id, item in summary.per_class.items()
        },
        confusion=[
            (names[true_id], "" if answer_id == _NO_ANSWER else names[answer_id], count)
            for true_id, answer_id, count in summary.confusion
        ],
        images=len(true),
        right=right,
    )
    return figures, summary


def _columns(answers: Answers, wanted: Sequence[frozenset[int]]) -> tuple[IntArray, IntArray]:
    """True and answered class ids. Where a name means several classes (ImageNet's "crane"), any of them is right."""
    answer = [best[0] if best else _NO_ANSWER for best in answers.best]
    true = [found if found in ids else min(ids) for found, ids in zip(answer, wanted, strict=True)]
    return np.array(true, np.int64), np.array(answer, np.int64)


def unlike(labels: Sequence[str]) -> list[str]:
    """Labels, with the class id behind those that a model uses twice."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    return [label if counts[label] == 1 else f"{label} ({place})" for place, label in enumerate(labels)]


def _examples(
    answers: Answers, wanted: Sequence[frozenset[int]], paths: Sequence[Path], labels: Sequence[str]
) -> tuple[Example, ...]:
    """The wrong answers that the model was surest of."""
    true, answer = _columns(answers, wanted)
    wrong = [place for place in np.flatnonzero(true != answer).tolist() if answer[place] != _NO_ANSWER]
    wrong.sort(key=lambda place: -answers.scores[place, answer[place]])
    names = unlike(labels)
    made = []
    for place in wrong[:EXAMPLES]:
        picture = pictures.read(paths[place])
        small = smaller(picture, _EXAMPLE_SIDE)
        sure = answers.scores[place, answer[place]]
        caption = f"{paths[place].name}: {names[true[place]]}, taken for {names[answer[place]]} ({sure:.2f})"
        made.append(Example(jpeg(small), small.shape[1], small.shape[0], caption))
    return tuple(made)
