from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edgemass.scene._assignment import MAX_EXACT, assign
from edgemass.tensors import IntArray


def best_total(worth: NDArray[np.float64]) -> float:
    """Of a table with 0 for what is no pair, by trying all there is."""
    if worth.shape[0] > worth.shape[1]:
        worth = worth.T
    rows = np.arange(worth.shape[0])
    orders = itertools.permutations(range(worth.shape[1]), worth.shape[0])
    return max(float(worth[rows, list(order)].sum()) for order in orders)


def chosen(worth: NDArray[np.float64]) -> tuple[IntArray, IntArray]:
    left, right = np.nonzero(worth)
    return assign(left, right, worth[left, right])


@pytest.mark.parametrize("seed", range(300))
def test_no_other_choice_is_worth_more(seed: int) -> None:
    random = np.random.default_rng(seed)
    shape = random.integers(1, 7, 2)
    worth = random.integers(1, 12, shape) / 16 if seed % 2 else random.random(shape)  # every other one full of ties
    worth[random.random(shape) < random.random()] = 0
    left, right = chosen(worth)
    assert len(set(left.tolist())) == len(left) == len(right) == len(set(right.tolist()))
    assert np.all(worth[left, right] > 0)
    assert worth[left, right].sum() == pytest.approx(best_total(worth))


def test_a_pair_that_is_best_for_both_steps_back_where_all_gain() -> None:
    left, right = chosen(np.array([[0.60, 0.59], [0.59, 0.0]]))
    assert sorted(zip(left.tolist(), right.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_a_heap_too_large_to_solve_is_still_paired_off() -> None:
    random = np.random.default_rng(0)
    side = 4 * round(MAX_EXACT**0.5)
    worth = 0.8 + 0.1 * random.random((side, side))
    left, right = chosen(worth)
    assert sorted(left.tolist()) == sorted(right.tolist()) == list(range(side))


def test_nothing_pairs_with_nothing() -> None:
    left, right = chosen(np.zeros((3, 0)))
    assert len(left) == len(right) == 0
