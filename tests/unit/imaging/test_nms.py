from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.detections import Detections
from edgemass.imaging import nms
from edgemass.imaging.nms import suppress


def overlap(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def greedy(found: Detections, iou: float, *, class_agnostic: bool) -> list[int]:
    """The textbook loop."""
    kept: list[int] = []
    for row in np.argsort(-found.score, kind="stable").tolist():
        rivals = [k for k in kept if class_agnostic or found.class_id[k] == found.class_id[row]]
        if all(overlap(found.xyxy[k].tolist(), found.xyxy[row].tolist()) <= iou for k in rivals):
            kept.append(row)
    return kept


def heap(n: int, seed: int) -> Detections:
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (n, 2))
    boxes = np.concatenate([corner, corner + random.uniform(5, 40, (n, 2))], axis=1).astype(np.float32)
    score = random.permutation(np.linspace(0.05, 0.95, n)).astype(np.float32)
    return Detections(boxes, score, random.integers(0, 3, n))


@given(st.integers(0, 60), st.integers(0, 1000), st.booleans(), st.sampled_from([0.3, 0.45, 0.6]))
def test_the_same_boxes_stay_as_in_the_textbook(n: int, seed: int, agnostic: bool, iou: float) -> None:
    found = heap(n, seed)
    kept = suppress(found, iou=iou, max_detections=1000, class_agnostic=agnostic)
    wanted = found.take(np.array(greedy(found, iou, class_agnostic=agnostic), np.int64))
    assert kept.xyxy.tolist() == wanted.xyxy.tolist()
    assert kept.score.tolist() == wanted.score.tolist()


def test_the_best_come_first_and_the_limit_cuts_the_worst() -> None:
    kept = suppress(heap(60, 7), iou=0.99, max_detections=5, class_agnostic=False)
    assert kept.score.tolist() == sorted(heap(60, 7).score.tolist(), reverse=True)[:5]


def test_the_answer_does_not_depend_on_how_many_are_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = heap(400, 3)
    answers = []
    for first_look in (8, 50, 1000):
        monkeypatch.setattr(nms, "FIRST_LOOK", first_look)
        kept = suppress(found, iou=0.3, max_detections=40)
        answers.append((kept.xyxy.tolist(), kept.score.tolist()))
    assert len(answers[0][1]) == 40
    assert answers[0] == answers[1] == answers[2]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32))
def test_the_best_rows_are_those_of_a_stable_order(n: int, most: int, seed: int) -> None:
    score = np.random.default_rng(seed).integers(0, 20, n).astype(np.float32)  # many ties
    assert nms.best_rows(score, most).tolist() == np.argsort(-score, kind="stable")[:most].tolist()


def test_boxes_left_of_the_picture_do_not_meet_those_of_another_class() -> None:
    xyxy = np.array([[0, 0, 100, 100], [-101, -101, -1, -1], [0, 0, 100, 100]], np.float32)
    found = Detections(xyxy, np.array([0.9, 0.8, 0.7], np.float32), np.array([0, 1, 1]))
    assert suppress(found, iou=0.3, max_detections=10).score.tolist() == found.score.tolist()
