"""Line counts of what walks, turns back and stands, as a scene tells them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.simulators.walkers import (
    FLICKERING,
    LABELS,
    PERFECT,
    PERSON,
    Detector,
    Thing,
    Watched,
    check_story,
    config,
    frames,
    parked,
    person,
    stand,
    walk,
)

GATE = {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}}


def watch(
    things: list[Thing], seconds: float = 20.0, *, line: Mapping[str, object] | None = None, **how: object
) -> Watched:
    lines = {"gate": {**GATE["gate"], **(line or {})}}
    watched = Watched(config(lines=lines)).run(frames(things, seconds, **how))  # type: ignore[arg-type]
    watched.close()
    check_story(watched.told)
    return watched


def ways(watched: Watched) -> list[str]:
    return [said.direction for said in watched.events("line")]


def people_both_ways(seed: int, most: int) -> tuple[list[Thing], dict[str, int]]:
    """One after the other, each in a lane of their own for the time that they need."""
    rng = np.random.default_rng(seed)
    things, wanted = [], {"in": 0, "out": 0}
    second = 1.0
    for _ in range(most):
        takes, y = rng.uniform(6, 12), rng.uniform(0.4, 0.9)
        left = bool(rng.random() < 0.5)
        start, end = (0.1, 0.9) if left else (0.9, 0.1)
        things.append(person((start, y), (end, y), since=second, until=second + takes))
        wanted["out" if left else "in"] += 1  # who walks the line downwards has the left of the picture at the right
        second += takes + 4
    return things, wanted


@pytest.mark.parametrize(("detector", "fps"), [(PERFECT, 10.0), (FLICKERING, 10.0), (FLICKERING, 25.0)])
def test_walkers_are_counted_exactly_in_both_directions(detector: Detector, fps: float) -> None:
    things, wanted = people_both_ways(seed=3, most=12)
    watched = watch(things, 190, detector=detector, fps=fps, seed=7)
    assert {way: ways(watched).count(way) for way in ("in", "out")} == wanted
    assert watched.counts[-1].lines == {"gate": {way: {"person": count} for way, count in wanted.items()}}


def test_frames_that_are_dropped_cost_no_crossing() -> None:
    things, wanted = people_both_ways(seed=5, most=8)
    watched = watch(things, 130, detector=Detector(jitter=0.02), fps=15, drops=0.6, seed=1)
    assert {way: ways(watched).count(way) for way in ("in", "out")} == wanted


def test_flip_turns_in_and_out_round() -> None:
    things = [person((0.1, 0.8), (0.9, 0.8), until=8)]
    assert ways(watch(things)) == ["out"]
    assert ways(watch(things, line={"flip": True})) == ["in"]


def test_who_turns_back_on_the_line_is_not_counted() -> None:
    things = [person((0.1, 0.8), (0.5, 0.8), (0.1, 0.8), until=10)]
    assert ways(watch(things, detector=Detector(jitter=0.03))) == []


def test_who_goes_over_and_comes_back_is_counted_both_ways() -> None:
    things = [person((0.1, 0.8), (0.9, 0.8), (0.1, 0.8), until=16)]
    assert ways(watch(things, detector=Detector(jitter=0.03))) == ["out", "in"]


@pytest.mark.parametrize("seed", range(4))
def test_who_stands_on_the_line_is_not_counted_however_the_box_wobbles(seed: int) -> None:
    things = [Thing(PERSON, stand((0.5, 0.8), size=(0.06, 0.3)))]
    watched = watch(things, 120, detector=Detector(misses=0.3, jitter=0.03, doubt=0.05), seed=seed)
    assert ways(watched) == []


def test_who_stops_on_the_line_and_goes_on_is_counted_once() -> None:
    to, off = (
        (walk([(0.1, 0.8), (0.5, 0.8)], since=0, until=4, size=(0.06, 0.3))),
        walk([(0.5, 0.8), (0.9, 0.8)], since=34, until=38, size=(0.06, 0.3)),
    )
    wait = stand((0.5, 0.8), since=4, until=34, size=(0.06, 0.3))
    things = [Thing(PERSON, lambda second: to(second) or wait(second) or off(second))]
    assert ways(watch(things, 45, detector=Detector(jitter=0.03))) == ["out"]


def test_a_crossing_names_its_object_and_is_over_at_once() -> None:
    watched = watch([person((0.1, 0.8), (0.9, 0.8), until=8)])
    (crossing,) = watched.events("line")
    (new,) = watched.events("object", "new")
    assert (crossing.type, crossing.line, crossing.object, crossing.label) == ("end", "gate", new.number, "person")


def test_only_what_the_line_asks_for_is_counted() -> None:
    both = [
        person((0.1, 0.8), (0.9, 0.8), until=8),
        Thing(1, walk([(0.9, 0.4), (0.1, 0.4)], since=0, until=8, size=(0.2, 0.2))),
    ]
    assert [said.label for said in watch(both, line={"labels": ["car"]}).events("line")] == ["car"]
    assert [said.label for said in watch(both, line={"max_area": 0.03}).events("line")] == ["person"]
    assert [said.label for said in watch(both, line={"min_ratio": 1.0}).events("line")] == ["car"]
    assert ways(watch(both, line={"min_score": 0.9})) == []


def test_what_was_never_believed_is_not_counted() -> None:
    """Scores that go on with a track, yet are too low to believe in it."""
    assert ways(watch([person((0.1, 0.8), (0.9, 0.8), until=8)], detector=Detector(score=0.45))) == []


def test_who_goes_by_the_end_of_a_line_is_not_counted() -> None:
    half = {"points": [[0.5, 0.0], [0.5, 0.5]]}
    assert ways(watch([person((0.1, 0.8), (0.9, 0.8), until=8)], line=half)) == []
    assert ways(watch([person((0.1, 0.4), (0.9, 0.4), until=8)], line=half)) == ["out"]


def test_the_anchor_is_the_point_that_must_cross() -> None:
    level = {"points": [[0.0, 0.5], [1.0, 0.5]]}
    down = [person((0.5, 0.4), (0.5, 0.7), until=10)]  # its feet cross, its head does not
    assert len(ways(watch(down, line=level))) == 1
    assert len(ways(watch(down, line={**level, "anchor": "top"}))) == 0


def test_totals_go_on_from_what_was_counted_before() -> None:
    camera = config(lines=GATE)
    watched = Watched(camera, totals={"gate": {"in": {"person": 7}, "out": {"car": 2}}, "old": {"in": {}, "out": {}}})
    watched.run(frames([person((0.9, 0.8), (0.1, 0.8), until=8)], 12))
    assert watched.scene.totals == {"gate": {"in": {"person": 8}, "out": {"car": 2}}}


def test_a_parked_car_and_people_before_it_cross_nothing_that_they_do_not() -> None:
    people, wanted = people_both_ways(seed=9, most=6)
    watched = watch([parked((0.5, 0.6)), *people], 100, detector=FLICKERING, seed=2)
    assert [said for said in watched.events("line") if said.label == LABELS[1]] == []
    assert len(watched.events("line")) == sum(wanted.values())
