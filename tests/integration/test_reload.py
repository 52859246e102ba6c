"""A configuration that changes under a running daemon: what can change does, without a frame lost."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, final

import pytest

from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon
from tests.simulators.tiny_detectors import yolo_v8

pytestmark = pytest.mark.runtime

SOURCE = "synthetic:?width=64&height=64&fps=50"


@final
class Board:
    """A daemon on a configuration that a test rewrites."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "edgemass.toml"
        self._out = folder / "out.jsonl"
        self._folder = folder
        self._head = f'model = "{yolo_v8(folder / "tiny.onnx")}"\nsinks = ["jsonl:{self._out}"]\ntune = false\n'
        self._daemon = Daemon(folder, "--config", str(self.file), "--state", str(folder / "state"))

    def __enter__(self) -> Board:
        self.write(f'[cameras.door]\nsource = "{SOURCE}"\n')
        self._daemon.__enter__()
        self.until(lambda: len(self.frames("door")) > 5)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            assert self._daemon.end(signal.SIGTERM) == 0, self._daemon.err
        finally:
            self._daemon.__exit__(None, None, None)

    def write(self, cameras: str) -> None:
        self.file.write_text(self._head + cameras)

    def reload(self, cameras: str, said: str) -> None:
        """Rewrite, ask to read again, and wait until the log says this."""
        self.write(cameras)
        before = self.log.count(said)
        os.kill(self._daemon.pid, signal.SIGHUP)
        self.until(lambda: self.log.count(said) > before)

    @property
    def log(self) -> str:
        return self._daemon.err

    def documents(self) -> list[dict[str, Any]]:
        lines = self._out.read_text().splitlines(keepends=True) if self._out.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def frames(self, camera: str) -> list[dict[str, Any]]:
        return [
            each
            for each in self.documents()
            if each.get("camera") == camera and each["schema"] == "edgemass.detection/1"
        ]

    def until(self, done: Callable[[], bool]) -> None:
        try:
            wait_until(done, "the daemon does not do it")
        except AssertionError:
            raise AssertionError(self.log) from None

    def more(self, camera: str, count: int = 10) -> None:
        """Wait until so many more frames have come."""
        before = len(self.frames(camera))
        self.until(lambda: len(self.frames(camera)) >= before + count)


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with Board(tmp_path) as started:
        yield started


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    return [frame["seq"] for frame in frames]


def test_what_changes_between_two_frames_loses_none(board: Board) -> None:
    zone = "[cameras.door.zones.yard]\npoints = [[0, 0], [1, 0], [1, 1], [0, 1]]\n"
    board.reload(
        f'[cameras.door]\nsource = "{SOURCE}"\nscore = 0.01\nmax_fps = 40\n{zone}',
        "camera door goes on with another max_fps, score, zones",
    )
    board.more("door")
    board.until(lambda: any(each["schema"] == "edgemass.counts/1" and each["zones"] for each in board.documents()))
    frames = board.frames("door")
    assert numbers(frames) == list(range(1, len(frames) + 1))
    assert "camera offline" not in board.log
    assert board.log.count("camera online") == 1, "the camera was never opened again"


def test_a_bad_file_changes_nothing_and_says_where_it_is_wrong(board: Board) -> None:
    board.reload(
        f'[cameras.door]\nsource = "{SOURCE}"\nrotat = 90\n[cameras.yard]\nsource = "{SOURCE}"\n',
        f"the configuration stays as it was: {board.file}: camera door: unknown key `rotat`; did you mean `rotate`?",
    )
    board.more("door")
    assert not board.frames("yard")
    board.reload("model = 3\nsinks = 4", "the configuration stays as it was")
    board.more("door")


def test_cameras_come_and_go_while_the_others_go_on(board: Board) -> None:
    door = f'[cameras.door]\nsource = "{SOURCE}"\n'
    yard = f'[cameras.yard]\nsource = "{SOURCE}"\n'
    board.reload(door + yard, "camera yard is started")
    board.more("yard")
    board.reload(door + yard + "enabled = false\n", "camera yard is switched off")
    before = len(board.frames("yard"))
    board.more("door")
    assert len(board.frames("yard")) == before
    board.reload(door + yard, "camera yard is started")
    board.more("yard")
    board.reload(door, "camera yard is taken out")
    board.more("door")
    for camera in ("door", "yard"):
        frames = board.frames(camera)
        assert numbers(frames) == list(range(1, len(frames) + 1)), "no seq comes twice in a run"
        assert len({frame["run_id"] for frame in frames}) == 1


def test_another_source_starts_only_its_own_camera_anew(board: Board) -> None:
    board.reload('[cameras.door]\nsource = "synthetic:?width=96&height=64&fps=50"\n', "camera door is started anew")
    board.more("door")
    frames = board.frames("door")
    widths = [frame["frame"]["width"] for frame in frames]
    assert widths == sorted(widths)
    assert set(widths) == {64, 96}
    assert numbers(frames) == list(range(1, len(widths) + 1))


def test_what_a_camera_cannot_do_is_found_before_anything_stops(board: Board) -> None:
    board.reload(
        f'[cameras.door]\nsource = "{SOURCE}"\nclips = {{ folder = "clips" }}\n',
        "the configuration stays as it was: camera door: clips are copies of coded video",
    )
    board.more("door")


def test_what_cannot_change_is_said_to_wait(board: Board) -> None:
    board.reload(f'threads = 1\n[cameras.door]\nsource = "{SOURCE}"\n', "the configuration's new `threads` waits")
    board.more("door")


def test_a_source_that_is_not_there_changes_nothing(board: Board) -> None:
    board.reload(
        '[cameras.door]\nsource = "nothere.mp4"\n', "the configuration stays as it was: cannot read nothere.mp4"
    )
    board.more("door")
