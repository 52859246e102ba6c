"""What a scene tells of things that come, stay, stand, hide and go, with a detector as detectors are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemass.scene.happening import Happening
from tests.simulators.walkers import (
    CAR,
    FLICKERING,
    NS,
    PERSON,
    START_NS,
    TRUCK,
    Detector,
    Thing,
    Watched,
    boxes,
    check_story,
    config,
    frames,
    moved,
    parked,
    person,
    stand,
)

JITTER = Detector(jitter=0.02, score=0.7, doubt=0.05)
DOOR = {"door": {"points": [[0.4, 0.5], [0.6, 0.5], [0.6, 1.0], [0.4, 1.0]], "labels": ["person"]}}


def story(watched: Watched, label: str) -> list[tuple[str, bool]]:
    return [(said.type, said.stationary) for said in watched.events() if said.label == label]


def passers(seed: int, count: int, seconds: float) -> list[Thing]:
    """People who walk through the picture at any time, before and behind what is at its middle."""
    rng = np.random.default_rng(seed)
    things = []
    for _ in range(count):
        since, y, way = rng.uniform(15, seconds - 20), rng.uniform(0.62, 0.9), rng.choice([-0.6, 0.6])
        things.append(person((0.5 - way, y), (0.5 + way, y), since=since, until=since + rng.uniform(6, 14)))
    return things


def hour_of_a_parked_car(seed: int, seconds: float) -> None:
    things = [parked(), *passers(seed, round(seconds / 30), seconds)]
    watched = Watched().run(frames(things, seconds, detector=FLICKERING, seed=seed))
    watched.close()
    check_story(watched.told)
    assert story(watched, "car") == [("new", False), ("update", True), ("end", True)]


# One event


def test_a_parked_car_is_one_event_whatever_passes_before_it() -> None:
    hour_of_a_parked_car(seed=0, seconds=600)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_an_hour_of_a_parked_car_is_one_event(seed: int) -> None:
    hour_of_a_parked_car(seed, 3600)


@pytest.mark.parametrize("fps", [25.0, 10.0, 5.0])
def test_a_walker_that_is_missed_in_30_of_100_frames_is_one_event(fps: float) -> None:
    things = [person((0.0, 0.8), (1.0, 0.5), since=2, until=14)]
    for seed in range(6):
        watched = Watched().run(frames(things, 18, fps=fps, detector=FLICKERING, seed=seed))
        watched.close()
        check_story(watched.told)
        assert len(watched.events(type_="new")) == 1


def test_who_stands_and_is_missed_in_60_of_100_frames_is_one_event() -> None:
    things = [Thing(PERSON, stand((0.5, 0.8), size=(0.06, 0.3)))]
    watched = Watched().run(frames(things, 300, detector=Detector(misses=0.6, jitter=0.02, score=0.7, doubt=0.08)))
    assert len(watched.events(type_="new")) == 1


def test_what_is_hidden_shortly_after_it_stopped_is_one_event() -> None:
    """It stands for the tracker, not yet for the events, when a bus stops before it."""
    bus = Thing(TRUCK, stand((0.5, 0.7), since=6, until=26, size=(0.5, 0.5)))
    watched = Watched().run(frames([parked(), bus], 40, detector=JITTER))
    assert len([said for said in watched.events(type_="new") if said.label == "car"]) == 1


@pytest.mark.parametrize("fps", [0.05, 0.2, 1.0])
def test_at_few_frames_what_stands_is_one_event_and_what_went_has_its_end(fps: float) -> None:
    things = [parked(), parked((0.2, 0.9), until=40 / fps)]
    watched = Watched().run(frames(things, 100 / fps, fps=fps, detector=Detector(misses=0.2, jitter=0.01), seed=3))
    went, stays = sorted(watched.events(type_="new"), key=lambda said: said.box[0])
    assert [said.number for said in watched.events(type_="end")] == [went.number]
    assert stays.number not in [said.number for said in watched.events(type_="end")]


def test_tracks_do_not_pile_up_at_few_frames() -> None:
    """A frame in ten seconds, and something else in each of them."""
    watched = Watched()
    rng = np.random.default_rng(0)
    for index in range(1500):
        x, y = rng.uniform(0, 0.9, 2)
        watched.take(START_NS + index * 10 * NS, boxes((x, y, x + 0.1, y + 0.1)))
    assert len(watched.scene._objects) < 10


def test_a_scene_of_two_who_meet_keeps_both() -> None:
    things = [person((0.0, 0.7), (1.0, 0.7), until=12), person((1.0, 0.8), (0.0, 0.8), until=12)]
    watched = Watched().run(frames(things, 15, fps=15, detector=JITTER))
    watched.close()
    check_story(watched.told)
    assert len(watched.events(type_="new")) == 2


# Believing


PLACE = (0.4, 0.4, 0.5, 0.8)


def marks(watched: Watched, text: str, score: float = 0.8) -> list[Happening]:
    """Ten frames a second: # found, . not found."""
    for mark in text:
        watched.take(watched.last_ns + NS // 10 or START_NS, boxes(PLACE, score=score) if mark == "#" else boxes())
    return watched.told


def test_n_of_m_frames_must_say_so() -> None:
    camera = config(events={"frames": 3, "of_frames": 5})
    assert marks(Watched(camera), "##") == []
    assert [said.type for said in marks(Watched(camera), "###")] == ["new"]
    assert [said.type for said in marks(Watched(camera), "#.#.#")] == ["new"]
    assert marks(Watched(camera), "#..#..#..#") == []


def test_what_is_seen_once_is_nothing() -> None:
    assert marks(Watched(config(events={"frames": 1, "of_frames": 1})), "#" + "." * 60) == []


def test_enter_is_the_score_to_be_believed_from_even_below_what_begins_a_track() -> None:
    assert marks(Watched(config(events={"enter": 0.75})), "######", score=0.7) == []
    assert len(marks(Watched(config(events={"enter": 0.6})), "######", score=0.7)) == 1
    assert len(marks(Watched(config(events={"enter": 0.2})), "#" * 30, score=0.25)) == 1
    assert len(marks(Watched(config(score=0.2)), "#" * 30, score=0.25)) == 1
    assert len(marks(Watched(score=0.3), "#" * 30, score=0.35)) == 1


def test_what_is_seen_too_doubtfully_for_too_long_has_ended_and_may_come_again() -> None:
    watched = Watched(config(events={"enter": 0.6, "leave": 0.4}))
    marks(watched, "#####")
    marks(watched, "#" * 19, score=0.3)
    assert [said.type for said in watched.told] == ["new"]
    marks(watched, "#" * 10, score=0.3)
    assert [said.type for said in watched.told] == ["new", "end"]
    marks(watched, "#####")
    assert [(said.type, said.number) for said in watched.told] == [("new", 1), ("end", 1), ("new", 2)]


def test_an_object_is_called_what_it_was_called_most() -> None:
    watched = Watched(config(tracking={"across_classes": True}))
    for index, (mono_ns, found) in enumerate(frames([parked()], 30, detector=JITTER)):
        watched.take(mono_ns, moved(found, TRUCK if index % 4 == 1 else CAR))
    assert {said.label for said in watched.told} == {"car"}
    assert len(watched.events(type_="new")) == 1


def test_a_label_that_was_wrong_at_first_is_corrected_in_the_same_event() -> None:
    watched = Watched(config(tracking={"across_classes": True}))
    for index, (mono_ns, found) in enumerate(frames([parked()], 30, detector=JITTER)):
        watched.take(mono_ns, moved(found, TRUCK if index < 8 else CAR))
    watched.close()
    check_story(watched.told)
    assert [said.label for said in watched.events(type_="new")] == ["truck"]
    assert watched.events()[-1].label == "car"
    assert watched.counts[-2].labels == {"car": 1, "truck": 0}


# Telling


def test_updates_keep_their_distance_and_who_stands_has_none_but_that_it_stands() -> None:
    things = [person((0.05, 0.8), (0.95, 0.8), until=60), Thing(CAR, stand((0.5, 0.4), size=(0.2, 0.2)))]
    watched = Watched(config(events={"update_s": 5.0})).run(frames(things, 60, detector=JITTER))
    walker = [said for said in watched.events() if said.label == "person"]
    gaps = np.diff([said.mono_ns for said in walker]) / NS
    assert gaps.min() >= 5.0
    assert 10 <= len(walker) <= 13
    assert story(watched, "car") == [("new", False), ("update", True)]


def test_who_goes_on_after_standing_is_told_of() -> None:
    still, off = stand((0.3, 0.8), until=30, size=(0.06, 0.3)), person((0.3, 0.8), (0.9, 0.8), since=30, until=40).way
    watched = Watched().run(frames([Thing(PERSON, lambda second: still(second) or off(second))], 45, detector=JITTER))
    watched.close()
    said = [said.stationary for said in watched.events(type_="update")]
    assert said[0] is True
    assert said[-1] is False


def test_a_gap_between_new_events_of_a_label_leaves_the_counts_whole() -> None:
    things = [Thing(PERSON, stand((0.1 + 0.2 * n, 0.8), since=n, size=(0.06, 0.3))) for n in range(5)]
    things.append(Thing(CAR, stand((0.5, 0.4), since=2, size=(0.2, 0.2))))
    watched = Watched(config(events={"min_gap_s": 2.5})).run(frames(things, 20, detector=JITTER))
    new = [(said.label, said.mono_ns) for said in watched.events(type_="new")]
    assert [label for label, _ in new].count("person") == 2
    assert [label for label, _ in new].count("car") == 1
    assert watched.counts[-1].labels == {"car": 1, "person": 5}
    watched.close()
    check_story(watched.told)


def test_a_path_is_thinned_and_ends_where_it_went() -> None:
    watched = Watched(config(events={"path_points": 8})).run(
        frames([person((0.05, 0.8), (0.95, 0.6), until=30)], 35, detector=JITTER)
    )
    (end,) = watched.events(type_="end")
    assert 4 <= len(end.path) <= 8
    assert end.path[0][0] < 0.15
    assert end.path[-1][0] > 0.75
    assert [x for x, _ in end.path] == sorted(x for x, _ in end.path)


def test_labels_and_sizes_of_the_events_leave_others_out_of_events_and_counts() -> None:
    things = [parked(), person((0.1, 0.9), (0.9, 0.9), until=20)]
    for events in ({"labels": ["car"]}, {"min_area": 0.03}, {"min_ratio": 1.0}):
        watched = Watched(config(events=events)).run(frames(things, 25, detector=JITTER))
        assert {said.label for said in watched.told} == {"car"}
        assert watched.counts[-1].labels == {"car": 1}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 5),
    st.sampled_from([0.5, 3.0, 10.0]),
    st.sampled_from([0.0, 0.3, 0.7]),
    st.booleans(),
)
def test_every_event_begins_once_and_ends_once_whatever_comes(
    seed: int, count: int, fps: float, misses: float, across: bool
) -> None:
    rng = np.random.default_rng(seed)
    things = [parked(until=rng.uniform(5, 60)), *passers(seed, count, 60)]
    camera = config(
        zones=DOOR,
        lines={"gate": {"points": [[0.5, 0], [0.5, 1]]}},
        tracking={"across_classes": across},
        events={"update_s": 1.0, "leave": 0.5, "min_gap_s": float(rng.integers(0, 3))},
    )
    watched = Watched(camera)
    detector = Detector(misses=misses, jitter=0.05, score=0.6, doubt=0.2)
    for index, (mono_ns, found) in enumerate(frames(things, 60, fps=fps, detector=detector, seed=seed, drops=0.2)):
        watched.take(mono_ns, moved(found, int(rng.integers(3))) if rng.random() < 0.1 else found)
        if index % 97 == 50:
            watched.away()
        if index % 97 == 60:
            watched.scene.back()
    watched.close()
    check_story(watched.told)
    for said in watched.told:
        assert all(0 <= side <= 1 for side in said.box)
        assert all(dwell >= 0 for dwell in said.dwell_s.values())
        assert set(said.zones) <= set(said.entered)


