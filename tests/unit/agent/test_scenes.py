"""What a board wires beside its cameras: refusals before anything runs, what goes where, and what stays on disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemass import sinks, sources
from edgemass.agent.scenes import Scenes
from edgemass.config import Config, Record, camera_config
from edgemass.counters import Counters
from edgemass.errors import ConfigError, SourceError, UsageError
from edgemass.frame import Frame
from edgemass.messages import ModelRef
from edgemass.pipeline.ledger import Entry
from edgemass.pipeline.moment import Identity, Moment
from edgemass.pipeline.recording import Known
from edgemass.replay import Told
from edgemass.scene.crossings import Totals
from edgemass.sinks import Sink, SinkContext
from tests.simulators.manual_clock import ManualClock
from tests.simulators.mishaps import noisy
from tests.simulators.walkers import LABELS, boxes
from tests.unit.scene.test_views import picture

MODEL = Known(ModelRef("toy", "1", "sha256:00", "fp32"), LABELS, 0.5)
SIZE = (1280, 720)
BOX = (0.4, 0.4, 0.5, 0.8)


class Board:
    """Scenes of live cameras on a clock that stands still until it is told."""

    def __init__(
        self,
        folder: Path,
        cameras: Mapping[str, Mapping[str, Any]],
        outputs: list[Sink] | None = None,
        *,
        record: bool = False,
        task: str = "detection",
    ) -> None:
        self.told = Told()
        self.clock = ManualClock()
        self.state = folder / "state"
        tables = {name: camera_config({"source": "synthetic:", **table}, name) for name, table in cameras.items()}
        config = Config(cameras=tables, state=str(self.state), record=Record(folder / "rec") if record else None)
        self.scenes = Scenes(config, outputs or [self.told], identity=Identity("pi", "b", "r"), clock=self.clock)
        opened = {name: sources.open("synthetic:", sources.CaptureOptions(), self.clock) for name in cameras}
        try:
            self.scenes.open(opened, {name: Counters() for name in cameras}, task)
        except Exception:
            self.scenes.close()
            raise

    def see(self, camera: str, seconds: float, *found: tuple[float, ...]) -> None:
        """Ten frames a second with these boxes."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            moment = Moment.of(self.clock.monotonic_ns(), self.clock.time_ns())
            reporter = self.scenes.reporters[camera]
            observation = reporter.observe(boxes(*found), MODEL, moment, SIZE)
            assert observation is not None
            reporter.report(observation, moment, SIZE)

    def look(self, camera: str, seconds: float) -> None:
        """What sight is shown."""
        random = np.random.default_rng(1)
        for _ in range(round(seconds * 2)):
            self.clock.advance(0.5)
            shown = noisy(picture().astype(np.float32), 2, random)
            at_ns = self.clock.monotonic_ns()
            self.scenes.sights[camera].look(
                Frame(
                    lambda shown=shown: np.repeat(shown[:, :, None], 3, axis=2),  # type: ignore[misc]
                    width=shown.shape[1],
                    height=shown.shape[0],
                    mono_ns=at_ns,
                    time_ns=at_ns,
                    arrived_ns=at_ns,
                )
            )

    def lines(self, camera: str) -> list[bytes]:
        return [line for line in self.told.lines if f'"camera":"{camera}"'.encode() in line]


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def test_a_rule_that_sends_needs_a_broker(tmp_path: Path) -> None:
    rules = {"ring": {"mqtt": {"topic": "home/door"}}}
    with pytest.raises(ConfigError, match=r"camera door: rules.ring: mqtt needs a broker among the sinks; give --mqtt"):
        Board(tmp_path, {"door": {"rules": rules}})


def test_what_finds_no_boxes_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--record takes down boxes, but this model does classification"):
        Board(tmp_path, {"door": {}}, record=True, task="classification")
    assert not (tmp_path / "rec").exists()


def test_without_events_a_recording_is_made_and_nothing_is_told(tmp_path: Path) -> None:
    board = Board(tmp_path, {"door": {"events": False}}, record=True)
    board.see("door", 5, BOX)
    assert board.scenes.reporters["door"].outlets.heard, "nobody has stopped to listen"
    board.scenes.end()
    assert board.told.lines == []
    assert b'"type":"new"' in (tmp_path / "rec" / "door.events.jsonl").read_bytes()


