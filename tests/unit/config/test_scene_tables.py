"""Zones, lines, masks, events and rules as a person may write them, read from a real file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass import cli, config
from edgemass.config import CameraConfig
from edgemass.config.scene import EventsConfig
from edgemass.config.shapes import check_polygon
from edgemass.errors import ConfigError

SQUARE = "[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]"
ZONE = f"[cameras.door.zones.yard]\npoints = {SQUARE}\n"
LINE = "[cameras.door.lines.gate]\npoints = [[0.5, 0.0], [0.5, 1.0]]\n"
RULE = "[cameras.door.rules.ring]\n"
DO = 'command = ["true"]\n'

BAD_SHAPES = [
    ("[[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]", "must not cross each other"),
    ("[[0.1, 0.1], [0.9, 0.1], [0.5, 0.1], [0.5, 0.9]]", "must not cross each other"),
    ("[[0.1, 0.1], [0.5, 0.5], [0.9, 0.1], [0.9, 0.9], [0.5, 0.5], [0.1, 0.9]]", "must not cross each other"),
    ("[[0.1, 0.1], [1.2, 0.1], [0.9, 0.9]]", "fractions of the frame, 0 to 1, found (1.2, 0.1)"),
    ("[[0.1, -0.1], [0.9, 0.1], [0.9, 0.9]]", "fractions of the frame, 0 to 1, found (0.1, -0.1)"),
    ("[[100, 100], [500, 100], [500, 400]]", "fractions of the frame, 0 to 1, found (100, 100)"),
    ("[[nan, 0.1], [0.9, 0.1], [0.9, 0.9]]", "fractions of the frame, 0 to 1, found (nan, 0.1)"),
    ("[[inf, 0.1], [0.9, 0.1], [0.9, 0.9]]", "fractions of the frame, 0 to 1, found (inf, 0.1)"),
    ("[]", "must be 3 to 100, found 0"),
    ("[[0.1, 0.1], [0.9, 0.1]]", "must be 3 to 100, found 2"),
    ("[[0.1, 0.1], [0.9, 0.1], [0.1, 0.1]]", "three different corners"),
    ("[[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]", "must"),
    ("[[0.1, 0.1], [0.10001, 0.1], [0.1, 0.10001]]", "must enclose something"),
    ("[[0.1, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.9]]", "must differ from one to the next, found (0.9, 0.1)"),
    ("[[0.1], [0.9, 0.1], [0.9, 0.9]]", "length 2"),
    ("[[0.1, 0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]", "length 2"),
    ('[["a", 0.1], [0.9, 0.1], [0.9, 0.9]]', "must be a number, found text"),
    ('"everywhere"', "must be a list in [ ], found text"),
    ("[" + ", ".join(f"[{n / 300}, {n * n / 90000}]" for n in range(200)) + "]", "must be 3 to 100, found 200"),
]

BAD = [
    *((f"[cameras.door.zones.yard]\npoints = {shape}\n", "zones.yard", told) for shape, told in BAD_SHAPES),
    *((f"masks = [{SQUARE}, {shape}]\n", "mask", told) for shape, told in BAD_SHAPES),
    (ZONE + "points_of = 3\n", "zones.yard", "unknown key `points_of`; did you mean `points`?"),
    (ZONE + "dwell = 3\n", "zones.yard", "unknown key `dwell`; did you mean `dwell_s`?"),
    (ZONE + "dwell_s = -1\n", "zones.yard", "dwell_s must lie between 0 and 86400, found -1"),
    (ZONE + "dwell_s = nan\n", "zones.yard", "dwell_s must lie between"),
    (ZONE + "inertia = 0\n", "zones.yard", "inertia must lie between 1 and 1000, found 0"),
    (ZONE + 'anchor = "middle"\n', "zones.yard", "middle"),
    (ZONE + "min_score = 2\n", "zones.yard", "min_score must lie between 0 and 1, found 2"),
    (ZONE + "min_area = 0.5\nmax_area = 0.1\n", "zones.yard", "max_area must lie between 0.5 and 1, found 0.1"),
    (ZONE + "min_ratio = 2\nmax_ratio = 1\n", "zones.yard", "max_ratio must lie between 2 and 1000, found 1"),
    (ZONE + 'labels = "person"\n', "zones.yard", "labels"),
    ("[cameras.door.zones.yard]\ninertia = 3\n", "zones.yard", "points"),
    ("zones = 3\n", "zones", "zones"),
    ("[cameras.door.zones]\nyard = 3\n", "zones", "table"),
    (f'[cameras.door.zones."a/b"]\npoints = {SQUARE}\n', "zone name 'a/b'", "must be letters"),
    (f'[cameras.door.zones.""]\npoints = {SQUARE}\n', "zone name ''", "must be letters"),
    (LINE.replace("[0.5, 1.0]", "[0.5, 0.0]"), "lines.gate", "must differ from one to the next"),
    (LINE.replace("[0.5, 1.0]", "[0.5, 1.0], [0.5, 0.4]"), "lines.gate", "must not go back over the line"),
    ('clips = { folder = "clips", pre_roll_s = 20, max_s = 20 }\n', "clips", "max_s must be more than pre_roll_s"),
    (LINE.replace(", [0.5, 1.0]", ""), "lines.gate", "must be 2 to 100, found 1"),
    (LINE + "margin = -0.1\n", "lines.gate", "margin must lie between 0 and 2, found -0.1"),
    (LINE + "flp = true\n", "lines.gate", "unknown key `flp`; did you mean `flip`?"),
    (RULE + "for_s = 3\n", "rules.ring", "a rule needs an action: mqtt, serial, command or snapshot"),
    (RULE + DO + "for_s = -3\n", "rules.ring", "for_s must lie between 0 and 86400, found -3"),
    (RULE + DO + 'zone = "yrd"\n' + ZONE, "rule ring", "there is no zone 'yrd'; did you mean `yard`?"),
    (RULE + DO + 'zone = "yard"\n', "rule ring", "there is no zone 'yard'; there are none"),
    (
        RULE + DO + 'line = "gate"\n' + LINE.replace("gate", "drive"),
        "rule ring",
        "there is no line 'gate'; known are drive",
    ),
    (RULE + DO + 'direction = "in"\n', "rules.ring", "direction needs a line"),
    (RULE + DO + 'direction = "up"\nline = "gate"\n' + LINE, "rules.ring", "up"),
    (RULE + DO + 'line = "gate"\nfor_s = 3\n' + LINE, "rules.ring", "for_s does not go with line"),
    (RULE + DO + 'line = "gate"\nzone = "yard"\n' + LINE + ZONE, "rules.ring", "exclude each other"),
    (RULE + DO + 'state = "gone"\n', "rules.ring", "gone"),
    (RULE + 'state = "offline"\nsnapshot = "shots"\n', "rules.ring", "snapshot does not go with state"),
    (RULE + DO + 'between = ["22:00", "6:00"]\n', "rules.ring", "found '6:00'"),
    (RULE + DO + 'between = ["22:00", "24:00"]\n', "rules.ring", "found '24:00'"),
    (RULE + DO + 'between = ["22:00", "22:00"]\n', "rules.ring", "two different times"),
    (RULE + DO + 'between = ["22:00"]\n', "rules.ring", "length 2"),
    (RULE + DO + "between = [22:00:00, 23:00:00]\n", "rules.ring", "between"),
    (RULE + DO + 'days = ["friday"]\n', "rules.ring", "friday"),
    (RULE + 'mqtt = { topic = "a/#" }\n', "rules.ring", "topic must be one topic without +, # and braces"),
    (RULE + 'mqtt = { topic = "" }\n', "rules.ring", "topic must be one topic"),
    (RULE + 'mqtt = { topic = "a", payload = "{lable}" }\n', "rules.ring", "unknown {lable}; known are {device}"),
    (RULE + 'mqtt = { topic = "a", qos = 3 }\n', "rules.ring", "3"),
    (RULE + 'command = ["echo", "{who}"]\n', "rules.ring", "command: unknown {who}"),
    (RULE + 'command = "echo"\n', "rules.ring", "command"),
    (RULE + "command = []\n", "rules.ring", "a rule needs an action"),
    (RULE + 'command = [""]\n', "rules.ring", "command must begin with a program, found ['']"),
    (RULE + 'command = []\nmqtt = { topic = "a" }\n', "rules.ring", "command must begin with a program, found []"),
    (RULE + DO + 'state = "blind"\nlabels = ["person"]\n', "rules.ring", "labels does not go with state"),
    (RULE + DO + 'state = "blind"\nmin_score = 0.5\n', "rules.ring", "min_score does not go with state"),
    (RULE + DO + 'state = "blind"\nmax_ratio = 3\n', "rules.ring", "max_ratio does not go with state"),
    (RULE + 'mqtt = { topic = "home/{label}" }\n', "rules.ring", "topic must be one topic without +, # and braces"),
    ("events = { stationary_s = 2 }\n", "events", "stationary_s must not be below tracking.still_s, found 2 and 3"),
    ("tracking = { still_s = 20 }\n", "events", "stationary_s must not be below tracking.still_s, found 10 and 20"),
    ("score = 0.4\nevents = { leave = 0.5 }\n", "events", "leave must not be above the score"),
    ('score = { person = 0.4, "*" = 0.6 }\nevents = { leave = 0.5 }\n', "events", "found 0.5 and 0.4"),
    ('events = false\nclips = { folder = "clips" }\n', "events", "events = false does not go with clips"),
    ('events = false\nprivacy = "counts-only"\n', "events", "events = false does not go with privacy = counts-only"),
    (RULE + 'serial = { port = "/dev/ttyUSB0" }\n', "rules.ring", "line"),
    (RULE + 'serial = { port = "/dev/ttyUSB0", line = "{}" }\n', "rules.ring", "unknown {}"),
    (RULE + 'mqtt = { topic = "a", payload = "{ label}" }\n', "rules.ring", "unknown"),
    (RULE + DO + "min_scor = 0.5\n", "rules.ring", "unknown key `min_scor`; did you mean `min_score`?"),
    ("events = { enter = 0.5, leave = 0.6 }\n", "events", "leave must lie between 0 and 0.5, found 0.6"),
    ("events = { frames = 6 }\n", "events", "frames must lie between 1 and 5, found 6"),
    ("events = { update_s = -1 }\n", "events", "update_s must lie between"),
    ("events = { snapshots = 'all' }\n", "events", "all"),
    ("events = { stationery_s = 5 }\n", "events", "did you mean `stationary_s`?"),
    ("tracking = { lost_s = -1 }\n", "track", "lost_s must lie between"),
    ("tracking = { low_score = 0.5 }\n", "track", "low_score must not be above high_score"),
    ("events = false\n" + ZONE, "events", "events = false does not go with zones"),
    (f'masks = [{SQUARE}]\nclips = {{ folder = "clips" }}\n', "clips", "mask"),
    ('privacy = "counts-only"\nclips = { folder = "clips" }\n', "clips", "counts-only"),
    ('clips = { folder = "" }\n', "clips", "folder must name a folder"),
    ('clips = { folder = "clips", pre_roll_s = -1 }\n', "clips", "pre_roll_s must lie between"),
    ('clips = { folder = "clips", max_age = 3 }\n', "clips", "did you mean `max_age_days`?"),
    ('privacy = "counts"\n', "privacy", "counts"),
    (
        'privacy = "counts-only"\n' + RULE + 'snapshot = "shots"\n',
        "rule ring",
        "does not go with privacy = counts-only",
    ),
]


def written(folder: Path, text: str, *, model: str = "") -> Path:
    path = folder / "board.toml"
    path.write_text(f'{model}[cameras.door]\nsource = "synthetic:?frames=2"\n{text}')
    return path


def camera(folder: Path, text: str) -> CameraConfig:
    return config.load(written(folder, text)).cameras["door"]


@pytest.mark.parametrize(("text", "place", "told"), BAD)
def test_what_is_wrong_is_one_line_that_names_file_camera_and_place(
    tmp_path: Path, text: str, place: str, told: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: camera door")
    assert place in message
    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(("text", "place", "told"), [BAD[0], BAD[20], *BAD[40::9]])
def test_run_ends_with_78_and_that_line(
    tmp_path: Path, text: str, place: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    assert cli.main(["run", "--config", str(path)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(path) in err
    assert place in err
    assert told in err


@pytest.mark.runtime
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ZONE + 'labels = ["persn"]\n', "zones.yard names 'persn'"),
        (LINE + 'labels = ["person", "Person"]\n', "lines.gate names 'Person'"),
        (RULE + DO + 'labels = ["persons"]\n', "rules.ring names 'persons'"),
        ('events = { labels = ["perso"] }\n', "events names 'perso'"),
        ('score = { pers0n = 0.5, "*" = 0.4 }\n', "score names 'pers0n'"),
    ],
)
def test_a_label_that_the_model_does_not_know_is_named_with_the_nearest(
    tmp_path: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text, model='model = "edgemass-person"\n')
    assert cli.main(["run", "--config", str(path), "--sink", "jsonl:-"]) == 78
    _, err = capsys.readouterr()
    (line,) = [line for line in err.splitlines() if "error: " in line]
    assert f"{path}: camera door: {told}" in line
    assert "did you mean `person`?" in line


def test_a_whole_scene_is_read(tmp_path: Path) -> None:
    door = camera(
        tmp_path,
        'masks = [[[0, 0], [0.2, 0], [0.2, 0.1]]]\nprivacy = "none"\nevents = { min_gap_s = 3, labels = ["person"] }\n'
        + ZONE
        + 'labels = ["person"]\ndwell_s = 2.5\n'
        + LINE
        + "flip = true\n"
        + RULE
        + 'zone = "yard"\nfor_s = 3\nbetween = ["22:00", "06:00"]\ndays = ["mon"]\nmqtt = { topic = "a/b" }\n',
    )
    assert door.zones["yard"].dwell_s == 2.5
    assert door.zones["yard"].points[0] == (0.1, 0.1)
    assert door.lines["gate"].flip
    assert door.rules["ring"].between == ("22:00", "06:00")
    assert door.events_config.min_gap_s == 3
    assert door.has_scene
    assert [key for key, _ in door.named_labels()] == ["events", "zones.yard"]


def test_events_are_a_table_or_a_word(tmp_path: Path) -> None:
    assert camera(tmp_path, "events = true\n").events_config == EventsConfig()
    assert not camera(tmp_path, "events = false\n").has_scene
    assert not camera(tmp_path, "").has_scene


def test_rules_keep_the_order_of_the_file_and_may_overlap(tmp_path: Path) -> None:
    names = ["z", "a", "m"]
    read = camera(tmp_path, ZONE + "".join(f'[cameras.door.rules.{name}]\nzone = "yard"\n{DO}' for name in names))
    assert list(read.rules) == names


@pytest.mark.parametrize(
    "payload", ['{"alarm": true}', '{"who": "{label}"}', "${HOME} {label}", "{label", "{print $1}"]
)
def test_braces_around_something_else_than_a_word_stay_as_they_are(tmp_path: Path, payload: str) -> None:
    read = camera(tmp_path, RULE + f"mqtt = {{ topic = 'a', payload = '{payload}' }}\n")
    action = read.rules["ring"].mqtt
    assert action is not None
    assert action.payload == payload


def test_overlapping_zones_and_closed_rings_are_fine(tmp_path: Path) -> None:
    closed = SQUARE[:-1] + ", [0.1, 0.1]]"
    read = camera(tmp_path, ZONE + ZONE.replace("yard", "lawn").replace(SQUARE, closed))
    assert list(read.zones) == ["yard", "lawn"]


@pytest.mark.parametrize("key", ["file", "record"])
def test_what_is_no_key_of_a_board_is_none(tmp_path: Path, key: str) -> None:
    path = tmp_path / "board.toml"
    path.write_text(f'{key} = "x"\n')
    with pytest.raises(ConfigError, match=f"unknown key `{key}`"):
        config.load(path)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=7))
def test_a_polygon_is_taken_just_when_its_sides_do_not_meet(corners: list[tuple[int, int]]) -> None:
    """Held against a count on the grid: sides meet where a corner lies on another side, or two properly cross."""
    points = [(x / 8, y / 8) for x, y in corners]
    try:
        check_polygon(points)
        taken = True
    except ValueError:
        taken = False
    assert taken == _simple(corners)


def _simple(corners: list[tuple[int, int]]) -> bool:
    if corners[0] == corners[-1]:
        corners = corners[:-1]
    if len(set(corners)) < len(corners) or len(corners) < 3:
        return False
    sides = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    for a, b in sides:
        for c in corners:
            on = _turn(a, b, c) == 0 and min(a[0], b[0]) <= c[0] <= max(a[0], b[0])
            if c not in (a, b) and on and min(a[1], b[1]) <= c[1] <= max(a[1], b[1]):
                return False
    return not any(
        _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0 for a, b in sides for c, d in sides
    )


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