# Zones


def test_a_visit_begins_after_its_dwell_and_counts_from_the_first_frame_inside() -> None:
    watched = Watched(config(zones={"door": {**DOOR["door"], "dwell_s": 3.0}}))
    watched.run(frames([person((0.1, 0.8), (0.9, 0.8), until=40)], 45, detector=JITTER))
    new, end = watched.events("zone")
    assert (new.zone, new.label, new.type, end.type) == ("door", "person", "new", "end")
    assert new.number == end.number
    assert (new.mono_ns - new.started_ns) / NS == pytest.approx(3.0, abs=0.15)
    assert (end.mono_ns - end.started_ns) / NS == pytest.approx(10.0, abs=1.0)  # a fifth of the way
    (gone,) = watched.events(type_="end")
    assert gone.entered == ("door",)
    assert gone.zones == ()
    assert gone.dwell_s["door"] == pytest.approx(10.0, abs=1.0)


def test_who_only_passes_through_does_not_dwell() -> None:
    watched = Watched(config(zones={"door": {**DOOR["door"], "dwell_s": 3.0}}))
    watched.run(frames([person((0.1, 0.8), (0.9, 0.8), until=8)], 12, detector=JITTER))
    assert watched.events("zone") == []
    assert all(counts.zones["door"] in ({}, {"person": 0}) for counts in watched.counts)


