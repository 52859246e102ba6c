"""A daemon whose models are managed: orders, trials, and what does not survive them."""

from __future__ import annotations

import functools
import os
import random
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemass import config
from edgemass.agent import Agent, changeover, observing, proving, updating
from edgemass.agent.probation import ProbationLimits
from edgemass.bundles import Bundle
from edgemass.store import ModelStore
from tests.simulators import bad_models, brief_proving
from tests.simulators.board import Board, person
from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon

pytestmark = pytest.mark.runtime

QUICK = ("probation_s = 2.0",)
CAMERA_60 = "synthetic:?width=320&height=240&fps=60"


def serves(board: Board, digest: str) -> None:
    """Wait until documents come that name this model."""
    before = len(board.documents())

    def come() -> bool:
        new = board.documents()[before:]
        return len(new) >= 3 and new[-1]["model"]["digest"] == digest

    wait_until(come, f"documents of {digest}")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, *QUICK)


def test_an_ordered_model_is_proven_swapped_in_watched_and_confirmed(board: Board) -> None:
    digest = board.add(person("2", 2))
    with board.daemon() as daemon:
        first = board.wait_for("idle")
        sequence = board.order(digest)
        report = board.wait_for("confirmed", sequence=sequence)
        serves(board, digest)
        assert daemon.end() == 0
    assert first["version"] == "1"
    assert (report["version"], report["digest"], report["origin"]) == ("2", digest, "local")
    documents = board.documents()
    assert [document["seq"] for document in documents] == list(range(1, len(documents) + 1))
    assert {document["model"]["digest"] for document in documents} == {first["digest"], digest}
    assert [kept.digest for kept in board.slot.confirmed] == [digest]
    assert [line.what for line in board.slot.history] == ["trial", "confirmed"]


def test_an_order_for_what_the_board_came_with_confirms_it(board: Board) -> None:
    digest = board.add(person("1"))
    with board.daemon() as daemon:
        assert board.wait_for("idle")["digest"] == digest
        assert board.wait_for("confirmed", sequence=board.order(digest))["digest"] == digest
        assert daemon.end() == 0
    assert [kept.digest for kept in board.slot.confirmed] == [digest]
    with board.daemon():
        serves(board, digest)


def test_an_order_for_what_is_on_trial_is_answered_by_the_end_of_the_trial(board: Board) -> None:
    digest = board.add(person("2", 2))
    with board.daemon() as daemon:
        board.wait_for("idle")
        board.wait_for("probation", sequence=board.order(digest))
        again = board.order(digest)
        assert board.wait_for("confirmed", sequence=again)["digest"] == digest
        assert daemon.end() == 0
    assert board.slot.sequences == {"local": again}
    assert [line.what for line in board.slot.history] == ["trial", "confirmed"]


@pytest.mark.slow
def test_a_confirmed_model_serves_after_a_restart_without_any_server(board: Board) -> None:
    digest = board.add(person("2", 2))
    with board.daemon() as daemon:
        board.wait_for("idle")
        board.wait_for("confirmed", sequence=board.order(digest))
        daemon.end()
    with board.daemon():
        serves(board, digest)


@pytest.mark.slow
def test_an_order_that_was_followed_is_not_followed_again(board: Board) -> None:
    one, two = board.add(person("2", 2)), board.add(person("3", 3))
    with board.daemon() as daemon:
        board.wait_for("idle")
        board.wait_for("confirmed", sequence=board.order(one))
        board.wait_for("confirmed", sequence=board.order(two))
        order = (board.state / "desired" / "main.json").read_bytes()
        (board.state / "desired" / "main.json").write_bytes(order.replace(b'"sequence":2', b'"sequence":1'))
        report = board.wait_for("failed")
        assert "sequence 1, one with 2 was followed" in report["reason"]
        assert report["digest"] == two
        daemon.end()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: bad_models.person(folder, "nan"), "NaN|finite"),
        (lambda folder: bad_models.person(folder, "crashing"), "crash|SIG"),
    ],
    ids=["nan", "crashing"],
)
def test_a_bad_model_is_refused_and_the_old_one_runs_on(
    board: Board, tmp_path: Path, make: Callable[[Path], Bundle], reason: str
) -> None:
    digest = board.add(make(tmp_path / "bad"))
    with board.daemon() as daemon:
        old = board.wait_for("idle")["digest"]
        report = board.wait_for("failed", sequence=board.order(digest))
        serves(board, old)
        daemon.end()
    assert report["digest"] == old
    assert report["wanted"] == digest
    assert re.search(reason, report["reason"]), report["reason"]
    assert digest in board.slot.refused
    assert board.slot.trial is None


