"""Non-maximum suppression."""

from __future__ import annotations

import cv2
import numpy as np

from edgemass.detections import Detections
from edgemass.tensors import FloatArray, IntArray

FIRST_LOOK = 600  # twice what a crowded street gives at a running threshold
MOST_CANDIDATES = (
    30_000  # the best ones; Ultralytics' max_nms. A model that sees everything everywhere must not stop us
)


def suppress(candidates: Detections, *, iou: float, max_detections: int, class_agnostic: bool = False) -> Detections:
    """Keep the best box of every heap, best first, at most `max_detections`.

    iou: boxes of one class (of any class if `class_agnostic`) that overlap a better one by more than this are dropped.
    """
    n = min(len(candidates), MOST_CANDIDATES)
    if n <= 1:
        return candidates
    # Whether a box stays is decided by better ones alone, so the rest need not be looked at once enough have stayed.
    looked_at = FIRST_LOOK
    while True:
        some = candidates if looked_at >= len(candidates) else candidates.take(best_rows(candidates.score, looked_at))
        kept = _suppress(some, iou, class_agnostic=class_agnostic)
        if len(kept) >= max_detections or looked_at >= n:
            return some.take(kept[:max_detections])
        looked_at = min(4 * looked_at, n)


def best_rows(score: FloatArray, most: int) -> IntArray:
    """Rows of the `most` best scores, best first; of equal ones those that come first. No score is NaN."""
    if len(score) <= most:
        return np.argsort(-score, kind="stable")
    worst = np.partition(score, len(score) - most)[len(score) - most]
    better = np.flatnonzero(score > worst)
    equal = np.flatnonzero(score == worst)[: most - len(better)]
    some = np.concatenate([better, equal])
    return some[np.argsort(-score[some], kind="stable")]


def _suppress(found: Detections, iou: float, *, class_agnostic: bool) -> IntArray:
    """Rows that stay, best first."""
    xywh = found.xyxy.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    if not class_agnostic:  # every class gets a place of its own, where it meets no other one
        span = float(found.xyxy.max()) - min(0.0, float(found.xyxy.min())) + 1
        xywh[:, :2] += found.class_id[:, None] * span
    # Lists are faster than arrays through OpenCV's bindings (docs/benchmarks.md). NMSBoxesBatched does the same, but
    # wants the classes as a list too, and lets boxes left of the picture meet those of the class before.
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), found.score.tolist(), 0.0, iou)
    return np.asarray(kept, np.int64).reshape(-1)
