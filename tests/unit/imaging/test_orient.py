from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.imaging.orient import Orientation

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
