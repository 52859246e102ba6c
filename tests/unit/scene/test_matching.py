"""Blocks of small pictures: what is the same, what has moved by how much, and what there is to be seen at all."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.scene._blocks import BLOCK, Grid, averaged, blocks_of, detail, mean_of_blocks
from edgemass.scene._matching import broadly_alike, compare, structure, textured

ROWS, COLUMNS = 63, 112
MARGIN = 12


def scene(seed: int = 1, *, right: int = 0, down: int = 0) -> Grid:
    """Spots of all sizes, seen so many cells further to the right and down."""
    rng = np.random.default_rng(seed)
    whole = np.full((ROWS + 2 * MARGIN, COLUMNS + 2 * MARGIN), 110, np.float32)
    for size in (2, 4, 8):
        spots = rng.normal(0, 20, (-(-whole.shape[0] // size), -(-whole.shape[1] // size)))
        whole += np.kron(spots, np.ones((size, size)))[: whole.shape[0], : whole.shape[1]].astype(np.float32)
    top, left = MARGIN - down, MARGIN - right
    return np.ascontiguousarray(whole[top : top + ROWS, left : left + COLUMNS])


def test_means_and_powers_of_blocks_are_those_of_their_cells() -> None:
    grid = scene()
    seen = detail(grid)
    for row, column in ((0, 0), (3, 5), (6, 11)):
        block = seen.cells[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
        assert seen.mean[row, column] == pytest.approx(block.mean(), abs=1e-3)
        assert seen.power[row, column] == pytest.approx(block.var(), rel=1e-3)
    assert mean_of_blocks(grid).shape == blocks_of(grid.shape) == (7, 12)


@pytest.mark.parametrize("shape", [(1, 1), (8, 200), (200, 8)])
def test_a_picture_smaller_than_a_block_has_none_and_nothing_to_compare(shape: tuple[int, int]) -> None:
    seen = detail(np.zeros(shape, np.float32))
    assert seen.power.size == 0
    assert structure(seen, 1.0) == 0
    assert compare(seen, seen, 1.0).blocks == 0
    assert averaged(np.zeros(shape, np.float32), (0, 3)).shape == (0, 3)


def test_a_view_is_the_same_as_itself_under_noise_and_another_light() -> None:
    before, noise = scene(), np.random.default_rng(2).normal(0, 2, (ROWS, COLUMNS)).astype(np.float32)
    match = compare(detail(before), detail(before * np.float32(0.5) + 30 + noise), 2.0)
    assert match.same > 0.95
    assert match.displaced == 0


@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -4), (-5, 2), (11, 7)])
def test_a_camera_that_was_moved_is_found_elsewhere_by_as_much(right: int, down: int) -> None:
    match = compare(detail(scene()), detail(scene(right=right, down=down)), 1.0)
    assert match.same < 0.25
    assert match.displaced > 0.5
    assert match.right * COLUMNS == pytest.approx(right, abs=0.5)
    assert match.down * ROWS == pytest.approx(down, abs=0.5)


def test_what_sways_by_a_cell_has_not_moved() -> None:
    assert compare(detail(scene()), detail(scene(right=1)), 1.0).displaced < 0.1


def test_another_view_is_neither_the_same_nor_found_elsewhere() -> None:
    match = compare(detail(scene(1)), detail(scene(2)), 1.0)
    assert match.same < 0.25
    assert match.displaced < 0.25


def test_what_stands_before_a_third_leaves_the_rest_as_it_was() -> None:
    before, now = scene(), scene()
    now[:, : COLUMNS // 3] = 80
    match = compare(detail(before), detail(now), 1.0)
    assert 0.55 < match.same < 0.8
    assert match.displaced < 0.25


def test_noise_alone_is_no_structure_and_tells_no_block_from_another() -> None:
    noise = np.random.default_rng(3).normal(90, 3, (ROWS, COLUMNS)).astype(np.float32)
    seen = detail(noise)
    assert structure(seen, 3.0) == 0
    assert not textured(seen, 3.0).any()
    assert structure(detail(scene()), 3.0) == 1


def test_a_blurred_view_is_broadly_alike_and_a_flat_one_is_not() -> None:
    import cv2

    before = scene()
    blurred = np.asarray(cv2.GaussianBlur(before, (0, 0), 3), np.float32)
    flat = np.random.default_rng(4).normal(90, 1, before.shape).astype(np.float32)
    assert broadly_alike(before, blurred) > 0.8
    assert broadly_alike(before, flat) < 0.4
    assert broadly_alike(before, np.full_like(before, 90)) == pytest.approx(0, abs=1e-3)
