from __future__ import annotations

import numpy as np
import pytest

from edgemass.frame import Luma
from edgemass.scene._blocks import blocks_of
from edgemass.scene._look import SAMPLE, change, grid_shape, take_look


def noise(shape: tuple[int, int], sigma: float, seed: int = 1, level: float = 100) -> Luma:
    return np.asarray(np.clip(np.random.default_rng(seed).normal(level, sigma, shape), 0, 255), np.uint8)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 1000), (1000, 1), (2, 3), (64, 48), (240, 320), (720, 1280), (1080, 1920), (2448, 3264)]
)
def test_a_picture_of_any_size_is_looked_at_within_bounds(shape: tuple[int, int]) -> None:
    look = take_look(noise(shape, 5))
    assert max(look.sample.shape) <= SAMPLE
    assert look.grid.shape == grid_shape(*shape)
    assert look.steps.shape == blocks_of(look.grid.shape)
    assert look.grid.size <= 8000
    assert np.isfinite(look.steps).all()
    assert change(look, take_look(noise(shape, 5, seed=2))).places <= 1


def test_a_turned_view_of_a_picture_is_looked_at_as_its_copy_would_be() -> None:
    luma = noise((480, 640), 20)
    turned, copied = take_look(np.rot90(luma)), take_look(np.rot90(luma).copy())
    assert (turned.grid == copied.grid).all()
    assert (turned.steps == copied.steps).all()


def test_numbers_are_those_of_the_picture() -> None:
    luma = np.full((720, 1280), 50, np.uint8)
    luma[:, 640:] = 250
    look = take_look(luma)
    assert look.level == pytest.approx(150, abs=1)
    assert look.saturated == pytest.approx(0.5, abs=0.01)
    assert look.light_end == pytest.approx(250, abs=1)
    assert look.grid[:, 0].tolist() == [50.0] * look.grid.shape[0]
    assert look.grid[:, -1].tolist() == [250.0] * look.grid.shape[0]


def test_steps_of_noise_are_four_times_its_variance() -> None:
    look = take_look(noise((720, 1280), 5))
    assert look.steps.mean() == pytest.approx(4 * 25, rel=0.05)


def test_noise_is_told_from_two_looks_though_half_of_the_picture_moves() -> None:
    before, now = noise((720, 1280), 4, 1), noise((720, 1280), 4, 2)
    now[:, :500] = 200
    changed = change(take_look(before), take_look(now))
    assert changed.noise == pytest.approx(4 * 2**0.5, rel=0.5)
    assert changed.places == 1


def test_the_same_picture_has_not_changed_and_rounding_is_no_change() -> None:
    luma = noise((720, 1280), 4)
    assert change(take_look(luma), take_look(luma)).places == 0
    assert change(take_look(luma), take_look(np.asarray(luma + 1, np.uint8))).places == 0


def test_one_place_that_changes_is_counted_once() -> None:
    before = np.full((180, 320), 100, np.uint8)
    now = before.copy()
    now[80, 80] = 103
    places = (180 // 8) * (320 // 8)
    assert change(take_look(before), take_look(now)).places == pytest.approx(1 / places)
