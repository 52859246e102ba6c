"""How well a classifier's answers fit the truth. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from edgemass.tensors import AnyArray, FloatArray, IntArray


class ClassFigures(msgspec.Struct, frozen=True):
    """Of one class. precision: 0 where it was never the answer. auc: of its score against all other classes; None where
    all pictures or none show it.
    """

    precision: float
    recall: float
    f1: float
    images: int
    auc: float | None


class Mean(msgspec.Struct, frozen=True):
    precision: float
    recall: float
    f1: float


class Summary(msgspec.Struct, frozen=True):
    """per_class: of the classes that the truth has. macro: their mean; weighted: by their pictures.
    auc: the mean of theirs, one class against the rest; of two classes it is that of either. None without two classes.
    confusion: (true class, answer, pictures), where there are any; an answer of -1 is none.
    """

    per_class: dict[int, ClassFigures]
    macro: Mean
    weighted: Mean
    auc: float | None
    confusion: list[tuple[int, int, int]]


def summarize(true: IntArray, answer: IntArray, scores: FloatArray) -> Summary:
    """Compare.

    true, answer: class ids (n,), an answer of -1 is none. scores: (n, classes), as the device gives them.
    """
    classes = np.unique(true).tolist()
    per_class = {class_id: _figures(true == class_id, answer == class_id, scores[:, class_id]) for class_id in classes}
    rows = np.array([[item.precision, item.recall, item.f1] for item in per_class.values()])
    share = np.array([item.images for item in per_class.values()]) / len(true)
    areas = [item.auc for item in per_class.values() if item.auc is not None]
    pairs, counts = np.unique(np.stack([true, answer], axis=1), axis=0, return_counts=True)
    return Summary(
        per_class,
        Mean(*rows.mean(axis=0).tolist()),
        Mean(*(rows * share[:, None]).sum(axis=0).tolist()),
        float(np.mean(areas)) if areas else None,
        [(int(t), int(a), int(n)) for (t, a), n in zip(pairs.tolist(), counts.tolist(), strict=True)],
    )


def _figures(true: AnyArray, answered: AnyArray, score: FloatArray) -> ClassFigures:
    right, images, answers = (int(np.count_nonzero(item)) for item in (true & answered, true, answered))
    return ClassFigures(
        precision=right / answers if answers else 0.0,
        recall=right / images,
        f1=2 * right / (images + answers),
        images=images,
        auc=area_under_roc(true, score),
    )


def area_under_roc(true: AnyArray, score: AnyArray) -> float | None:
    """The chance that a picture of the class scores above one of another; ties count half. None without both kinds."""
    positive = int(np.count_nonzero(true))
    negative = len(true) - positive
    if not positive or not negative:
        return None
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # of Mann and Whitney: the mean one of those that are equal
    return float((rank[place.reshape(-1)][true].sum() - positive * (positive + 1) / 2) / (positive * negative))


def matrix(confusion: Sequence[tuple[int, int, int]], classes: Sequence[int]) -> IntArray:
    """(len, len + 1): rows are true classes, columns answers; the last one is every other answer and none."""
    place = {class_id: index for index, class_id in enumerate(classes)}
    table = np.zeros((len(classes), len(classes) + 1), np.int64)
    for true, answer, count in confusion:
        if true in place:
            table[place[true], place.get(answer, len(classes))] += count
    return table
