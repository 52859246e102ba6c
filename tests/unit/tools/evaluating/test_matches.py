"""Figures against numbers worked by hand, on what pycocotools matched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from edgemass import evaluate
from edgemass.evaluate import Category, Picture, TrueBox, Truth
from edgemass_tools.evaluating import matches
from edgemass_tools.evaluating.detecting import _figures, _loss, _shapes, without
from edgemass_tools.evaluating.matches import Matches

BOX = (10.0, 10.0, 20.0, 20.0)
OTHER = (60.0, 60.0, 20.0, 20.0)
LARGE = (0.0, 0.0, 100.0, 100.0)
Find = tuple[int, tuple[float, float, float, float], float, int]  # picture, box, score, category


def truth(*boxes: tuple[int, tuple[float, float, float, float], int, int]) -> Truth:
    """Boxes of (picture, box, category, crowd) on two pictures; ants are category 1, bees 2."""
    return Truth(
        images=tuple(Picture(number, f"{number}.png", 100, 100) for number in (1, 2)),
        annotations=tuple(TrueBox(image, category, box, iscrowd=crowd) for image, box, category, crowd in boxes),
        categories=(Category(1, "ant"), Category(2, "bee")),
    )


def evaluation(known: Truth, finds: Sequence[Find]) -> Any:
    rows = [[image, *box, score, category] for image, box, score, category in finds]
    categories = evaluate.known_categories(known, {0: 1, 1: 2})
    return evaluate.coco_evaluation(known, np.array(rows, np.float64).reshape(-1, 7), categories, by_size=True)


def prepared(score: Sequence[float], true: Sequence[int], wanted: int) -> Matches:
    return Matches(np.array(score), np.array(true, bool), wanted)


def test_a_second_find_of_one_box_is_false() -> None:
    found = matches.of_category(evaluation(truth((1, BOX, 1, 0)), [(1, BOX, 0.9, 1), (1, BOX, 0.8, 1)]), 0)
    assert (found.true.tolist(), found.wanted) == ([True, False], 1)


def test_a_crowd_is_neither_a_find_nor_a_miss() -> None:
    known = truth((1, BOX, 1, 0), (1, OTHER, 1, 1))
    found = matches.of_category(evaluation(known, [(1, OTHER, 0.9, 1), (1, BOX, 0.8, 1)]), 0)
    assert (found.score.tolist(), found.true.tolist(), found.wanted) == ([0.8], [True], 1)


def test_a_class_that_is_only_a_crowd_is_not_averaged() -> None:
    known = truth((1, BOX, 1, 0), (2, OTHER, 2, 1))
    figures, _ = _figures(evaluation(known, [(1, BOX, 0.9, 1)]), known, {0: 1, 1: 2}, ("ant", "bee"), 0.5)
    assert list(figures.per_class) == ["ant"]
    assert figures.map_50_95 == pytest.approx(1.0)


def test_precision_and_recall_are_of_what_lies_above_the_score() -> None:
    found = prepared([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], 4)
    point = matches.at(found, 0.7)
    assert (point.precision, point.recall) == (0.5, 0.25)
    assert point.f1 == pytest.approx(1 / 3)
    assert matches.at(found, 0.69).recall == 0.5


def test_nothing_found_has_no_precision_and_nothing_wanted_no_recall() -> None:
    point = matches.at(prepared([], [], 3), 0.5)
    assert (point.precision, point.recall, point.f1) == (None, 0.0, 0.0)
    assert matches.at(prepared([0.9], [0], 0), 0.5).recall is None
    assert matches.best_f1(prepared([], [], 3)) is None
    assert matches.best_f1(prepared([0.9], [0], 3)) is None


def test_the_best_score_gives_its_own_figures_when_it_is_set() -> None:
    found = prepared([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0], 2)
    best = matches.best_f1(found)
    assert best is not None
    assert best.score == pytest.approx(0.75)
    assert (best.precision, best.recall, best.f1) == (1.0, 1.0, 1.0)
    assert matches.at(found, best.score) == best


def test_finds_of_one_score_are_reported_together() -> None:
    """The first alone would have F1 1; no threshold tells it from the second."""
    best = matches.best_f1(prepared([0.8, 0.8, 0.3], [1, 0, 0], 1))
    assert best is not None
    assert (best.precision, best.recall) == (0.5, 1.0)
    assert best.f1 == pytest.approx(2 / 3)


def test_categories_are_pooled_best_first() -> None:
    both = matches.pooled([prepared([0.9, 0.2], [1, 0], 1), prepared([0.5], [1], 3)])
    assert (both.score.tolist(), both.true.tolist(), both.wanted) == ([0.9, 0.5, 0.2], [True, True, False], 4)


def test_sizes_have_figures_of_their_own_and_none_where_there_is_no_box() -> None:
    known = truth((1, BOX, 1, 0), (2, LARGE, 1, 0))
    figures, curves = _figures(evaluation(known, [(1, BOX, 0.9, 1)]), known, {0: 1}, ("ant",), 0.5)
    small, medium, large = (figures.sizes[name] for name in ("small", "medium", "large"))
    assert [small.ap, small.ar] == pytest.approx([1.0, 1.0])
    assert (medium.ap, medium.ar, medium.boxes) == (None, None, 0)
    assert (large.ap, large.ar) == (0.0, 0.0)
    assert (small.boxes, large.boxes) == (1, 1)
    assert [figures.ar_1, figures.ar_100] == pytest.approx([0.5, 0.5])
    assert figures.map_50 == pytest.approx(51 / 101)  # half of the recall thresholds are reached
    assert curves["ant"].mean() == pytest.approx(figures.map_50)


def test_nothing_found_is_all_zero() -> None:
    known = truth((1, BOX, 1, 0))
    figures, _ = _figures(evaluation(known, []), known, {0: 1}, ("ant",), 0.5)
    assert (figures.map_50_95, figures.map_75, figures.ar_100, figures.best) == (0.0, 0.0, 0.0, None)
    assert figures.at_score.recall == 0.0


def test_loss_is_over_the_classes_that_both_know() -> None:
    known = truth((1, BOX, 1, 0), (2, OTHER, 2, 0))
    rows = np.array([[1, *BOX, 0.9, 1]])
    reference = evaluate.coco_evaluation(known, rows, [1, 2])  # an ant found, a bee missed: 0.5
    assert _loss(reference, evaluate.coco_evaluation(known, rows, [1])) == pytest.approx(0.0)
    assert _loss(reference, evaluate.coco_evaluation(known, rows[:0], [1, 2])) == pytest.approx(0.5)


def test_shapes_tell_found_missed_and_false_at_the_score() -> None:
    known = truth((1, BOX, 1, 0), (1, OTHER, 1, 0), (2, BOX, 2, 1))
    finds = [(1, BOX, 0.9, 1), (1, OTHER, 0.3, 1), (2, OTHER, 0.8, 1)]
    shapes = _shapes(evaluation(known, finds), {1: "ant", 2: "bee"}, 0.5)
    assert [(item.kind, item.box, item.score) for item in shapes[1]] == [("found", BOX, 0.9), ("missed", OTHER, None)]
    assert [(item.kind, item.box) for item in shapes[2]] == [("false", OTHER)]


def test_pictures_that_are_left_out_take_their_boxes_with_them() -> None:
    left = without(truth((1, BOX, 1, 0), (2, BOX, 1, 0)), {1})
    assert [item.id for item in left.images] == [2]
    assert [item.image_id for item in left.annotations] == [2]
