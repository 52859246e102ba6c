"""What a camera's scene says to the outside: numbers, times, outages, restarts, other models, pictures."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemass.config import CameraConfig
from edgemass.counters import Counters
from edgemass.detections import Detections
from edgemass.errors import SinkClosedError
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, Detection, EventMessage, FrameMessage, ModelRef
from edgemass.pipeline.album import Album, Picture, Shown
from edgemass.pipeline.ledger import Entry, Ledger
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.outlets import Outlets
from edgemass.pipeline.recording import Known
from edgemass.pipeline.reporting import Attachments, SceneReporter
from edgemass.scene.rules import Firing
from tests.simulators.manual_clock import ManualClock
from tests.simulators.walkers import LABELS, NS, Detector, Thing, config, frames, parked, person

LINES = {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}}
ZONES = {"door": {"points": [[0.4, 0.0], [0.6, 0.0], [0.6, 1.0], [0.4, 1.0]]}}
SIZE = (64, 36)
JITTER = Detector(jitter=0.02, score=0.7, doubt=0.05)
ONLINE, OFFLINE = CameraState("online", "", ""), CameraState("offline", "no frame for 10 s", "")
COVERED, MOVED = CameraState("blind", "covered: dark", ""), CameraState("blind", "moved: by 0.2", "")


class Heard:
    """A sink that keeps documents."""

    name = "heard"

    def __init__(self) -> None:
        self.events: list[EventMessage] = []
        self.pictures: list[tuple[EventMessage, bytes]] = []
        self.all_counts: list[CountsMessage] = []
        self.order: list[int] = []
        self.closed = False

    def publish(self, message: FrameMessage, frame: Frame) -> None:
        pass

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        if self.closed:
            raise SinkClosedError("nobody reads")
        self.events.append(event)
        self.order.append(event.mono_ns)
        if picture is not None:
            self.pictures.append((event, picture))

    def counts(self, counts: CountsMessage) -> None:
        self.all_counts.append(counts)
        self.order.append(counts.mono_ns)

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass

    def of(self, kind: str, type_: str = "") -> list[EventMessage]:
        return [event for event in self.events if event.kind == kind and type_ in ("", event.type)]


def known(labels: Sequence[str] = LABELS, name: str = "toy", score: float = 0.5) -> Known:
    return Known(ModelRef(name, "1", "sha256:00", "fp32"), tuple(labels), score)


class Board:
    """A reporter on a clock of its own."""

    def __init__(
        self, camera: CameraConfig | None = None, *, ledger: Ledger[Entry] | None = None, pictures: bool = False
    ) -> None:
        self.camera = camera or config(lines=LINES, zones=ZONES)
        self.heard = Heard()
        self.fired: list[tuple[Firing, dict[str, str], Picture | None]] = []
        self.now_ns = 0
        self.reporter = SceneReporter(
            "gate",
            self.camera,
            Outlets("gate", [self.heard], Counters()),
            identity=Identity("pi", "boot", "run-1"),
            kept=ledger.read() if ledger is not None else None,
            attached=Attachments(
                ledger=ledger,
                album=Album(self.camera.events_config) if pictures else None,
                act=lambda *given: self.fired.append(given),
            ),
        )
        self.reporter.begin(self.moment(0))

    def moment(self, mono_ns: int) -> Moment:
        self.now_ns = max(self.now_ns, mono_ns)
        return Moment.of(mono_ns, 1_795_342_502_000_000_000 + mono_ns)

    def run(self, given: Iterable[tuple[int, Detections]], model: Known | None = None) -> None:
        model = model or known()
        for mono_ns, found in given:
            moment = self.moment(mono_ns)
            observation = self.reporter.observe(found, model, moment, SIZE)
            if observation is not None:
                self.reporter.report(observation, moment, SIZE, _shown(mono_ns, found, observation.track_ids, model))

    def state(self, state: CameraState, second: float) -> None:
        self.reporter.camera_state(state, self.moment(round(second * NS)))

    def close(self) -> None:
        self.reporter.close(moment=self.moment(self.now_ns))


def _shown(mono_ns: int, found: Detections, ids: Sequence[int], model: Known) -> Shown:
    def load() -> Any:
        return np.full((SIZE[1], SIZE[0], 3), mono_ns // NS % 250, np.uint8)

    rows = zip(found.class_id.tolist(), found.score.tolist(), found.xyxy.tolist(), ids, strict=True)
    seen = [Detection(model.labels[kind], kind, score, tuple(box), track or None) for kind, score, box, track in rows]
    frame = Frame(load, width=SIZE[0], height=SIZE[1], mono_ns=mono_ns, time_ns=mono_ns, arrived_ns=mono_ns)
    return Shown(frame, seen)


def crowd() -> list[Thing]:
    return [parked(), *(person((0.1, 0.8), (0.9, 0.8), since=5 * n, until=5 * n + 8) for n in range(5))]


@pytest.fixture
def outage() -> Board:
    """Twenty seconds, an outage of a minute from second 25 on, ten seconds more."""
    board = Board()
    board.state(ONLINE, 5)
    board.run(frames(crowd(), 20, detector=JITTER))
    board.state(OFFLINE, 35)
    board.state(ONLINE, 95)
    board.run(frames([parked()], 10, since=90, detector=JITTER))
    return board


# Numbers and times


def test_seq_has_no_gaps_and_times_never_go_back(outage: Board) -> None:
    outage.close()
    heard = outage.heard
    assert [event.seq for event in heard.events] == list(range(1, len(heard.events) + 1))
    assert heard.order == sorted(heard.order)
    assert all(event.duration_s >= 0 for event in heard.events)


def test_every_event_has_one_new_and_one_end_and_nothing_after_it(outage: Board) -> None:
    outage.close()
    stories: dict[str, list[str]] = {}
    for event in outage.heard.events:
        stories.setdefault(event.id, []).append(event.type)
    for story in stories.values():
        assert story == ["end"] or (story[0], story[-1]) == ("new", "end")
        assert set(story[1:-1]) <= {"update"}
    ids = set(stories)
    assert {event.object for event in outage.heard.events if event.object} <= ids


def test_a_frame_that_is_done_after_its_camera_was_lost_is_not_dated_before_it() -> None:
    board = Board()
    given = list(frames([person((0.1, 0.8), (0.9, 0.8), since=1, until=9)], 12))
    board.run(given[:100])
    board.state(OFFLINE, 30)
    board.run(given[100:])
    board.close()
    assert board.heard.order == sorted(board.heard.order)


# Outages


def test_an_outage_is_an_event_with_counts_unavailable_meanwhile_and_right_again(outage: Board) -> None:
    new, end = outage.heard.of("camera")
    assert (new.type, new.state, new.reason, new.mono_ns) == ("new", "offline", "no frame for 10 s", 35 * NS)
    assert (end.type, end.state, end.duration_s) == ("end", "online", 60.0)
    while_away = [counts for counts in outage.heard.all_counts if 35 * NS <= counts.mono_ns < 95 * NS]
    assert [counts.available for counts in while_away] == [False]
    assert while_away[0].labels == {"car": None, "person": None}
    assert while_away[0].zones == {"door": {"car": None, "person": None}}
    last = outage.heard.all_counts[-1]
    assert last.available
    assert last.labels == {"car": 1, "person": 0}
    assert [event.label for event in outage.heard.of("object", "new")].count("car") == 1
    assert {event.reason for event in outage.heard.of("object", "end") if event.mono_ns > 90 * NS} == {"camera"}


def test_crossings_are_known_while_the_camera_is_away(outage: Board) -> None:
    lines = [counts.lines["gate"].out for counts in outage.heard.all_counts if not counts.available]
    assert lines[-1] == {"person": 4}


def test_an_outage_that_lasts_to_the_end_has_its_end() -> None:
    board = Board()
    board.state(ONLINE, 5)
    board.run(frames([parked()], 5))
    board.state(OFFLINE, 12)
    board.now_ns = 72 * NS
    board.close()
    new, end = board.heard.of("camera")
    assert (new.type, end.type, end.reason, end.duration_s) == ("new", "end", "stopped", 60.0)


def test_a_camera_that_never_came_is_an_event_too() -> None:
    board = Board()
    board.state(OFFLINE, 10)
    board.now_ns = 20 * NS
    board.close()
    assert [event.type for event in board.heard.of("camera")] == ["new", "end"]


def test_a_covered_camera_is_like_one_that_is_away_and_a_moved_one_goes_on_to_tell_events() -> None:
    for state, goes_on in ((COVERED, False), (MOVED, True)):
        board = Board()
        board.run(frames([parked()], 5))
        board.state(state, 10)
        if goes_on:
            board.run(frames([parked(), person((0.1, 0.8), (0.9, 0.8), since=5, until=13)], 10, since=5))
            assert len(board.heard.of("object", "new")) == 2
        assert not board.heard.all_counts[-1].available
        board.state(ONLINE, 20)
        board.run(frames([parked()], 5, since=15.1))
        assert board.heard.all_counts[-1].labels["car"] == 1


def test_from_offline_to_blind_is_one_event_that_changes() -> None:
    board = Board()
    for second, state in enumerate((OFFLINE, COVERED, OFFLINE, ONLINE)):
        board.state(state, second)
    assert [(event.type, event.state) for event in board.heard.of("camera")] == [
        ("new", "offline"),
        ("update", "blind"),
        ("update", "offline"),
        ("end", "online"),
    ]


# Restarts


def ledger_at(path: Path, clock: ManualClock | None = None) -> Ledger[Entry]:
    return Ledger(path, Entry, "counts", clock or ManualClock(), every_s=1.0)


def counted(folder: Path, things: list[Thing], seconds: float = 12) -> Board:
    board = Board(ledger=ledger_at(folder / "gate.json"))
    board.run(frames(things, seconds, detector=JITTER))
    board.close()
    return board


def test_line_counts_go_on_after_a_restart(tmp_path: Path) -> None:
    out = [person((0.1, 0.8), (0.9, 0.8), until=8)]
    for runs in range(1, 4):
        board = counted(tmp_path, out)
        assert board.heard.all_counts[-1].lines["gate"].out == {"person": runs}


def test_a_restart_says_at_once_that_nothing_is_known_and_then_what_is_so(tmp_path: Path) -> None:
    counted(tmp_path, [parked(), person((0.1, 0.8), (0.9, 0.8), until=8)])
    board = counted(tmp_path, [])
    first, second = board.heard.all_counts[:2]
    assert (first.available, first.labels, first.zones) == (
        False,
        {"car": None, "person": None},
        {"door": {"car": None, "person": None}},
    )
    assert first.lines["gate"].out == {"person": 1}
    assert (second.available, second.labels) == (True, {"car": 0, "person": 0})


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\x00" * 100,
        b"[]",
        b'{"lines": {"gate": {}}}',
        b'{"lines": {"gate": {"in": {"person": -3}, "out": {}}}}',
        b'{"lines": {"gate": {"in": {"person": "many"}, "out": {}}}}',
        b'{"known": {"": [1]}}',
        b'{"lines": {"gate": {"in": {}, "out": {}, "up": {}}}}',
    ],
)
def test_a_damaged_file_of_counts_is_said_and_counts_begin_at_0(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gate.json").write_bytes(damage)
    board = counted(tmp_path, [person((0.1, 0.8), (0.9, 0.8), until=8)])
    assert board.heard.all_counts[-1].lines["gate"].out == {"person": 1}
    assert "counts begin anew" in caplog.text
    assert json.loads((tmp_path / "gate.json").read_text())["lines"]["gate"]["out"] == {"person": 1}


def test_a_file_of_counts_that_cannot_be_written_is_said_once_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    clock = ManualClock()
    board = Board(ledger=ledger_at(tmp_path / "state" / "gate.json", clock))
    for mono_ns, found in frames(crowd(), 20, detector=JITTER):
        board.run([(mono_ns, found)])
        clock.advance(0.1)
        board.reporter.tick(board.moment(mono_ns))
    board.close()
    assert board.heard.of("line")
    assert caplog.text.count("counts are not kept") == 1


def test_counts_are_on_disk_within_a_second_or_two(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = ledger_at(tmp_path / "gate.json", clock)
    board = Board(ledger=ledger)
    written = []
    for mono_ns, found in frames([person((0.1, 0.8), (0.9, 0.8), until=8)], 10, detector=JITTER):
        board.run([(mono_ns, found)])
        clock.advance(0.1)
        board.reporter.tick(board.moment(mono_ns))
        written.append((ledger.read() or Entry()).lines.get("gate", {}).get("out", {}).get("person", 0))
    crossed = next(event.mono_ns for event in board.heard.of("line"))
    assert written[round((crossed / NS - 5) * 10) + 12] == 1


def test_a_line_or_zone_that_is_no_longer_there_is_not_told(tmp_path: Path) -> None:
    old = Entry(lines={"old": {"in": {"car": 3}, "out": {}}}, known={"": ["car"], "old": ["car"]})
    ledger_at(tmp_path / "gate.json").write(old, now=True)
    board = counted(tmp_path, [])
    assert all(set(counts.lines) == {"gate"} for counts in board.heard.all_counts)
    assert all(set(counts.zones) == {"door"} for counts in board.heard.all_counts)


# Another model


def test_another_model_ends_what_the_one_before_saw_and_numbers_go_on() -> None:
    board = Board()
    board.run(frames([parked()], 10, detector=JITTER))
    board.run(frames([Thing(0, parked().way)], 10, since=10, detector=JITTER), known(("vehicle",), "other"))
    board.close()
    told = [
        (event.type, event.label, event.reason, event.model.name) for event in board.heard.of("object") if event.model
    ]
    assert [row for row in told if row[0] != "update"] == [
        ("new", "car", "", "toy"),
        ("end", "car", "model", "toy"),
        ("new", "vehicle", "", "other"),
        ("end", "vehicle", "stopped", "other"),
    ]
    ids = [event.id for event in board.heard.of("object", "new")]
    assert len(set(ids)) == len(ids)
    assert board.heard.all_counts[-2].labels == {"vehicle": 1}, "what this model does not know stays unavailable"


def test_the_same_labels_and_score_are_the_same_scene() -> None:
    board = Board()
    board.run(frames([parked()], 5))
    board.run(frames([parked()], 5, since=5), known(name="int8"))
    assert [event.type for event in board.heard.of("object")] == ["new"]
    assert board.heard.events[-1].model == known().ref


def test_line_counts_outlive_the_exchange_of_a_model() -> None:
    board = Board()
    walker = [person((0.1, 0.8), (0.9, 0.8), until=8)]
    board.run(frames(walker, 12, detector=JITTER))
    board.run(((20 * NS + mono_ns, found) for mono_ns, found in frames(walker, 12)), known((*LABELS, "dog")))
    assert board.heard.all_counts[-1].lines["gate"].out == {"person": 2}


# Pictures and privacy


def test_pictures_of_what_has_gone_are_dropped_and_never_sent_with_another_object() -> None:
    board = Board(config(events={"min_gap_s": 3600}), pictures=True)
    album = board.reporter._attached.album
    assert album is not None
    things = [person((0.1, 0.8), (0.9, 0.8), since=6 * n, until=6 * n + 5) for n in range(20)]
    board.run(frames(things, 130, detector=JITTER))
    assert len(board.heard.of("object", "new")) == 1
    assert album.size_bytes == 0


def test_counts_only_tells_counts_and_outages_and_nothing_of_objects() -> None:
    board = Board(config(privacy="counts-only", lines=LINES, zones=ZONES))
    board.run(frames(crowd(), 20, detector=JITTER))
    board.state(OFFLINE, 40)
    board.close()
    assert {event.kind for event in board.heard.events} == {"camera"}
    assert board.heard.all_counts[-1].lines["gate"].out == {"person": 4}
    for event in board.heard.events:
        assert (event.box, event.path, event.track_id, event.label) == (None, (), None, "")


def test_rules_fire_with_fields_and_with_a_picture_where_they_ask_for_one() -> None:
    rules = {
        "in": {"line": "gate", "direction": "out", "command": ["true"]},
        "shot": {"zone": "door", "snapshot": "shots"},
        "away": {"state": "offline", "for_s": 5, "command": ["true"]},
    }
    board = Board(config(lines=LINES, zones=ZONES, rules=rules), pictures=True)
    board.run(frames([person((0.1, 0.8), (0.9, 0.8), until=8)], 10, detector=JITTER))
    board.state(OFFLINE, 20)
    for second in range(20, 30):
        board.reporter.tick(board.moment(second * NS))
    assert [firing.rule for firing, _, _ in board.fired] == ["shot", "in", "away"]
    (_, shot, picture), (_, crossed, none), (_, away, _) = board.fired
    assert picture is not None
    assert picture.jpeg[:2] == b"\xff\xd8"
    assert none is None
    assert (shot["zone"], shot["label"], shot["camera"], shot["device"]) == ("door", "person", "gate", "pi")
    assert (crossed["line"], crossed["direction"], crossed["event"]) == (
        "gate",
        "out",
        board.heard.of("object", "new")[0].id,
    )
    assert (away["state"], away["duration_s"]) == ("offline", "5.0")


def test_updates_come_at_most_as_often_as_was_asked() -> None:
    board = Board(config(events={"update_s": 2.0}))
    board.run(frames([person((0.05, 0.8), (0.95, 0.8), until=30)], 32, detector=JITTER))
    times = [event.mono_ns for event in board.heard.of("object")][:-1]
    assert min(later - earlier for earlier, later in pairwise(times)) >= 2 * NS


# A camera that is covered


def test_a_cloth_ends_nothing_and_doubles_nothing_and_sets_off_no_rule() -> None:
    zones = {"door": {**ZONES["door"], "dwell_s": 30}}
    rules = {"long": {"zone": "door", "for_s": 35, "command": ["true"]}}
    board = Board(config(lines=LINES, zones=zones, rules=rules))
    board.state(ONLINE, 5)
    board.run(frames([parked()], 20))
    board.state(COVERED, 25)
    nothing = ((mono_ns, Detections.empty()) for mono_ns, _ in frames([parked()], 25, since=20))
    board.run(nothing)
    assert board.fired == []
    board.state(ONLINE, 50)
    board.run(frames([parked()], 10, since=45))
    assert [event.type for event in board.heard.of("object") if event.type != "update"] == ["new"]
    assert board.heard.all_counts[-1].available
    assert board.heard.all_counts[-1].labels == {"car": 1}


def test_a_duration_ends_where_it_was_last_seen() -> None:
    board = Board()
    board.run(frames([person((0.1, 0.8), (0.9, 0.8), since=1, until=7)], 20))
    (end,) = board.heard.of("object", "end")
    assert 5.5 <= end.duration_s <= 6.0
    (visit,) = board.heard.of("zone", "end")
    assert end.dwell_s["door"] == pytest.approx(visit.duration_s)


def test_no_state_comes_between_a_frame_and_its_report() -> None:
    board = Board()
    (mono_ns, found), *_ = frames([parked()], 1)
    told: list[str] = []

    def lose() -> None:
        board.state(OFFLINE, 30)
        told.append("state")

    with board.reporter.held():
        other = threading.Thread(target=lose)
        other.start()
        observation = board.reporter.observe(found, known(), board.moment(mono_ns), SIZE)
        assert observation is not None
        board.reporter.report(observation, board.moment(mono_ns), SIZE)
        told.append("report")
    other.join(10)
    assert told == ["report", "state"]
    assert not board.heard.all_counts[-1].available
