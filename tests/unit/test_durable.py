from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import durable


def test_a_finished_file_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"new")
    (tmp_path / "file").write_bytes(b"old")
    durable.move(tmp_path / "part", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_copy_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        durable.copy(tmp_path / "absent", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_is_held_by_one_and_let_go_at_the_end(tmp_path: Path) -> None:
    with durable.alone(tmp_path / "lock") as first, durable.alone(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with durable.alone(tmp_path / "lock") as again:
        assert again
