from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass.config.shapes import check_polygon
from edgemass.scene.geometry import Polygon, Polyline, anchor_points

places = st.tuples(st.floats(0, 1), st.floats(0, 1))


def inside(polygon: Polygon, x: float, y: float) -> bool:
    return bool(polygon.holds(np.array([[x, y]]))[0])


def test_anchors_are_the_middle_of_the_upper_edge_of_the_box_and_of_the_lower_edge() -> None:
    box = np.array([[0.2, 0.1, 0.4, 0.5]])
    assert anchor_points(box, "top").tolist() == pytest.approx(np.array([[0.3, 0.1]]))
    assert anchor_points(box, "centre").tolist() == pytest.approx(np.array([[0.3, 0.3]]))
    assert anchor_points(box, "bottom").tolist() == pytest.approx(np.array([[0.3, 0.5]]))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.floats(0, 2 * math.pi), st.floats(0.1, 0.5)), min_size=3, max_size=12), places)
def test_a_star_shaped_zone_holds_what_lies_nearer_to_its_middle_than_its_side(
    rays: list[tuple[float, float]], place: tuple[float, float]
) -> None:
    """Held against another rule than even-odd: the triangle of the middle and one side that the place lies in."""
    rays = sorted(rays)
    angles = [angle for angle, _ in rays]
    gaps = np.diff([*angles, angles[0] + 2 * math.pi])
    if gaps.min() < 0.05 or gaps.max() > 3.0:
        return
    corners = [(0.5 + reach * math.cos(angle), 0.5 + reach * math.sin(angle)) for angle, reach in rays]
    sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    ways = [(b[0] - a[0]) * (place[1] - a[1]) - (b[1] - a[1]) * (place[0] - a[0]) for a, b in sides]
    if min(map(abs, ways)) < 1e-6:
        return  # on a side, where both answers are right
    angle = math.atan2(place[1] - 0.5, place[0] - 0.5) % (2 * math.pi)
    side = sum(angle >= other for other in angles) - 1
    assert inside(Polygon(corners), *place) == (ways[side] > 0)


@settings(max_examples=100)
@given(places)
def test_two_zones_that_share_a_side_leave_nothing_between_them_and_share_nothing(place: tuple[float, float]) -> None:
    left, right = Polygon([(0, 0), (0.4, 0), (0.6, 1), (0, 1)]), Polygon([(0.4, 0), (1, 0), (1, 1), (0.6, 1)])
    assert inside(left, *place) + inside(right, *place) == 1


@pytest.mark.parametrize("place", [(0, 0), (1, 0), (0.5, 1.0), (1.0, 1.0), (0.5, 1.000001), (-0.001, 0.5)])
def test_the_whole_frame_holds_what_is_cut_off_by_its_rim(place: tuple[float, float]) -> None:
    assert inside(Polygon([(0, 0), (1, 0), (1, 1), (0, 1)]), *place)


def test_a_side_that_is_nearly_level_is_like_a_level_one() -> None:
    polygon = Polygon([(0, 0), (1, 5e-324), (1, 1), (0, 1)])
    points = np.random.default_rng(0).random((500, 2))
    assert polygon.holds(points).all()


def test_a_ring_that_is_closed_by_its_first_corner_is_the_same_zone() -> None:
    corners = [(0.2, 0.2), (0.8, 0.3), (0.5, 0.9)]
    check_polygon([*corners, corners[0]])
    points = np.random.default_rng(0).random((500, 2))
    assert np.array_equal(Polygon(corners).holds(points), Polygon([*corners, corners[0]]).holds(points))


def test_a_line_is_crossed_from_left_to_right_of_who_walks_it_and_back() -> None:
    line = Polyline([(0.5, 0), (0.5, 1)])  # walked downwards: the right hand is at the left of the picture
    assert line.crossed((0.6, 0.5), (0.4, 0.5)) == 1
    assert line.crossed((0.4, 0.5), (0.6, 0.5)) == -1
    assert line.crossed((0.4, 0.2), (0.4, 0.9)) == 0
    assert Polyline([(0.5, 1), (0.5, 0)]).crossed((0.6, 0.5), (0.4, 0.5)) == -1


def test_who_goes_around_the_end_of_a_line_does_not_cross_it() -> None:
    line = Polyline([(0.5, 0.0), (0.5, 0.5)])
    way = [(0.4, 0.4), (0.4, 0.7), (0.6, 0.7), (0.6, 0.4)]
    assert [line.crossed(*step) for step in pairwise(way)] == [0, 0, 0]


@settings(max_examples=200)
@given(places, places)
def test_a_line_with_a_needless_corner_is_crossed_as_the_straight_one(
    before: tuple[float, float], after: tuple[float, float]
) -> None:
    straight, bent = Polyline([(0.5, -1.0), (0.5, 2.0)]), Polyline([(0.5, -1.0), (0.5, 0.25), (0.5, 0.5), (0.5, 2.0)])
    assert straight.crossed(before, after) == bent.crossed(before, after)
    assert straight.crossed(before, after) == -straight.crossed(after, before)


@settings(max_examples=100)
@given(st.lists(places, min_size=2, max_size=20))
def test_crossings_of_a_whole_way_add_up_to_the_sides_of_its_ends(way: list[tuple[float, float]]) -> None:
    line = Polyline([(-1.0, 0.5), (2.0, 0.5)])
    total = sum(line.crossed(*step) for step in pairwise(way))
    assert total == (way[-1][1] > 0.5) - (way[0][1] > 0.5)


def test_distance_from_a_line_is_in_sides_of_the_box() -> None:
    line = Polyline([(0.5, 0), (0.5, 0.5)])
    points, sizes = np.array([[0.6, 0.25], [0.6, 0.25], [0.5, 0.8]]), np.array([[0.1, 0.2], [0.2, 0.2], [0.1, 0.1]])
    assert line.distances(points, sizes).tolist() == pytest.approx([1.0, 0.5, 3.0])
