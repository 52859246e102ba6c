from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.imaging.orient import Orientation
from edgemass.scene.geometry import Polygon

fractions = st.floats(0, 1, allow_nan=False)
spans = st.tuples(fractions, fractions).filter(lambda span: span[0] < span[1])
crops = st.one_of(st.none(), st.tuples(spans, spans).map(lambda both: (both[0][0], both[1][0], both[0][1], both[1][1])))
rotations = st.sampled_from([0, 90, 180, 270])


def numbered(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A picture in which every pixel has another value."""
    count = np.arange(width * height * 3) % 251
    return count.reshape(height, width, 3).astype(np.uint8)


@given(rotations, crops, st.integers(1, 40), st.integers(1, 40))
def test_the_size_told_is_the_size_made(
    rotate: int, crop: tuple[float, float, float, float] | None, width: int, height: int
) -> None:
    orientation = Orientation(rotate, crop)
    made_height, made_width, _ = orientation.apply(numbered(width, height)).shape
    assert orientation.size(width, height) == (made_width, made_height)
    assert made_width >= 1
    assert made_height >= 1


@given(rotations)
def test_turning_on_to_a_full_circle_gives_the_picture_back(rotate: int) -> None:
    image = numbered(7, 5)
    back = Orientation((360 - rotate) % 360).apply(Orientation(rotate).apply(image))
    np.testing.assert_array_equal(back, image)


def test_rotation_is_clockwise() -> None:
    image = numbered(3, 2)
    turned = Orientation(90).apply(image)
    np.testing.assert_array_equal(turned[0, -1], image[0, 0])  # top left goes to top right
    np.testing.assert_array_equal(turned, np.rot90(image, -1))


def test_the_crop_is_of_the_picture_before_rotation() -> None:
    image = numbered(10, 8)
    turned = Orientation(90, (0.5, 0.0, 1.0, 0.25)).apply(image)
    np.testing.assert_array_equal(turned, np.rot90(image[0:2, 5:10], -1))


def test_nothing_to_do_is_known() -> None:
    assert not Orientation().changes
    assert Orientation(180).changes
    assert Orientation(0, (0, 0, 1, 0.5)).changes


@pytest.mark.parametrize(
    ("rotate", "crop", "words"),
    [
        (45, None, "rotate must be 0, 90, 180 or 270 degrees, got 45"),
        (0, (0.5, 0, 0.5, 1), "crop must be"),
        (0, (0, 0, 1.1, 1), "crop must be"),
    ],
)
def test_what_makes_no_picture_is_refused(
    rotate: int, crop: tuple[float, float, float, float] | None, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Orientation(rotate, crop)


@given(rotations, crops, st.integers(1, 40), st.integers(1, 40))
def test_brightness_is_turned_as_the_picture_is_but_never_copied(
    rotate: int, crop: tuple[float, float, float, float] | None, width: int, height: int
) -> None:
    orientation = Orientation(rotate, crop)
    image = numbered(width, height)
    luma = image[:, :, 1]
    view = orientation.view(luma)
    np.testing.assert_array_equal(view, orientation.apply(image)[:, :, 1])
    assert np.shares_memory(view, luma)


corners = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.lists(corners, min_size=3, max_size=6), st.integers(4, 60), st.integers(4, 60))
def test_no_pixel_whose_middle_lies_under_a_mask_is_left(
    mask: list[tuple[float, float]], width: int, height: int
) -> None:
    seen = Orientation(masks=(tuple(mask),)).apply(np.full((height, width, 3), 200, np.uint8))
    y, x = np.divmod(np.arange(width * height), width)
    hidden = Polygon(mask).holds(np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=1)).reshape(height, width)
    assert not seen[hidden].any()


@pytest.mark.parametrize("edge", np.linspace(0.2, 0.8, 25).tolist())
def test_a_pixel_that_a_mask_covers_only_in_part_is_black(edge: float) -> None:
    """A mask of the left part, and one of the upper part, that end within a pixel."""
    image = np.full((31, 37, 3), 200, np.uint8)
    left = Orientation(masks=(((0, 0), (edge, 0), (edge, 1), (0, 1)),)).apply(image)
    upper = Orientation(masks=(((0, 0), (1, 0), (1, edge), (0, edge)),)).apply(image)
    assert not left[:, : int(np.ceil(edge * 37))].any()
    assert not upper[: int(np.ceil(edge * 31))].any()
    assert left[:, int(edge * 37) + 4 :].all()
    assert upper[int(edge * 31) + 4 :].all()


def test_masks_that_lie_over_each_other_leave_no_hole_and_the_picture_that_came_in_is_left_alone() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    half: tuple[tuple[float, float], ...] = ((0, 0), (0.6, 0), (0.6, 1), (0, 1))
    seen = Orientation(masks=(half, half)).apply(image)
    assert not seen[:, :12].any()
    assert image.all()


def test_masks_are_places_of_the_picture_after_crop_and_rotation() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    seen = Orientation(90, (0.0, 0.0, 0.5, 1.0), (((0, 0), (1, 0), (1, 0.5), (0, 0.5)),)).apply(image)
    assert seen.shape == (20, 20, 3)
    assert not seen[:10].any()
    assert seen[13:].all()
