from __future__ import annotations

import itertools

import numpy as np
import pytest

from edgemass.frame import Image
from edgemass.imaging.draw import annotate, class_colour, draw_classes, draw_detections
from edgemass.messages import ClassScore, Detection
from tests.documents import classification, detections

SIZES = [(64, 48), (640, 480), (1920, 1080), (480, 640)]


def plain(width: int, height: int, grey: int) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def changed(before: Image, after: Image) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    difference: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = (before != after).any(axis=2)
    return difference


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_boxes_are_drawn_on_a_copy_where_they_are_and_can_be_seen(size: tuple[int, int], grey: int) -> None:
    width, height = size
    image = plain(width, height, grey)
    drawn = draw_detections(image, [Detection("person", 0, 0.9, (0.25, 0.5, 0.75, 0.9))])
    assert (image == grey).all()
    rows, columns = np.nonzero(changed(image, drawn))
    slack = max(4, (width + height) // 100)
    assert abs(rows.max() - 0.9 * height) <= slack
    assert abs(columns.min() - 0.25 * width) <= slack
    # On every line of the box something is far from the ground.
    edge = drawn[height * 7 // 10, width // 4 - slack : width // 4 + slack].astype(int)
    assert np.abs(edge - grey).max() > 100


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (0, 0, 0.01, 0.01), (0.99, 0.99, 1, 1), (0.5, 0.5, 0.5, 0.5)])
@pytest.mark.parametrize("size", [(16, 8), *SIZES])
def test_any_box_of_any_frame_can_be_drawn(size: tuple[int, int], box: tuple[float, float, float, float]) -> None:
    image = plain(*size, 128)
    drawn = draw_detections(image, [Detection("a label longer than the picture is wide", 3, 1.0, box, track_id=12)])
    assert drawn.shape == image.shape
    assert changed(image, drawn).any()


def test_lines_are_thicker_on_larger_frames() -> None:
    def pixels_of_left_edge(width: int, height: int) -> int:
        image = plain(width, height, 128)
        drawn = draw_detections(image, [Detection("x", 0, 0.5, (0.5, 0.1, 0.9, 0.9))])
        return int(changed(image, drawn)[height * 6 // 10, : width * 7 // 10].sum())

    assert pixels_of_left_edge(320, 240) < pixels_of_left_edge(1280, 720) < pixels_of_left_edge(3840, 2160)


def test_the_label_of_a_box_at_the_upper_rim_stays_inside() -> None:
    image = plain(640, 480, 255)
    at_rim = draw_detections(image, [Detection("person", 0, 0.9, (0.1, 0.0, 0.5, 0.9))])
    lower = draw_detections(image, [Detection("person", 0, 0.9, (0.1, 0.2, 0.5, 0.9))])
    inside = (slice(4, 100), slice(68, 200))
    assert changed(image, at_rim)[inside].sum() > 100
    above = (slice(60, 92), slice(68, 200))  # the box begins at y = 96
    assert changed(image, lower)[above].sum() > 100


def test_the_surest_box_lies_on_top() -> None:
    box = (0.2, 0.3, 0.8, 0.8)
    sure, unsure = Detection("a", 1, 0.9, box), Detection("b", 2, 0.3, box)
    for order in ([sure, unsure], [unsure, sure]):
        drawn = draw_detections(plain(640, 480, 0), order)
        assert tuple(drawn[300, round(0.2 * 639)]) == class_colour(1)


def test_a_class_keeps_its_colour_and_neighbours_differ() -> None:
    colours = [class_colour(class_id) for class_id in range(20)]
    assert colours == [class_colour(class_id) for class_id in range(20)]
    for one, other in itertools.pairwise(colours):
        assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 100


def test_classes_are_a_caption_one_line_each() -> None:
    image = plain(640, 480, 128)
    one = changed(image, draw_classes(image, [ClassScore("tabby", 281, 0.83)]))
    two = changed(image, draw_classes(image, [ClassScore("tabby", 281, 0.83), ClassScore("lynx", 287, 0.1)]))
    assert np.nonzero(one)[0].max() < np.nonzero(two)[0].max() < 100


def test_labels_beyond_ascii_can_be_drawn() -> None:
    image = plain(640, 480, 128)
    assert changed(image, draw_detections(image, [Detection("Tür 门", 0, 0.5, (0.2, 0.2, 0.8, 0.8))])).any()


def test_a_document_is_drawn_as_what_it_is() -> None:
    image = plain(640, 480, 128)
    boxes = annotate(image, detections("person"))
    assert np.array_equal(boxes, draw_detections(image, detections("person").detections))
    classes = annotate(image, classification("tabby"))
    assert np.array_equal(classes, draw_classes(image, classification("tabby").classes))
    assert np.array_equal(annotate(image, detections()), image)
