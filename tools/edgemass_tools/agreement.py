"""Whether two variants of a model see the same in pictures of which nobody knows the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgemass.detections import Classification, Detections
from edgemass.detector import Stream, Thresholds
from edgemass.progress import Progress
from edgemass.sources.images import read
from edgemass.tensors import AnyArray

IOU = 0.5


@dataclass(frozen=True)
class Agreement:
    """same: detections that have a counterpart, of `all`; of a classifier, pictures of the same best class."""

    same: int
    all: int
    pictures: int

    @property
    def share(self) -> float | None:
        """None where there was nothing to compare."""
        return self.same / self.all if self.all else None


def compare(one: Stream, other: Stream, pictures: Sequence[Path], score: float, progress: Progress) -> Agreement:
    """Run both over the pictures.

    score: what either finds above it must be found by the other one with half of it: same label, IoU of 0.5. So a box
        whose score moves a little across the threshold counts as found.
    """
    same = total = 0
    for done, path in enumerate(pictures):
        picture = read(path)
        answers = []
        for stream in (one, other):
            answers.append(stream.detect(picture, Thresholds(score / 2)).found)
            stream.forget()
        agreed, counted = _held_together(answers[0], answers[1], score)
        same, total = same + agreed, total + counted
        progress(done + 1, len(pictures))
    return Agreement(same, total, len(pictures))


def _held_together(
    one: Detections | Classification, other: Detections | Classification, score: float
) -> tuple[int, int]:
    if isinstance(one, Classification) or isinstance(other, Classification):
        return int(one.class_id[:1].tolist() == other.class_id[:1].tolist()), 1
    there, back = found_again(one, other, score), found_again(other, one, score)
    return int(there.sum() + back.sum()), len(there) + len(back)


def found_again(one: Detections, other: Detections, score: float) -> AnyArray:
    """For each detection of `one` at that score, whether `other` has one of the same label there: bool (n,)."""
    wanted = one.take(np.flatnonzero(one.score >= score))
    overlaps = iou_table(wanted.xyxy, other.xyxy) >= IOU
    again: AnyArray = (overlaps & (wanted.class_id[:, None] == other.class_id[None])).any(axis=1)
    return again


def iou_table(one: AnyArray, other: AnyArray) -> AnyArray:
    """(n, m) of boxes (n, 4) and (m, 4)."""
    corner = np.maximum(one[:, None, :2], other[None, :, :2])
    end = np.minimum(one[:, None, 2:], other[None, :, 2:])
    common = np.prod(np.clip(end - corner, 0, None), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (one, other)]
    shares: AnyArray = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)
    return shares