def test_whoever_waits_for_pictures_of_a_private_camera_is_told_once_that_none_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = sinks.open(f"snapshots:{tmp_path}/shots", SinkContext("pi", ManualClock(), Counters()))
    cameras: dict[str, dict[str, Any]] = {"a": {"privacy": "counts-only"}, "b": {"privacy": "counts-only"}, "c": {}}
    with caplog.at_level(logging.WARNING):
        Board(tmp_path, cameras, [pictures]).scenes.close()
        Board(tmp_path, {"c": {}}, [pictures]).scenes.close()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said == f"snapshots:{tmp_path}/shots gets no picture of a, b: privacy = counts-only"


def test_what_a_private_camera_usually_sees_is_not_kept_and_its_counts_are(tmp_path: Path) -> None:
    board = Board(tmp_path, {"open": {"events": True}, "private": {"privacy": "counts-only"}})
    for camera in ("open", "private"):
        board.look(camera, 20)
        board.see(camera, 3, BOX)
    board.scenes.end()
    assert sorted(path.name for path in (board.state / "scene").iterdir()) == [
        "open.counts.json",
        "open.views.json",
        "private.counts.json",
    ]


def test_what_is_kept_of_a_scene_is_not_for_everybody_to_read(tmp_path: Path) -> None:
    board = Board(tmp_path, {"door": {"events": True}})
    board.look("door", 20)
    board.see("door", 3, BOX)
    board.scenes.end()
    assert {path.name: mode(path) for path in (board.state / "scene").iterdir()} == {
        "door.counts.json": "640",
        "door.views.json": "640",
    }


def test_a_camera_that_ends_beside_others_ends_what_it_saw_once_and_the_others_go_on(tmp_path: Path) -> None:
    board = Board(tmp_path, {"a": {"events": True}, "b": {"events": True}})
    for camera in ("a", "b"):
        board.see(camera, 3, BOX)
    board.scenes.camera_ended("a", SourceError("the file is at its end: rtsp://admin:hunter2@host/a"))
    said = len(board.lines("a"))
    assert any(b'"type":"end"' in line and b'"kind":"object"' in line for line in board.lines("a"))
    assert any(b'"state":"offline"' in line for line in board.lines("a"))
    assert not any(b"hunter2" in line for line in board.told.lines)
    board.scenes.camera_ended("a", SourceError("again"))
    board.scenes.tick()
    board.see("b", 3, BOX)
    assert not any(b'"type":"end"' in line for line in board.lines("b"))
    board.scenes.end()
    assert len(board.lines("a")) == said, "nothing is told of it twice"
    assert any(b'"type":"end"' in line for line in board.lines("b"))


def test_one_camera_whose_scene_fails_keeps_no_other_from_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    board = Board(tmp_path, {"a": {"events": True}, "b": {"events": True}})
    for camera in ("a", "b"):
        board.see(camera, 3, BOX)

    def fail(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(board.scenes.reporters["a"], "tick", fail)
    with caplog.at_level(logging.ERROR):
        board.scenes.tick()
    (record,) = caplog.records
    assert (record.message, record.__dict__["camera"]) == ("a camera's scene failed", "a")
    assert record.exc_info is not None
    assert (board.state / "scene" / "b.counts.json").is_file()


def test_counts_of_a_line_that_is_taken_out_are_kept_until_it_comes_back(tmp_path: Path) -> None:
    gate: Totals = {"gate": {"in": {"person": 3}, "out": {}}}
    line = {"lines": {"gate": {"points": [[0.5, 0.0], [0.5, 1.0]]}}}
    board = Board(tmp_path, {"door": {"events": True}})
    board.scenes._counts_file("door").write(Entry(lines=gate), now=True)
    board = Board(tmp_path, {"door": {"events": True}})
    board.see("door", 3, BOX)
    board.scenes.end()
    assert not any(b'"gate"' in told for told in board.told.lines)
    board = Board(tmp_path, {"door": line})
    board.see("door", 3, BOX)
    board.scenes.end()
    assert b'"gate":{"in":{"person":3}' in board.told.lines[-1]