def test_who_stands_at_the_border_of_a_zone_comes_in_rarely() -> None:
    for seed in range(2):
        watched = Watched(config(zones={"door": {**DOOR["door"], "inertia": 10}}))
        things = [Thing(PERSON, stand((0.4, 0.8), size=(0.06, 0.3)))]
        watched.run(frames(things, 120, detector=Detector(misses=0.2, jitter=0.02), seed=seed))
        assert len(watched.events("zone", "new")) <= 3


def test_counts_of_a_zone_are_those_inside_and_others_do_not_enter_it() -> None:
    things = [
        Thing(PERSON, stand((0.5, 0.8), size=(0.06, 0.3))),
        parked((0.5, 0.9)),
        person((0.1, 0.4), (0.9, 0.4), until=20),
    ]
    watched = Watched(config(zones=DOOR)).run(frames(things[1:] + things[:1], 30, detector=JITTER))
    assert watched.counts[-1].zones == {"door": {"person": 1}}
    assert {said.label for said in watched.events("zone")} == {"person"}
    assert watched.counts[-1].labels == {"car": 1, "person": 1}


def test_feet_that_the_frame_cuts_off_stand_in_a_zone_that_reaches_its_rim() -> None:
    at_the_rim = Thing(PERSON, stand((0.5, 1.2), size=(0.1, 0.5)))
    watched = Watched(config(zones=DOOR)).run(frames([at_the_rim], 10, detector=JITTER))
    assert watched.counts[-1].zones == {"door": {"person": 1}}
