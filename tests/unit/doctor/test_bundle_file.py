"""The file for a bug report: what is in it, how large it gets, and that no secret is."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from edgemass import cli, doctor
from edgemass.doctor import Report, Status, Verdict, bundle_file
from edgemass.doctor.bundle_file import MOST_BYTES, write
from tests.unit.doctor.conftest import MakeMachine

SECRETS = ("hunter2", "s3cr3t-of-file", "tok3n-of-query", "p%40ss", "p@ss", "pl4in", "he4der", "quot ed")
CONFIGURATION = """
sinks = ["mqtt://me:hunter2@broker", "mqtt://me@broker?password_file={secret}"]
[cameras.door]
source = "rtsp://me:p%40ss@cam/1?token=tok3n-of-query"
"""
LOG = """
connecting to mqtt://me:hunter2@broker
the broker says: not authorised for hunter2
mqtt password: pl4in, user: me
Authorization: Bearer he4der
{"password": "quot ed", "user": "me"}
token tok3n-of-query was sent, and p@ss and p%40ss too; s3cr3t-of-file
"""


@pytest.fixture
def report() -> Report:
    verdict = Verdict("EM501", "broker", Status.FAIL, "refuses me: hunter2 is wrong", "check s3cr3t-of-file")
    return Report((verdict,), Status.FAIL)


def members(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_no_planted_secret_is_in_any_member(
    machine: MakeMachine, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-of-file\n")
    config = tmp_path / "edgemass.toml"
    config.write_text(CONFIGURATION.format(secret=secret))
    (tmp_path / "run/edgemass").mkdir(parents=True)
    (tmp_path / "run/edgemass/status.json").write_text('{"outputs": {"mqtt://me:hunter2@broker": {"token": "pl4in"}}}')
    monkeypatch.setattr(bundle_file, "_log", lambda: LOG)
    write(tmp_path / "report.zip", report, machine(config=config))
    found = members(tmp_path / "report.zip")
    assert list(found) == ["report.json", "versions.txt", "configuration.toml", "log.txt", "status.json"]
    assert [(name, word) for name, text in found.items() for word in SECRETS if word in text] == []
    assert "me" in found["configuration.toml"]  # names help, and open nothing
    assert "not authorised" in found["log.txt"]


def test_it_is_its_owners_alone_and_the_same_for_the_same_report(
    machine: MakeMachine, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_file, "_log", lambda: "")
    for name in ("one.zip", "two.zip"):
        write(tmp_path / name, report, machine())
    assert stat.S_IMODE((tmp_path / "one.zip").stat().st_mode) == 0o600
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_log_without_end_keeps_its_end_and_the_file_its_size(
    machine: MakeMachine, tmp_path: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    import random

    noise = random.Random(1)
    lines = "\n".join(noise.randbytes(60).hex() for _ in range(100_000))
    monkeypatch.setattr(bundle_file, "_log", lambda: f"{lines}\nthe last line\n")
    (tmp_path / "run/edgemass").mkdir(parents=True)
    (tmp_path / "run/edgemass/status.json").write_text(lines[: 1 << 20])
    write(tmp_path / "report.zip", report, machine())
    assert (tmp_path / "report.zip").stat().st_size < MOST_BYTES
    assert members(tmp_path / "report.zip")["log.txt"].endswith("the last line\n")


@pytest.mark.parametrize("place", ["nope/report.zip", "file/report.zip", "folder"])
def test_a_file_that_cannot_be_written_is_refused_before_the_examination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    def examine(_: object) -> None:
        pytest.fail("the examination began")

    monkeypatch.setattr(doctor, "examine", examine)
    assert cli.main(["doctor", "--bundle", str(tmp_path / place)]) == 2
    said = capsys.readouterr()
    assert f"cannot write {tmp_path / place}: " in said.err
    assert not said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert not list((tmp_path / "folder").iterdir())
