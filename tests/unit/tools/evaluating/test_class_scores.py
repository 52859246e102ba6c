"""Figures against those of scikit-learn's documentation, and worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass_tools.evaluating import class_scores
from edgemass_tools.evaluating.class_scores import area_under_roc, matrix, summarize


def summary(true: list[int], answer: list[int], classes: int = 3) -> class_scores.Summary:
    return summarize(np.array(true), np.array(answer), np.zeros((len(true), classes), np.float32))


def test_precision_recall_and_f1_are_those_of_a_classification_report() -> None:
    """The example of sklearn.metrics.classification_report."""
    found = summary([0, 1, 2, 2, 2], [0, 0, 2, 2, 1])
    figures = [(item.precision, item.recall, item.f1, item.images) for item in found.per_class.values()]
    assert figures == [
        (0.5, 1.0, pytest.approx(2 / 3), 1),
        (0.0, 0.0, 0.0, 1),
        (1.0, pytest.approx(2 / 3), pytest.approx(0.8), 3),
    ]
    assert found.macro.precision == pytest.approx(0.5)
    assert found.macro.recall == pytest.approx(0.5556, abs=1e-4)
    assert found.macro.f1 == pytest.approx(0.4889, abs=1e-4)
    assert found.weighted.precision == pytest.approx(0.7)
    assert found.weighted.recall == pytest.approx(0.6)
    assert found.weighted.f1 == pytest.approx(0.6133, abs=1e-4)


def test_averages_are_those_of_f1_score() -> None:
    """The example of sklearn.metrics.f1_score."""
    found = summary([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1])
    assert found.macro.f1 == pytest.approx(0.8 / 3)
    assert found.macro.precision == pytest.approx(2 / 9)
    assert found.macro.recall == pytest.approx(1 / 3)


def test_the_area_is_that_of_roc_auc_score() -> None:
    """The example of sklearn.metrics.roc_auc_score."""
    assert area_under_roc(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.75)


def test_ties_count_half() -> None:
    assert area_under_roc(np.array([1, 0, 0, 1], bool), np.full(4, 0.5)) == pytest.approx(0.5)
    assert area_under_roc(np.array([1, 0, 0], bool), np.array([0.5, 0.5, 0.1])) == pytest.approx(0.75)


def test_an_area_needs_both_kinds() -> None:
    assert area_under_roc(np.ones(3, bool), np.arange(3.0)) is None
    assert summary([1, 1], [1, 0]).auc is None


def test_two_classes_have_one_area() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.65, 0.35], [0.2, 0.8]], np.float32)
    found = summarize(np.array([0, 0, 1, 1]), scores.argmax(axis=1), scores)
    assert found.auc == pytest.approx(0.75)
    assert [item.auc for item in found.per_class.values()] == [pytest.approx(0.75)] * 2


def test_a_class_without_pictures_is_not_averaged_but_costs_precision_nowhere() -> None:
    found = summary([0, 0], [0, 2])
    assert list(found.per_class) == [0]
    assert (found.macro.precision, found.macro.recall) == (1.0, 0.5)


def test_no_answer_is_an_answer_of_its_own() -> None:
    found = summary([0, 1], [0, -1])
    assert found.confusion == [(0, 0, 1), (1, -1, 1)]
    assert matrix(found.confusion, [0, 1]).tolist() == [[1, 0, 0], [0, 0, 1]]


def test_the_matrix_has_true_classes_in_rows() -> None:
    found = summary([0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 2, 0])
    assert matrix(found.confusion, [0, 1, 2])[:, :3].tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 2]]
    assert matrix(found.confusion, [0, 1])[1].tolist() == [1, 1, 0]
