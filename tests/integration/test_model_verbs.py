"""`edgemass model activate`, `rollback`, `list`, `verify`, `prune` and `history`, as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgemass.bundles import Bundle, write_new
from edgemass.store import ModelStore
from tests.simulators.board import PERSON, Board, person
from tests.simulators.daemon import edgemass

pytestmark = pytest.mark.runtime


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "board", "probation_s = 1.0")


def model(board: Board, *words: str) -> subprocess.CompletedProcess[str]:
    return edgemass("model", *words, "--state", str(board.state), timeout_s=120.0)


def done(board: Board, *words: str) -> str:
    """What a verb said that went well."""
    result = model(board, *words)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(board: Board, *words: str, code: int = 2) -> str:
    """The one line of a verb that went wrong."""
    result = model(board, *words)
    assert result.returncode == code, result
    assert result.stderr.startswith("edgemass: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def listed(board: Board) -> dict[str, dict[str, Any]]:
    """Digest -> what `list --json` says of it."""
    return {item["digest"]: item for item in json.loads(done(board, "list", "--json"))["stored"]}


def folder_of(bundle: Bundle, place: Path) -> Path:
    """The bundle as a folder of its own."""
    write_new(bundle.manifest, {variant.file: bundle.path(variant) for variant in bundle.manifest.variants}, place)
    return place


def test_a_model_is_activated_then_another_and_rolled_back_once(board: Board) -> None:
    one, two = board.add(person("2", 2)), board.add(person("3", 3))
    with board.daemon() as daemon:
        factory = board.wait_for("idle")["digest"]
        assert "a daemon takes it now" in done(board, "activate", one[7:15], "--wait", "90")
        assert board.reported["digest"] == one
        assert done(board, "activate", two, "--wait", "90").splitlines()[-1] == "confirmed"
        found = listed(board)
        assert found[two]["slots"] == {"main": "running"}
        assert found[one]["slots"] == {"main": "confirmed"}
        assert "stop it first" in refused(board, "prune")
        done(board, "rollback", "--wait", "90")
        assert board.reported["digest"] == one
        assert "nothing was confirmed" in refused(board, "rollback"), "and not forward again"
        assert daemon.end() == 0
    history = json.loads(done(board, "history", "--json"))
    assert [(line["what"], line["digest"]) for line in history["history"]] == [
        (what, digest) for digest in (one, two, one) for what in ("trial", "confirmed")
    ]
    assert factory not in found
    assert "edgemass-person 3" in done(board, "history")


def test_without_a_daemon_the_order_waits_for_the_next_run(board: Board) -> None:
    told = done(board, "activate", str(PERSON))
    assert f"it is tried by the next: edgemass run --state {board.state}" in told
    digest = person("1").digest
    with board.daemon() as daemon:
        assert board.wait_for("confirmed", sequence=1)["digest"] == digest
        assert daemon.end() == 0


def test_a_model_that_failed_is_refused_with_its_reason_and_tried_anyway(board: Board) -> None:
    digest = board.add(person("2", 2))
    store = ModelStore(board.state / "store")
    store.hold()
    store.refuse("main", digest, "NaN in its output", 1, "local")
    store.close()
    assert "failed here before: NaN in its output; give --anyway" in refused(board, "activate", digest)
    assert listed(board)[digest]["slots"] == {"main": "refused"}
    assert "as order 2" in done(board, "activate", digest, "--anyway")
    with board.daemon() as daemon:
        assert board.wait_for("confirmed", sequence=2)["digest"] == digest
        assert daemon.end() == 0
    assert board.slot.refused == {}


def test_an_order_that_nobody_follows_is_told_after_the_wait(board: Board) -> None:
    board.add(person("2", 2))
    assert "not decided within 0.3 s" in refused(board, "activate", str(PERSON), "--wait", "0.3", code=1)


def test_damage_is_found_and_told(board: Board) -> None:
    digest = board.add(person("2", 2))
    assert f"sound    {digest[:19]}  edgemass-person 2" in done(board, "verify")
    assert "sound" in done(board, "verify", digest[7:17])
    assert "sound" in done(board, "verify", str(PERSON))
    blob = max((board.state / "store" / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1])
    result = model(board, "verify")
    assert result.returncode == 1
    assert f"damaged  {digest[:19]}  edgemass-person 2: {blob}" in result.stdout
    assert "another content than its name says" in result.stdout
    assert "is damaged in the store" in refused(board, "activate", digest, code=1)


def test_a_damaged_bundle_folder_is_told(board: Board, tmp_path: Path) -> None:
    place = folder_of(person("2", 2), tmp_path / "bundle")
    assert "sound" in done(board, "verify", str(place))
    file = place / person("2").manifest.reference.file
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    result = model(board, "verify", str(place))
    assert (result.returncode, result.stdout.split()[0]) == (1, "damaged")


def test_prune_removes_what_is_not_needed_any_more(board: Board) -> None:
    digests = [board.add(person(str(version), version)) for version in (2, 3, 4)]
    store = ModelStore(board.state / "store")
    store.hold()
    for sequence, digest in enumerate(digests, 1):
        store.begin_trial("main", digest, sequence=sequence, origin="local", boot_id="x")
        store.confirm("main")
    store.close()
    assert "at least 2" in refused(board, "prune", "--keep", "1")
    assert "--free 'much'" in refused(board, "prune", "--free", "much")
    assert "0 removed" in done(board, "prune", "--keep", "3")
    assert f"removed  {digests[0][:19]}  edgemass-person 2" in done(board, "prune")
    assert set(listed(board)) == set(digests[1:])
    assert "sound" in done(board, "verify")


@pytest.mark.parametrize("words", [("verify",), ("rollback",), ("prune",), ("history",), ("activate", "abcdef12")])
def test_where_there_is_no_store_the_verbs_say_so_and_make_none(board: Board, words: tuple[str, ...]) -> None:
    assert "no model was put into" in refused(board, *words)
    assert not board.state.exists()


def test_list_and_a_mistyped_name_make_no_store(board: Board) -> None:
    assert listed(board) == {}
    assert "no model 'dor'" in refused(board, "activate", "dor")
    assert not board.state.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("activate", "ffffff"), "begins with ffffff"),
        (("activate", "sha256:ab"), "at least its first 6 digits"),
        (("activate", str(PERSON), "--wait", "0"), "--wait must be above 0"),
        (("activate", str(PERSON), "--wait", "nan"), "--wait must be above 0"),
        (("rollback", "--slot", "../x"), "--slot '../x'"),
        (("history", "--slot", "../x"), "no name of a slot"),
        (("rollback",), "nothing was confirmed in slot main"),
    ],
)
def test_a_mistake_is_one_line(board: Board, words: tuple[str, ...], told: str) -> None:
    board.add(person("2", 2))
    assert told in refused(board, *words, code=1 if words[0] == "history" else 2)


def test_the_environment_names_the_state_folder(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "EDGEMASS_STATE", str(board.state))
    assert edgemass("model", "activate", str(PERSON)).returncode == 0
    assert person("1").digest[:19] in edgemass("model", "list").stdout
