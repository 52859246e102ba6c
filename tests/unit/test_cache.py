"""What this device can make again has one place, and never more of it than is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemass import cache


@pytest.fixture(autouse=True)
def _no_place_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_chosen", [])


def test_the_place_stays_when_a_state_folder_comes_into_being(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PLACES", (tmp_path / "home", tmp_path / "state"))
    assert cache.folder("graphs") == tmp_path / "home" / "graphs"
    (tmp_path / "state").mkdir()
    assert cache.folder("graphs") == tmp_path / "home" / "graphs"
    assert cache.folder("graphs").stat().st_mode & 0o777 == 0o700


def test_without_a_home_that_can_be_used_the_state_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "home").touch()
    for home in (tmp_path / "home", Path("~nobody-of-this-name/cache")):
        monkeypatch.setattr(cache, "PLACES", (home, tmp_path / "state"))
        assert cache.folder("graphs") == tmp_path / "state" / "graphs"


def test_a_chosen_place_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PLACES", (tmp_path, tmp_path))
    cache.use(tmp_path / "mine")
    assert cache.folder("graphs") == tmp_path / "mine" / "graphs"


def test_a_child_process_is_told_a_chosen_place_and_finds_others_as_its_parent_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home that cannot be used is not handed over as the one place there is."""
    (tmp_path / "home").touch()
    monkeypatch.setattr(cache, "PLACES", (tmp_path / "home", tmp_path))
    assert cache.handed_over() == ""
    cache.use(tmp_path / "mine")
    assert cache.handed_over() == str(tmp_path / "mine")


def test_a_service_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PLACES", (Path("~nobody-of-this-name/cache"), Path("/absent")))
    with pytest.raises(OSError, match="no home folder"):
        cache.folder("graphs")


def test_a_folder_of_another_user_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, system = tmp_path / "home", tmp_path / "state"
    monkeypatch.setattr(cache, "PLACES", (user, system))
    (user / "graphs").mkdir(parents=True)
    system.mkdir()
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != user / "graphs" and access(path, mode))
    assert cache.folder("graphs") == system / "graphs"
    assert cache.folder("imports") == user / "imports"
    cache.use(user)
    with pytest.raises(PermissionError, match="somebody else"):
        cache.folder("graphs")


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache.use(tmp_path / "file")
    with pytest.raises(OSError, match="Not a directory"):
        cache.folder("graphs")


def test_the_oldest_entries_go_first(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "old", "older")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "content").touch()
        os.utime(tmp_path / name, ns=(0, 10**18 - age * 10**9))
    cache.trim(tmp_path, 2)
    assert {entry.name for entry in tmp_path.iterdir()} == {"new", "old"}


def test_a_file_that_is_replaced_has_another_key(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"one")
    before = cache.key_of_file(path)
    assert cache.key_of_file(path) == before
    other = tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert cache.key_of_file(path) != before


def test_parts_do_not_run_into_each_other() -> None:
    assert cache.key("ab", "c") != cache.key("a", "bc")


def test_code_that_was_changed_has_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one = 1")
    before = cache.fingerprint_of_code(tmp_path)
    (tmp_path / "a.py").write_text("one = 10")
    assert cache.fingerprint_of_code(tmp_path) != before
