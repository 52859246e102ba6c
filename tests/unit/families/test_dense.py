"""Choosing candidates of a dense head: the same answer whatever the memory order and however many pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.families import _dense
from edgemass.families._dense import corners, first_columns, pick
from edgemass.tensors import AnyArray, Quantization, Tensor


def textbook(real: AnyArray, threshold: float, *, multi_label: bool) -> list[tuple[int, int, float]]:
    found = []
    for row, scores in enumerate(real.tolist()):
        passed = [(score, -number) for number, score in enumerate(scores) if score > threshold]
        for score, number in sorted(passed, key=lambda item: -item[1]) if multi_label else sorted(passed)[-1:]:
            found.append((row, -number, score))
    return found


def picked(scores: Tensor, threshold: float, *, multi_label: bool) -> list[tuple[int, int, float]]:
    found = pick(scores, threshold, multi_label=multi_label)
    return list(zip(found.row.tolist(), found.class_id.tolist(), found.score.tolist(), strict=True))


@given(
    st.integers(1, 2000),
    st.integers(1, 12),
    st.integers(0, 2**32),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.booleans(),
    st.booleans(),
)
def test_both_memory_orders_give_what_a_loop_gives(
    rows: int, classes: int, seed: int, nan: float, by_class: bool, multi_label: bool
) -> None:
    rng = np.random.default_rng(seed)
    real = rng.integers(0, 8, (rows, classes)).astype(np.float32) / 8  # many ties
    real[rng.random(real.shape) < nan] = np.nan
    data = np.asfortranarray(real) if by_class else real
    found = picked(Tensor(data), 0.25, multi_label=multi_label)
    assert found == textbook(real, 0.25, multi_label=multi_label)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integers_are_compared_as_they_are_stored(dtype: str, multi_label: bool) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max, (1500, 6), dtype, endpoint=True)
    scores = Tensor(np.asfortranarray(stored), Quantization(1 / 256, limits.min))
    assert picked(scores, 0.4, multi_label=multi_label) == textbook(scores.real(), 0.4, multi_label=multi_label)


def test_of_very_many_pairs_the_best_are_kept_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dense, "MOST_CANDIDATES", 50)
    real = np.random.default_rng(0).permutation(np.linspace(0, 1, 2000, dtype=np.float32)).reshape(400, 5)
    found = picked(Tensor(np.asfortranarray(real)), 0.1, multi_label=True)
    assert sorted(score for _, _, score in found) == np.sort(real, axis=None)[-50:].tolist()
    assert found == sorted(found)


@pytest.mark.parametrize("order", ["C", "F"])
def test_first_columns_of_rows_are_the_same_in_both_memory_orders(order: str) -> None:
    table = np.arange(70, dtype=np.float32).reshape(10, 7)
    ordered = np.asfortranarray(table) if order == "F" else table
    assert first_columns(Tensor(ordered), np.array([3, 1]), 4).tolist() == table[[3, 1], :4].tolist()


def test_corners_lie_half_a_size_from_the_centre() -> None:
    boxes = np.array([[10, 20, 4, 8], [0, 0, 2, 2]], np.float32)
    assert corners(boxes).tolist() == [[8, 16, 12, 24], [-1, -1, 1, 1]]