def test_a_model_that_takes_the_daemon_down_on_probation_is_not_tried_again(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", "probation_s = 600.0", camera=CAMERA_60)
    digest = board.add(bad_models.person(tmp_path / "bad", "crashing", after=150))
    with board.daemon() as daemon:
        old = board.wait_for("idle")["digest"]
        board.wait_for("probation", sequence=board.order(digest))
        assert daemon.wait(60) < 0  # a signal: nobody could catch it
    with board.daemon() as daemon:
        serves(board, old)
        assert daemon.end() == 0
    assert "took the process down" in board.slot.refused[digest]


def test_a_clean_end_on_probation_says_nothing_against_the_model(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", "probation_s = 600.0")
    digest = board.add(person("2", 2))
    with board.daemon() as daemon:
        board.wait_for("idle")
        board.order(digest)
        board.wait_for("probation")
        assert daemon.end() == 0
    with board.daemon() as daemon:
        assert board.wait_for("probation")["digest"] == digest
        serves(board, digest)
        assert daemon.end() == 0
    assert board.slot.refused == {}


def confirmed(board: Board, *digests: str) -> None:
    """As if these had been confirmed in earlier runs, the last one last."""
    store = ModelStore(board.state / "store")
    store.hold()
    for sequence, digest in enumerate(digests, start=1):
        store.begin_trial("main", digest, sequence=sequence, origin="local", boot_id="earlier")
        store.confirm("main")
    store.close()


def test_a_mistake_in_the_configuration_forgets_no_model(tmp_path: Path) -> None:
    board = Board(tmp_path, more='variant = "nosuch"')
    one, two = board.add(person("2", 2)), board.add(person("3", 3))
    confirmed(board, one, two)
    with board.daemon() as daemon:
        assert daemon.wait(60) == 2
        assert "no variant 'nosuch'" in daemon.err
    assert [kept.digest for kept in board.slot.confirmed] == [two, one]
    board.config.write_text(board.config.read_text(encoding="utf-8").replace("nosuch", "int8"), encoding="utf-8")
    with board.daemon():
        serves(board, two)


def test_a_damaged_model_gives_way_to_the_one_before(board: Board) -> None:
    one, two = board.add(bad_models.person(board.folder / "one", release=2)), board.add(person("3", 3))
    confirmed(board, one, two)
    manifest = person("3", 3).manifest
    for variant in manifest.variants:
        (board.state / "store" / "blobs" / "sha256" / variant.sha256).write_bytes(b"rotten")
    with board.daemon():
        serves(board, one)
    assert [kept.digest for kept in board.slot.confirmed] == [one]


def kills(folder: Path, count: int, seed: int) -> None:
    """Kill a daemon that follows orders at random moments; after each it has to serve again without any help."""
    chance = random.Random(seed)
    board = Board(folder, "probation_s = 1.0")
    digests = [board.add(person(str(version), version)) for version in range(2, 6)]
    factory = person("1").digest
    for _ in range(count):
        with board.daemon() as daemon:
            _serves_anything(board, daemon, {factory, *digests})
            if chance.random() < 0.8:
                board.order(chance.choice(digests))
            threading.Event().wait(chance.uniform(0.0, 6.0))  # any moment of an exchange, and some after it
            daemon.end(signal.SIGKILL)
    with board.daemon() as daemon:
        _serves_anything(board, daemon, {factory, *digests})
        assert daemon.end() == 0


def _serves_anything(board: Board, daemon: Daemon, known: set[str]) -> None:
    before = len(board.documents())
    wait_until(lambda: len(board.documents()) > before + 2 or not daemon.running, "documents after a kill", 60.0)
    assert daemon.running, daemon.err
    last = board.documents()[-1]["model"]["digest"]
    assert last in known
    assert last not in board.slot.refused


def test_a_killed_daemon_comes_back_with_a_model_that_runs(tmp_path: Path) -> None:
    kills(tmp_path, 3, seed=int(os.environ.get("EDGEMASS_SEED", "1")))


@pytest.mark.slow
def test_1000_kills(tmp_path: Path) -> None:
    kills(tmp_path, 1000, seed=int(os.environ.get("EDGEMASS_SEED", "1")))


def test_a_model_that_turns_bad_on_probation_is_taken_back_between_two_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon in this process, so that what takes a minute on a board takes seconds."""
    quick = functools.partial(ProbationLimits, window_s=2.0, evidence_frames=20)
    monkeypatch.setattr(changeover, "ProbationLimits", quick)
    monkeypatch.setattr(proving, "EFFORT", brief_proving.EFFORT)
    monkeypatch.setattr(updating, "LOOK_S", brief_proving.LOOK_S)
    monkeypatch.setattr(observing, "PICTURES_S", brief_proving.PICTURES_S)
    board = Board(tmp_path / "board", "probation_s = 600.0", camera=CAMERA_60, max_slowdown=2.0)
    digest = board.add(bad_models.person(tmp_path / "bad", "slow", after=300))
    stop = threading.Event()
    agent = Agent(config.load(board.config))
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(agent.run(stop)))
    thread.start()
    try:
        old = board.wait_for("idle")["digest"]
        report = board.wait_for("rolled_back", "confirmed", "failed", sequence=board.order(digest))
        serves(board, old)
    finally:
        stop.set()
        thread.join(30)
    assert codes == [0]
    assert (report["phase"], report["digest"], report["wanted"]) == ("rolled_back", old, digest)
    assert re.search("too slow|keeps up", report["reason"]), report["reason"]
    assert digest in board.slot.refused
    documents = board.documents()
    assert [document["seq"] for document in documents] == list(range(1, len(documents) + 1))
