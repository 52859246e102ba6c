"""Promises of composed pictures: boxes stay on their objects, the same numbers give the same picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgemass.frame import Image
from edgemass_tools.data import drawn
from edgemass_tools.data.augment import PLAIN, Augment, compose
from edgemass_tools.data.coco import Objects

SIZE = (160, 128)


def red_square() -> tuple[Image, Objects]:
    image = np.zeros((96, 128, 3), np.uint8)
    image[30:60, 40:90] = (0, 0, 255)
    box = np.array([[40, 30, 90, 60]], np.float32)
    return image, Objects(box, np.zeros(1, np.int64), np.ones(1, np.float32), np.zeros(1, bool))


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_stay_where_their_objects_are_drawn(mosaic: float, seed: int) -> None:
    augment = Augment(mosaic=mosaic, empty=0.0, recolor=0.0, grey=0.0, blur=0.0)
    image, objects = compose(red_square, SIZE, augment, np.random.default_rng(seed))
    assert image.shape == (SIZE[1], SIZE[0], 3)
    for x1, y1, x2, y2 in objects.xyxy[~objects.ignore]:
        inside = image[int(np.ceil(y1)) + 1 : int(y2) - 1, int(np.ceil(x1)) + 1 : int(x2) - 1].reshape(-1, 3)
        red = (inside[:, 2] > 150) & (inside[:, 0] < 100)
        assert len(inside) == 0 or red.mean() > 0.9


def test_boxes_lie_within_the_picture() -> None:
    for seed in range(30):
        _, objects = compose(red_square, SIZE, Augment(), np.random.default_rng(seed))
        assert (objects.xyxy >= 0).all()
        assert (objects.xyxy <= np.array([*SIZE, *SIZE])).all()
        assert (objects.xyxy[:, 2:] > objects.xyxy[:, :2]).all()


def test_the_same_numbers_give_the_same_picture() -> None:
    pictures = [compose(red_square, SIZE, Augment(), np.random.default_rng(5)) for _ in range(2)]
    assert np.array_equal(pictures[0][0], pictures[1][0])
    assert np.array_equal(pictures[0][1].xyxy, pictures[1][1].xyxy)


def test_the_last_epochs_show_whole_pictures() -> None:
    for seed in range(10):
        _, objects = compose(red_square, SIZE, PLAIN, np.random.default_rng(seed))
        assert len(objects.class_id) == 1


def test_drawn_figures_fill_their_boxes() -> None:
    for seed in range(12):
        image, boxes = drawn.draw(drawn.SIZE, np.random.default_rng(seed))
        for x1, y1, x2, y2 in boxes:
            assert 0 <= x1 < x2 <= image.shape[1]
            assert 0 <= y1 < y2 <= image.shape[0]
