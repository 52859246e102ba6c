"""A daemon whose store takes no more writes: what serves goes on serving, and what is bad goes all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulators import bad_models
from tests.simulators.board import Board, person
from tests.simulators.broker import wait_until
from tests.simulators.daemon import Daemon

pytestmark = pytest.mark.runtime


def block(board: Board, daemon: Daemon) -> Path:
    """From now on this daemon cannot write what it knows of its slot, as on a full disk."""
    place = board.state / "store" / "slots" / f".main.json.{daemon.pid}.part"
    place.mkdir()
    return place


def serves(board: Board, digest: str) -> None:
    """Wait until documents come that name this model."""
    before = len(board.documents())
    wait_until(
        lambda: any(item["model"]["digest"] == digest for item in board.documents()[before:]),
        f"documents of {digest}",
        60.0,
    )


@pytest.mark.slow  # 45 s: it has to be slow for a while
def test_a_bad_model_goes_though_nobody_can_be_told(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", "probation_s = 600.0")
    digest = board.add(bad_models.person(tmp_path / "bad", "slow", after=400))
    with board.daemon() as daemon:
        old = board.wait_for("idle")["digest"]
        sequence = board.order(digest)
        board.wait_for("probation", sequence=sequence)
        place = block(board, daemon)
        report = board.wait_for("rolled_back", sequence=sequence)
        assert report["digest"] == old
        assert "the store cannot be told" in daemon.err
        serves(board, old)
        assert digest not in board.slot.refused
        place.rmdir()
        wait_until(lambda: digest in board.slot.refused, "the store is told after all")
        serves(board, old)
        assert daemon.end() == 0
    assert "slow" in board.slot.refused[digest] or "keeps up" in board.slot.refused[digest]
    assert board.slot.trial is None


def test_an_order_that_cannot_be_noted_is_refused_and_the_old_model_serves(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", "probation_s = 1.0")
    digest = board.add(person("2", 2))
    with board.daemon() as daemon:
        old = board.wait_for("idle")["digest"]
        block(board, daemon)
        report = board.wait_for("failed", sequence=board.order(digest))
        assert "see that its folder can be written" in report["reason"]
        serves(board, old)
        assert daemon.end() == 0
