from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass.scene.objects import STEP, TAIL_POINTS, SceneObject

places = st.tuples(st.floats(0, 1), st.floats(0, 1))


def thing() -> SceneObject:
    return SceneObject(1, 0, "person", 0, (0.4, 0.4, 0.6, 0.8), deque(maxlen=5))


@settings(max_examples=100)
@given(st.lists(places, max_size=300), st.integers(2, 12))
def test_a_path_is_never_longer_than_was_asked_and_keeps_its_order(way: list[tuple[float, float]], most: int) -> None:
    walker = thing()
    for place in way:
        walker.walk(place, most)
        assert len(walker.path) <= most
    later = iter(way)
    assert all(place in later for place in walker.path)  # `in` goes on from the one that it found
    assert list(walker.tail) == way[-TAIL_POINTS:]
    if way:
        assert walker.path[0] == way[0]


def test_a_path_spans_a_long_way_from_its_first_place_to_near_its_last() -> None:
    walker = thing()
    for step in range(1001):
        walker.walk((step / 1000, 0.5), 16)
    assert 8 <= len(walker.path) <= 16
    assert walker.path[0] == (0.0, 0.5)
    assert walker.path[-1][0] > 0.85


def test_who_stands_adds_nothing_to_a_path() -> None:
    walker = thing()
    for step in range(1000):
        walker.walk((0.5 + step % 3 * STEP / 4, 0.5), 16)
    assert len(walker.path) == 1


def test_a_picture_is_worth_more_the_surer_the_larger_and_the_less_cut_off() -> None:
    walker = thing()
    walker.score = 0.5
    plain = walker.worth
    walker.score = 0.9
    assert walker.worth > plain
    sure = walker.worth
    walker.box = (0.3, 0.2, 0.7, 0.9)
    assert walker.worth > sure
    whole = walker.worth
    walker.box = (0.3, 0.3, 0.7, 1.0)
    assert walker.worth < whole
