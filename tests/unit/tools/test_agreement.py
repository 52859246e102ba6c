from __future__ import annotations

import numpy as np

from edgemass.detections import Detections
from edgemass_tools.agreement import Agreement, found_again


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def test_a_box_is_found_again_where_label_and_place_are_the_same() -> None:
    one = boxes((0, 0, 10, 10, 0.9, 1), (20, 20, 30, 30, 0.8, 1), (50, 50, 60, 60, 0.7, 2))
    other = boxes((1, 0, 10, 10, 0.5, 1), (26, 20, 36, 30, 0.9, 1), (50, 50, 60, 60, 0.7, 1))
    assert found_again(one, other, 0.4).tolist() == [True, False, False]


def test_what_scores_below_the_threshold_need_not_be_found_again() -> None:
    assert found_again(boxes((0, 0, 10, 10, 0.3, 1)), boxes(), 0.4).tolist() == []


def test_nothing_is_found_again_among_no_boxes() -> None:
    assert found_again(boxes((0, 0, 10, 10, 0.9, 1)), boxes(), 0.4).tolist() == [False]


def test_no_share_is_made_up_where_nothing_was_found() -> None:
    assert Agreement(0, 0, 16).share is None
    assert Agreement(3, 4, 16).share == 0.75
