"""Finds against true boxes of one IoU: precision and recall at any score. Values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from edgemass.tensors import AnyArray

AT_50 = 0
"""Where IoU 0.5 stands among COCO's thresholds."""


class Point(msgspec.Struct, frozen=True):
    """What is found above one score.

    precision: None where nothing is found; recall: None where there is nothing to find; f1: 0 where nothing is right.
    """

    score: float
    precision: float | None
    recall: float | None
    f1: float


@dataclass(frozen=True, eq=False)
class Matches:
    """score: float64 (n,), best first. true: bool (n,), whether it is a true box that no better find had taken.
    wanted: true boxes. Finds and boxes that count neither way (crowds) are left out.
    """

    score: AnyArray
    true: AnyArray
    wanted: int


def of_category(evaluation: Any, index: int) -> Matches:
    """From a COCOeval that was accumulated. index: of the category, on the axis of its arrays."""
    entries = [entry for entry in _entries(evaluation, index) if entry is not None]
    if not entries:
        return Matches(np.empty(0), np.empty(0, bool), 0)
    score = np.concatenate([np.asarray(entry["dtScores"], np.float64) for entry in entries])
    true = np.concatenate([entry["dtMatches"][AT_50] for entry in entries]) > 0
    counts = ~np.concatenate([entry["dtIgnore"][AT_50] for entry in entries])
    order = np.argsort(-score[counts], kind="stable")
    wanted = sum(int(np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)) for entry in entries)
    return Matches(score[counts][order], true[counts][order], wanted)


def _entries(evaluation: Any, index: int) -> list[Any]:
    """Of one category over all pictures and sizes; None where a picture has neither a find nor a box of it."""
    pictures = len(evaluation.params.imgIds)
    sizes = len(evaluation.params.areaRng)
    start = index * sizes * pictures  # the first size is "all"
    found: list[Any] = evaluation.evalImgs[start : start + pictures]
    return found


def pooled(parts: Sequence[Matches]) -> Matches:
    """All categories as one."""
    score = np.concatenate([part.score for part in parts]) if parts else np.empty(0)
    true = np.concatenate([part.true for part in parts]) if parts else np.empty(0, bool)
    order = np.argsort(-score, kind="stable")
    return Matches(score[order], true[order], sum(part.wanted for part in parts))


def at(matches: Matches, score: float) -> Point:
    """Above one score, as a device reports."""
    found = int(np.count_nonzero(matches.score > score))
    return _point(score, int(np.count_nonzero(matches.true[:found])), found, matches.wanted)


def best_f1(matches: Matches) -> Point | None:
    """The score above which F1 is highest, half-way to the next find below; the highest one of several.

    None where no find is true.
    """
    if not matches.true.any():
        return None
    right = np.cumsum(matches.true)
    count = np.arange(1, len(right) + 1)
    f1 = 2 * right / (count + matches.wanted)
    last_of_score = np.append(matches.score[1:] < matches.score[:-1], True)  # finds of one score come together
    best = int(np.argmax(np.where(last_of_score, f1, -1)))
    below = matches.score[best + 1] if best + 1 < len(matches.score) else 0.0
    return _point(float((matches.score[best] + below) / 2), int(right[best]), best + 1, matches.wanted)


def _point(score: float, right: int, found: int, wanted: int) -> Point:
    return Point(
        score,
        right / found if found else None,
        right / wanted if wanted else None,
        2 * right / (found + wanted) if found + wanted else 0.0,
    )
