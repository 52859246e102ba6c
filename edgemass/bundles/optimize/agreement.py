"""Whether two detectors answer alike, candidate by candidate, before NMS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgemass.detections import Detections

MOST_BOX_PX = 0.5
MOST_SCORE = 1e-3  # in the reference's own figures, a tenth of the tolerance in mAP
MOST_SCORE_SHARE = 0.01  # of small scores
MOST_CANDIDATES = 500
FEW_CANDIDATES = 20
THRESHOLDS = (0.25, 0.05, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


@dataclass(frozen=True)
class Difference:
    """box_px, score: the largest over the candidates that were compared. missing: that have no counterpart."""

    candidates: int
    missing: int = 0
    box_px: float = 0.0
    score: float = 0.0

    def worse(self, other: Difference) -> Difference:
        return Difference(
            self.candidates + other.candidates,
            self.missing + other.missing,
            max(self.box_px, other.box_px),
            max(self.score, other.score),
        )

    def __str__(self) -> str:
        return (
            f"{self.candidates} candidates, {self.missing} without counterpart, boxes within {self.box_px:.2g} px, "
            f"scores within {self.score:.2g}"
        )


def compare(wanted: Detections, found: Detections, threshold: float) -> Difference:
    """Hold the best of the wanted candidates against all that were found, and the other way round.

    threshold: of both; who scores close to it may be on one side only.
    """
    one = _held_against(wanted, found, threshold)
    return one.worse(_held_against(found, wanted, threshold))


def _held_against(wanted: Detections, found: Detections, threshold: float) -> Difference:
    best = wanted.take(np.argsort(-wanted.score, kind="stable")[:MOST_CANDIDATES])
    missing, box_px, score = 0, 0.0, 0.0
    for xyxy, value, class_id in zip(best.xyxy, best.score, best.class_id, strict=True):
        same = found.class_id == class_id
        slack = min(MOST_SCORE, MOST_SCORE_SHARE * float(value))
        off_px = np.abs(found.xyxy[same] - xyxy).max(axis=1, initial=0.0)
        off_score = np.abs(found.score[same] - value)
        fits = (off_px <= MOST_BOX_PX) & (off_score <= slack)
        if fits.any():
            nearest = np.flatnonzero(fits)[off_px[fits].argmin()]
            box_px, score = max(box_px, float(off_px[nearest])), max(score, float(off_score[nearest]))
        elif value > threshold + slack:
            missing += 1
    return Difference(len(best), missing, box_px, score)
