from __future__ import annotations

import numpy as np

from edgemass.bundles.optimize.agreement import compare
from edgemass.detections import Detections


def detections(*rows: tuple[float, float, int]) -> Detections:
    """Left edge, score, class of boxes of 10 pixels."""
    left = np.array([row[0] for row in rows], np.float32)
    boxes = np.stack([left, left, left + 10, left + 10], axis=1)
    return Detections(boxes, np.array([row[1] for row in rows], np.float32), np.array([row[2] for row in rows]))


def test_the_same_candidates_in_another_order_agree() -> None:
    found = compare(detections((1, 0.9, 0), (50, 0.5, 1)), detections((50, 0.5, 1), (1, 0.9, 0)), 0.25)
    assert (found.candidates, found.missing, found.box_px, found.score) == (4, 0, 0.0, 0.0)


def test_a_rounding_is_measured_and_allowed() -> None:
    found = compare(detections((1, 0.9, 0)), detections((1.1, 0.9005, 0)), 0.25)
    assert found.missing == 0
    assert 0.09 < found.box_px < 0.11
    assert found.score < 1e-3


def test_a_moved_box_another_score_or_another_class_is_missed_on_both_sides() -> None:
    stock = detections((1, 0.9, 0))
    for other in (detections((2, 0.9, 0)), detections((1, 0.89, 0)), detections((1, 0.9, 1))):
        assert compare(stock, other, 0.25).missing == 2
    assert compare(stock, detections(), 0.25).missing == 1
    assert compare(detections(), stock, 0.25).missing == 1


def test_a_candidate_at_the_threshold_may_be_on_one_side_only() -> None:
    assert compare(detections((1, 0.2505, 0)), detections(), 0.25).missing == 0


def test_small_scores_are_held_against_each_other_by_their_share() -> None:
    assert compare(detections((1, 2e-5, 0)), detections((1, 3e-5, 0)), 1e-6).missing == 2
