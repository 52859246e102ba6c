from __future__ import annotations

from collections import deque

import pytest

from edgemass.config.rules import RuleConfig
from edgemass.scene.happening import Direction, Happening
from edgemass.scene.objects import SceneObject
from edgemass.scene.rules import Firing, LocalTime, Rules
from edgemass.scene.visits import Visit
from tests.simulators.walkers import ASPECT, NS

NOON = LocalTime(weekday=2, minute=12 * 60)
DO = {"command": ("true",)}
BOX = (0.4, 0.4, 0.5, 0.8)


def rule(**given: object) -> RuleConfig:
    return RuleConfig(**{**DO, **given})  # type: ignore[arg-type]


def thing(track_id: int = 1, label: str = "person", *, since_s: float = 0.0, **zones: float) -> SceneObject:
    """zones: since when it is in each of them, in seconds."""
    made = SceneObject(track_id, round(since_s * NS), label, 0, BOX, deque(maxlen=5), row=0)
    made.believed, made.top_score, made.number = True, 0.9, track_id
    made.visits = {name: Visit(inside=True, since_ns=round(since * NS)) for name, since in zones.items()}
    return made


def look(rules: Rules, second: float, *things: SceneObject, now: LocalTime = NOON) -> list[Firing]:
    return rules.look(things, [], now, round(second * NS), ASPECT)


def crossing(label: str = "person", way: Direction = "in", line: str = "gate") -> Happening:
    return Happening(
        type="end",
        kind="line",
        number=9,
        object=1,
        mono_ns=0,
        started_ns=0,
        until_ns=0,
        track_id=1,
        label=label,
        class_id=0,
        score=0.8,
        top_score=0.9,
        box=BOX,
        line=line,
        direction=way,
    )


def at(time: str, weekday: int = 2, *, known: bool = True) -> LocalTime:
    return LocalTime(weekday, int(time[:2]) * 60 + int(time[3:]), known)


def test_a_rule_fires_once_for_an_object_while_it_stays() -> None:
    rules = Rules({"here": rule()})
    fired = [look(rules, second, thing()) for second in range(10)]
    assert [len(each) for each in fired] == [1] + [0] * 9
    assert fired[0][0].label == "person"
    assert [firing.track_id for firing in look(rules, 11, thing(), thing(2, since_s=11))] == [2]


def test_it_must_have_been_so_for_so_long() -> None:
    rules = Rules({"waits": rule(zone="door", for_s=3.0)})
    assert look(rules, 12.9, thing(door=10.0)) == []
    (fired,) = look(rules, 13.0, thing(door=10.0))
    assert (fired.zone, fired.duration_s) == ("door", 3.0)


def test_what_the_camera_was_away_for_does_not_count() -> None:
    rules = Rules({"waits": rule(zone="door", for_s=30.0), "here": rule(for_s=30.0)})
    waiting = thing(since_s=5.0, door=10.0)
    waiting.miss(60 * NS)
    assert look(rules, 94.9, waiting) == []
    assert [firing.rule for firing in look(rules, 95.0, waiting)] == ["here"]
    assert [(firing.rule, firing.duration_s) for firing in look(rules, 100.0, waiting)] == [("waits", 30.0)]
    waiting.visits["door"] = Visit(inside=True, since_ns=101 * NS)  # it went out and came in again
    assert look(rules, 130.9, waiting) == []
    assert [firing.rule for firing in look(rules, 131.0, waiting)] == ["waits"]


def test_only_the_zone_that_it_names_counts() -> None:
    rules = Rules({"waits": rule(zone="door")})
    assert look(rules, 5, thing(yard=0.0), thing(2)) == []
    assert len(look(rules, 5, thing(yard=0.0), thing(2, door=4.0))) == 1


def test_who_leaves_and_comes_again_fires_again() -> None:
    rules = Rules({"waits": rule(zone="door")})
    assert len(look(rules, 1, thing(door=1.0))) == 1
    assert look(rules, 5, thing()) == []
    assert len(look(rules, 9, thing(door=9.0))) == 1


def test_labels_sizes_and_scores_are_asked_for() -> None:
    for asked in ({"labels": ("car",)}, {"min_area": 0.05}, {"min_ratio": 1.0}, {"min_score": 0.95}):
        assert look(Rules({"here": rule(**asked)}), 1, thing()) == []
    assert len(look(Rules({"here": rule(labels=("person",), min_score=0.8, max_area=0.05)}), 1, thing())) == 1


@pytest.mark.parametrize(
    ("time", "weekday", "fires"),
    [
        ("22:00", 4, True),
        ("21:59", 4, False),
        ("23:59", 4, True),
        ("00:00", 5, True),
        ("05:59", 5, True),
        ("06:00", 5, False),
        ("12:00", 4, False),
        ("23:00", 5, False),
        ("03:00", 4, False),
    ],
)
def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins(time: str, weekday: int, fires: bool) -> None:
    rules = Rules({"night": rule(between=("22:00", "06:00"), days=("fri",))})
    assert bool(look(rules, 1, thing(), now=at(time, weekday))) == fires


@pytest.mark.parametrize(("time", "fires"), [("07:59", False), ("08:00", True), ("16:59", True), ("17:00", False)])
def test_a_span_within_a_day_has_its_first_minute_and_not_its_last(time: str, fires: bool) -> None:
    assert bool(look(Rules({"day": rule(between=("08:00", "17:00"))}), 1, thing(), now=at(time))) == fires


def test_days_alone_are_whole_days() -> None:
    rules = Rules({"weekend": rule(days=("sat", "sun"))})
    assert [day for day in range(7) if look(rules, day, thing(day + 1, since_s=day), now=at("00:00", day))] == [5, 6]


