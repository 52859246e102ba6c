"""Non-maximum suppression."""

from __future__ import annotations

import cv2
import numpy as np

from edgemass.detections import Detections


def suppress(candidates: Detections, *, iou: float, max_detections: int, class_agnostic: bool = False) -> Detections:
    """Keep the best box of every heap, best first, at most `max_detections`.

    iou: boxes of one class (of any class if `class_agnostic`) that overlap a better one by more than this are dropped.
    """
    n = len(candidates)
    if n == 0:
        return candidates
    if n == 1:
        return candidates.take(slice(0, 1))
    xywh = candidates.xyxy.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    scores = candidates.score.tolist()
    # Lists are faster than arrays through OpenCV's bindings (docs/benchmarks.md).
    if class_agnostic:
        kept = cv2.dnn.NMSBoxes(xywh.tolist(), scores, 0.0, iou)
    else:
        kept = cv2.dnn.NMSBoxesBatched(xywh.tolist(), scores, candidates.class_id.tolist(), 0.0, iou)
    rows = np.asarray(kept, np.int64).reshape(-1)
    best_first = rows[np.argsort(-candidates.score[rows], kind="stable")]
    return candidates.take(best_first[:max_detections])
