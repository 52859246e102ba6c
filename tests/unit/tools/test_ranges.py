"""The choice of a range from counts; what counts them needs a runtime and is tested in tests/models."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra onnx enables this")
pytest.importorskip("onnx", reason="the extra import enables this")

from edgemass_tools.int8 import ranges


def counts(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """In bins from -8 to 8."""
    return np.histogram(values, ranges.BINS, (-8, 8))[0].astype(np.int64)


def real(limits: tuple[int, int]) -> tuple[float, float]:
    return (limits[0] / ranges.BINS * 16 - 8, limits[1] / ranges.BINS * 16 - 8)


def test_a_percentile_drops_what_is_rarer_than_it_keeps() -> None:
    found = counts(np.linspace(-2, 2, 1_000_000))
    found[-1] = 3  # of a million
    low, high = real(ranges._percentile(found))
    assert low == pytest.approx(-2, abs=0.01)
    assert high == pytest.approx(2, abs=0.01)


def test_a_percentile_keeps_what_is_common() -> None:
    found = counts(np.linspace(-2, 2, 1_000_000))
    found[-1] = 50
    assert ranges._percentile(found)[1] == ranges.BINS


def test_entropy_narrows_a_range_with_long_thin_ends() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.5, 200_000), [-7.9, 7.9]])
    low, high = real(ranges._entropy(counts(values)))
    assert -6 < low < -1
    assert 1 < high < 6


def test_entropy_keeps_all_of_evenly_spread_values() -> None:
    low, high = real(ranges._entropy(counts(np.linspace(-8, 7.99, 100_000))))
    assert low < -7.8
    assert high > 7.8


@pytest.mark.parametrize("cut", [ranges._percentile, ranges._entropy])
def test_a_tensor_of_one_value_has_a_range(cut: object) -> None:
    found = np.zeros(ranges.BINS, np.int64)
    found[0] = 10
    assert callable(cut)
    first, last = cut(found)
    assert 0 <= first < last <= ranges.BINS