def test_while_the_clock_cannot_be_right_time_and_days_count_as_met() -> None:
    rules = Rules({"night": rule(between=("22:00", "06:00"), days=("fri",))})
    assert len(look(rules, 1, thing(), now=at("12:00", 1, known=False))) == 1


def test_who_was_there_before_fires_when_the_span_begins_and_again_the_next_day() -> None:
    rules = Rules({"night": rule(between=("22:00", "06:00"))})
    fired = []
    for hour in range(60):
        now = at(f"{(hour + 12) % 24:02}:00", (hour + 12) // 24 % 7)
        fired += [hour] * len(look(rules, hour * 3600, thing(), now=now))
    assert fired == [10, 34, 58]


def test_every_s_keeps_firings_apart_whoever_it_is() -> None:
    rules = Rules({"here": rule(every_s=60.0)})
    fired = [second for second in range(200) if look(rules, second, thing(second + 1, since_s=second))]
    assert fired == [0, 60, 120, 180]


def test_a_clock_that_goes_back_does_not_silence_a_rule() -> None:
    rules = Rules({"here": rule(every_s=60.0)})
    assert len(look(rules, 1000, thing())) == 1
    assert len(look(rules, 10, thing(2, since_s=10))) == 1


def test_rules_that_fit_the_same_thing_all_fire_in_the_order_of_the_file() -> None:
    rules = Rules({"second": rule(), "first": rule(zone="door"), "third": rule(labels=("person",))})
    assert [firing.rule for firing in look(rules, 1, thing(door=0.0))] == ["second", "first", "third"]


def test_a_line_fires_for_every_crossing_its_way() -> None:
    rules = Rules({"in": rule(line="gate", direction="in"), "any": rule(line="gate"), "other": rule(line="yard")})
    said = [crossing(), crossing(way="out"), crossing(line="street")]
    fired = rules.look([thing()], said, NOON, 5 * NS, ASPECT)
    assert [(firing.rule, firing.direction) for firing in fired] == [("in", "in"), ("any", "in"), ("any", "out")]


def test_what_crosses_a_line_must_be_what_the_rule_asks_for() -> None:
    for asked in ({"labels": ("car",)}, {"min_area": 0.05}, {"min_ratio": 1.0}, {"min_score": 0.95}):
        assert Rules({"in": rule(line="gate", **asked)}).look([], [crossing()], NOON, NS, ASPECT) == []


def test_a_rule_of_objects_says_nothing_of_crossings_and_a_rule_of_lines_nothing_of_objects() -> None:
    rules = Rules({"here": rule(), "gate": rule(line="gate")})
    assert [firing.rule for firing in rules.look([thing()], [], NOON, NS, ASPECT)] == ["here"]
    assert [firing.rule for firing in rules.look([], [crossing()], NOON, NS, ASPECT)] == ["gate"]


def states(rules: Rules, text: str, now: LocalTime = NOON) -> list[int]:
    """Ask once a second: o online, x offline, b blind; the seconds at which it fires."""
    names = {"o": "online", "x": "offline", "b": "blind"}
    since, before, fired = 0, "", []
    for second, mark in enumerate(text):
        since = second if mark != before else since
        before = mark
        fired += [second] * len(rules.camera(names[mark], since * NS, now, second * NS))
    return fired


def test_a_state_fires_when_it_comes_and_once_while_it_lasts() -> None:
    assert states(Rules({"away": rule(state="offline")}), "oooxxxxoooxx") == [3, 10]


def test_a_state_must_last_for_so_long() -> None:
    assert states(Rules({"away": rule(state="offline", for_s=3.0)}), "oxxoxxxxxxo") == [7]


def test_a_cause_that_changes_does_not_begin_a_state_anew() -> None:
    rules = Rules({"blind": rule(state="blind", for_s=3.0)})
    assert rules.camera("blind", 0, NOON, 0) == []
    assert rules.camera("blind", 2 * NS, NOON, 2 * NS) == []
    assert len(rules.camera("blind", 2 * NS, NOON, 3 * NS)) == 1


def test_each_state_has_its_own_rules() -> None:
    rules = Rules({"b": rule(state="blind"), "x": rule(state="offline"), "o": rule(state="online")})
    assert states(rules, "oxboob") == [0, 1, 2, 3, 5]


def test_a_state_at_the_wrong_time_fires_when_the_time_comes() -> None:
    rules = Rules({"night": rule(state="offline", between=("22:00", "06:00"))})
    assert states(rules, "oxxx") == []
    assert len(rules.camera("offline", NS, at("22:00"), 9 * NS)) == 1


def test_what_every_s_left_no_room_for_fires_when_there_is_and_it_still_holds() -> None:
    rules = Rules({"here": rule(every_s=60.0), "away": rule(state="offline", every_s=60.0)})
    first, second = thing(1), thing(2, since_s=8)
    assert [firing.track_id for firing in look(rules, 1, first)] == [1]
    fired = [(at, firing.track_id) for at in range(8, 100) for firing in look(rules, at, first, second)]
    assert fired == [(61, 2)]
    assert len(rules.camera("offline", 10 * NS, NOON, 10 * NS)) == 1
    assert rules.camera("online", 20 * NS, NOON, 20 * NS) == []
    names = [(at, firing.rule) for at in range(30, 100) for firing in rules.camera("offline", 30 * NS, NOON, at * NS)]
    assert names == [(70, "away")]


def test_time_in_which_it_is_not_seen_sets_nothing_off() -> None:
    rules = Rules({"long": rule(for_s=3.0)})
    gone = thing()
    gone.row = -1
    assert look(rules, 10, gone) == []
    gone.row = 0
    assert len(look(rules, 11, gone)) == 1
