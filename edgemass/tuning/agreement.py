"""How far two models find the same in the same frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgemass.detections import Classification, Detections
from edgemass.imaging.overlap import iou
from edgemass.tuning.row import Agreement

LOWEST = 0.005
"""Both sides have to be asked for everything above this."""
IOU = 0.5
ENOUGH = 10  # detections; with fewer, candidates with lower scores are looked at too
LEAST = 5  # fewer say nothing
_SLACK = 0.5  # a candidate's counterpart may have half its score: nobody promises what lies far below the threshold


def of_classes(wanted: Sequence[Classification], found: Sequence[Classification]) -> Agreement:
    """Share of the frames with the same best class."""
    same = [
        len(one) > 0 and len(other) > 0 and one.class_id[0] == other.class_id[0]
        for one, other in zip(wanted, found, strict=True)
    ]
    return Agreement(sum(same) / len(same) if len(same) >= LEAST else None, len(same), 0.0)


def of_detections(wanted: Sequence[Detections], found: Sequence[Detections], score: float) -> Agreement:
    """F1 of what both find above `score`, same label and IoU of 0.5 or more.

    Where they find too little there, the threshold is halved until there is enough to compare, so that silence is not
    called agreement; then a counterpart may have half the score.
    """
    agreement = Agreement(None, 0, score)
    for threshold, slack in _thresholds(score):
        ours = [item.take(np.flatnonzero(item.score > threshold)) for item in wanted]
        theirs = [item.take(np.flatnonzero(item.score > threshold)) for item in found]
        counts = sum(map(len, ours)), sum(map(len, theirs))
        if max(counts) < LEAST:
            agreement = Agreement(None, max(counts), threshold)
            continue
        low = threshold * slack
        hits = sum(_matched(one, other, low) for one, other in zip(ours, found, strict=True))
        hits += sum(_matched(other, one, low) for one, other in zip(wanted, theirs, strict=True))
        agreement = Agreement(hits / sum(counts), max(counts), threshold)
        if max(counts) >= ENOUGH:
            break
    return agreement


def _thresholds(score: float) -> Iterator[tuple[float, float]]:
    """(threshold, share of it that a counterpart must have)."""
    yield score, 1.0
    while score / 2 * _SLACK >= LOWEST:
        score /= 2
        yield score, _SLACK


def _matched(items: Detections, others: Detections, low: float) -> int:
    """How many of the items have a counterpart of their own among the others above `low`; the best come first."""
    others = others.take(np.flatnonzero(others.score > low))
    if not len(items) or not len(others):
        return 0
    overlap = iou(items.xyxy, others.xyxy)
    overlap[items.class_id[:, None] != others.class_id[None, :]] = 0.0
    free = np.ones(len(others), bool)
    matched = 0
    for index in np.argsort(-items.score, kind="stable"):
        row = np.where(free, overlap[index], 0.0)
        best = int(row.argmax())
        if row[best] >= IOU:
            free[best] = False
            matched += 1
    return matched
