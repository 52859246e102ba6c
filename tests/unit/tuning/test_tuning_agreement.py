from __future__ import annotations

import numpy as np
import pytest

from edgemass.detections import Classification, Detections
from edgemass.tuning import agreement

SCORE = 0.4


def found(*items: tuple[float, int, float]) -> Detections:
    """(left, class id, score) of boxes of 10 by 10."""
    return Detections(
        np.array([(left, 0, left + 10, 10) for left, _, _ in items], np.float32).reshape(-1, 4),
        np.array([score for _, _, score in items], np.float32),
        np.array([class_id for _, class_id, _ in items], np.int64),
    )


def many(count: int, score: float = 0.9, shift: float = 0.0, class_id: int = 0) -> Detections:
    return found(*((20.0 * index + shift, class_id, score) for index in range(count)))


def test_the_same_detections_agree_wholly() -> None:
    told = agreement.of_detections([many(6), many(6)], [many(6), many(6)], SCORE)
    assert (told.f1, told.compared, told.score) == (1.0, 12, SCORE)


def test_a_box_that_moved_by_a_little_counts_and_one_of_another_label_or_place_does_not() -> None:
    assert agreement.of_detections([many(12)], [many(12, shift=2)], SCORE).f1 == 1.0
    assert agreement.of_detections([many(12)], [many(12, shift=9)], SCORE).f1 == 0.0
    assert agreement.of_detections([many(12)], [many(12, class_id=1)], SCORE).f1 == 0.0


def test_what_one_side_finds_more_costs_agreement_on_either_side() -> None:
    fewer = found(*((20.0 * index, 0, 0.9) for index in range(6)))
    assert agreement.of_detections([many(12)], [fewer], SCORE).f1 == pytest.approx(2 * 6 / 18)
    assert agreement.of_detections([fewer], [many(12)], SCORE).f1 == pytest.approx(2 * 6 / 18)


def test_one_detection_is_no_counterpart_of_two() -> None:
    twice = found((0, 0, 0.9), (1, 0, 0.8), *((20.0 * i, 0, 0.9) for i in range(1, 11)))
    assert agreement.of_detections([twice], [many(11)], SCORE).f1 == pytest.approx(2 * 11 / 23)


def test_silence_is_not_called_agreement() -> None:
    told = agreement.of_detections([found()], [found()], SCORE)
    assert (told.f1, told.compared) == (None, 0)


def test_with_few_detections_weaker_candidates_are_compared_too() -> None:
    weak = many(12, score=0.06)
    told = agreement.of_detections([weak], [many(12, score=0.05)], SCORE)
    assert (told.f1, told.compared) == (1.0, 12)
    assert told.score == pytest.approx(0.05)
    assert agreement.of_detections([weak], [many(12, score=0.06, shift=9)], SCORE).f1 == 0.0


def test_a_candidate_just_below_the_lowered_threshold_is_a_counterpart_but_far_below_is_none() -> None:
    assert agreement.of_detections([many(12, score=0.12)], [many(12, score=0.07)], SCORE).f1 == 1.0
    assert agreement.of_detections([many(12, score=0.12)], [many(12, score=0.03)], SCORE).f1 == 0.0


def test_noise_of_one_side_is_not_agreement_with_silence() -> None:
    assert agreement.of_detections([found()], [many(30)], SCORE).f1 == 0.0


def test_classes_agree_where_the_best_is_the_same() -> None:
    def best(*ids: int) -> list[Classification]:
        return [Classification(np.array([0.5], np.float32), np.array([i], np.int64)) for i in ids]

    assert agreement.of_classes(best(1, 2, 3, 4, 5), best(1, 2, 3, 4, 6)).f1 == pytest.approx(0.8)
    assert agreement.of_classes(best(1, 2), best(1, 2)).f1 is None
