"""What a scene tells when its camera goes and comes back, when clocks misbehave, and what it counts."""

from __future__ import annotations

import numpy as np

from edgemass.scene.scene import Scene
from tests.simulators.walkers import (
    ASPECT,
    FLICKERING,
    NS,
    PERSON,
    START_NS,
    Detector,
    Thing,
    Watched,
    boxes,
    check_story,
    config,
    frames,
    parked,
    person,
    stand,
)

JITTER = Detector(jitter=0.02, score=0.7, doubt=0.05)
DOOR = {"door": {"points": [[0.4, 0.5], [0.6, 0.5], [0.6, 1.0], [0.4, 1.0]], "labels": ["person"]}}


def test_a_camera_that_is_away_makes_counts_unavailable_and_what_stayed_has_no_second_new() -> None:
    goes = Thing(PERSON, stand((0.2, 0.9), until=30, size=(0.06, 0.3)))
    things = [parked(), goes]
    watched = Watched(config(zones=DOOR)).run(frames(things, 20, detector=FLICKERING))
    assert watched.counts[-1].labels == {"car": 1, "person": 1}
    watched.away()
    assert watched.counts[-1].labels == {"car": None, "person": None}
    assert not watched.counts[-1].available
    watched.scene.back()
    watched.run(frames(things, 20, since=80, detector=FLICKERING, seed=1))
    after = [counts for counts in watched.counts if counts.available]
    assert after[-1].labels == {"car": 1, "person": 0}
    assert len(watched.events(type_="new")) == 2
    assert [(said.label, said.reason) for said in watched.events(type_="end")] == [("person", "camera")]
    watched.close()
    check_story(watched.told)


def test_counts_are_told_only_when_it_is_known_what_stayed() -> None:
    watched = Watched().run(frames([parked()], 20))
    watched.away()
    told = len(watched.counts)
    watched.scene.back()
    watched.take(START_NS + 80 * NS, boxes())
    assert len(watched.counts) == told
    watched.run(frames([parked()], 1, since=80.1))
    assert watched.counts[-1].labels == {"car": 1}


def test_a_late_frame_after_the_loss_does_not_hide_that_things_went_with_the_camera() -> None:
    goes = Thing(PERSON, stand((0.2, 0.9), until=30, size=(0.06, 0.3)))
    watched = Watched().run(frames([goes], 20))
    watched.away()
    watched.run(frames([goes], 0.1, since=20))
    watched.run(frames([goes], 10, since=80))
    watched.scene.back()
    watched.run(frames([goes], 1, since=90))
    assert [said.reason for said in watched.events(type_="end")] == ["camera"]
    assert watched.counts[-1].labels == {"person": 0}


def test_in_doubt_events_go_on_and_only_counts_are_unavailable() -> None:
    watched = Watched().run(frames([parked()], 5))
    watched._note(watched.scene.doubt())
    assert watched.counts[-1].labels == {"car": None}
    watched.run(frames([parked(), person((0.1, 0.9), (0.9, 0.9), since=5, until=25)], 15, since=5))
    assert [said.label for said in watched.events(type_="new")] == ["car", "person"]
    assert not watched.counts[-1].available
    watched.scene.back()
    watched.run(frames([parked()], 0.2, since=20))
    assert watched.counts[-1].labels == {"car": 1, "person": 1}


def test_a_clock_that_jumps_ahead_doubles_nothing_that_stands() -> None:
    watched = Watched().run(frames([parked()], 20, detector=FLICKERING))
    watched.run(frames([parked()], 20, since=86_400, detector=FLICKERING, seed=2))
    assert len(watched.events(type_="new")) == 1
    assert watched.events(type_="end") == []


def test_a_clock_that_stands_still_or_goes_back_neither_doubles_nor_breaks_anything() -> None:
    watched = Watched(config(zones=DOOR, lines={"gate": {"points": [[0.5, 0], [0.5, 1]]}}))
    given = list(frames([person((0.1, 0.8), (0.9, 0.8), until=20), parked()], 22, detector=JITTER))
    for index, (_, found) in enumerate(given):
        off = -3 * NS if index % 10 == 0 else 0
        held = given[index // 5 * 5][0]
        watched.take(held + off, found)
    watched.close()
    check_story(watched.told)
    assert sorted(said.label for said in watched.events(type_="new")) == ["car", "person"]
    assert len(watched.events("line")) == 1


# Counts


def test_counts_are_told_when_they_change_and_never_twice() -> None:
    watched = Watched().run(frames([person((0.1, 0.8), (0.9, 0.8), since=2, until=12)], 20, detector=FLICKERING))
    assert [counts.labels for counts in watched.counts] == [{}, {"person": 1}, {"person": 0}]


def test_labels_that_were_counted_before_are_told_as_0_at_once() -> None:
    watched = Watched(config(zones=DOOR), known={"": ["car", "cat"], "door": ["person"], "old": ["car"]})
    watched.run(frames([], 1))
    assert watched.counts[0].labels == {"car": 0}, "a label that this model does not know is not told"
    assert watched.counts[0].zones == {"door": {"person": 0}}


def test_nothing_is_counted_until_what_was_there_from_the_start_can_be_believed() -> None:
    watched = Watched().run(frames([parked()], 0.4, fps=10))
    assert watched.counts == []
    watched.run(frames([parked()], 1, since=0.4, fps=10))
    assert [(counts.available, counts.labels) for counts in watched.counts] == [(True, {"car": 1})]


def test_a_few_pictures_far_apart_are_not_enough_to_count() -> None:
    watched = Watched()
    watched.take(START_NS, boxes())
    watched.take(START_NS + 60 * NS, boxes())
    assert watched.counts == []
    watched.take(START_NS + 120 * NS, boxes())
    assert watched.counts[-1].available


def test_a_scene_that_ends_before_anything_is_known_tells_no_counts() -> None:
    watched = Watched().run(frames([parked()], 0.2))
    watched.close()
    assert watched.counts == []


def test_how_long_the_camera_was_away_is_known_of_what_stayed_and_where() -> None:
    zones = {"yard": {"points": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]}}
    watched = Watched(config(zones=zones)).run(frames([parked()], 10, fps=10))
    watched.away()
    watched.scene.back()
    watched.run(frames([parked()], 5, since=70, fps=10))
    (car,) = watched.scene.objects
    assert car.missed_ns == car.visits["yard"].missed_ns
    assert abs(car.missed_ns - 60.1 * NS) < NS / 5
    watched.run(frames([parked()], 5, since=75, fps=10))
    assert abs(car.missed_ns - 60.1 * NS) < NS / 5, "it is counted once"


def test_after_the_end_nothing_is_known_and_nothing_ends_twice() -> None:
    watched = Watched().run(frames([parked()], 20))
    watched.close("model")
    assert [said.reason for said in watched.events(type_="end")] == ["model"]
    assert not watched.counts[-1].available
    told = len(watched.told)
    watched.close()
    assert len(watched.told) == told


def test_detections_that_are_no_boxes_are_passed_over() -> None:
    scene = Scene(config(zones=DOOR), ("person",), score=0.5)
    found = boxes((0.4, 0.5, 0.4, 0.8), (np.nan, 0.1, 0.2, 0.3), (0.9, 0.9, 0.1, 0.1), (-np.inf, 0, np.inf, 1))
    for index in range(20):
        observation = scene.observe(found, index * NS // 10, aspect=ASPECT)
        assert observation.happenings == []
        assert observation.track_ids == [0, 0, 0, 0]
