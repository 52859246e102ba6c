from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemass import cli, config
from edgemass.agent.status_file import STATUS, StatusFile
from edgemass.cli import state as states
from edgemass.clock import boot_id
from edgemass.messages import to_json
from edgemass.messages.health import CameraHealth, HealthMessage
from tests.documents import health_message


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def said(state: Path, message: HealthMessage) -> StatusFile:
    """A daemon that runs and has said this."""
    file = StatusFile(state / "run")
    file.write(to_json(message))
    return file


def now(**changes: object) -> HealthMessage:
    return health_message(**{"mono_ns": time.monotonic_ns(), "boot_id": boot_id(), **changes})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session of a plain user in this folder, and no service."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(states, "RUNTIME", tmp_path / "of-the-service")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "session"))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    return tmp_path


def test_the_status_is_kept_in_memory_where_there_is_a_place_in_memory(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states.runtime(None) == machine / "session" / "edgemass"
    of_its_own = states.runtime("/data")
    assert of_its_own.parent == machine / "session" / "edgemass"
    assert states.runtime("/data/") == states.runtime("/data/../data") == of_its_own != states.runtime("/other")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert states.runtime("/data") == Path("/data/run")
    assert states.runtime(None) == config.state_folder() / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/edgemass:/run/other")
    assert states.runtime("/data") == Path("/run/edgemass")


def test_root_keeps_it_where_the_service_does_unless_that_lies_on_a_disk(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert states.runtime(None) == config.state_folder() / "run"  # as in a container
    monkeypatch.setattr(states, "RUNTIME", Path("/proc/edgemass"))  # which is a file system of its own
    assert states.runtime(None) == Path("/proc/edgemass")
    assert states.runtime("/data").parent == Path("/proc/edgemass")
    assert not (machine / "session").exists()


def test_a_status_is_found_wherever_the_daemon_could_keep_it(machine: Path) -> None:
    own = machine / "session" / "edgemass"
    assert states.runtimes(None) == [machine / "of-the-service", own, config.state_folder() / "run"]
    assert states.runtimes("/data") == [states.runtime("/data"), Path("/data/run")]
    assert states.runtimes("/var/lib/edgemass")[0] == machine / "of-the-service"


def test_a_device_that_is_well_is_shown_and_the_exit_code_is_0(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = said(state, now())
    assert cli.main(["status", "--state", str(state)]) == 0
    lines = capsys.readouterr().out.splitlines()
    file.close()
    assert re.fullmatch(r"pi-7f3a  edgemass 1\.0, up 100 s, as of \d s ago", lines[0])
    assert lines[-1].split() == ["problems", "none"]
    assert max(map(len, lines)) < 140


def test_problems_are_listed_and_the_exit_code_is_1(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera = CameraHealth(state="offline", reason="no answer")
    file = said(state, now(problems=("camera door is offline: no answer",), cameras={"door": camera}, ready=False))
    assert cli.main(["status", "--state", str(state)]) == 1
    assert "problems        camera door is offline: no answer\n" in capsys.readouterr().out
    assert cli.main(["status", "--state", str(state), "--json"]) == 1
    decoded = msgspec.json.decode(capsys.readouterr().out, type=HealthMessage)
    file.close()
    assert decoded.problems == ("camera door is offline: no answer",)


def test_without_a_daemon_it_says_how_to_start_one(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--state", str(state)]) == 1
    assert "no daemon runs; start it with `edgemass run --config FILE`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (lambda: {"mono_ns": 0, "boot_id": "another"}, "before this machine was started"),
        (lambda: {"mono_ns": time.monotonic_ns() - 200 * 10**9}, "200 s ago|3 min ago"),
    ],
)
def test_an_old_word_of_a_daemon_that_runs_is_told_as_such(
    state: Path, capsys: pytest.CaptureFixture[str], changes: Callable[[], dict[str, object]], told: str
) -> None:
    file = said(state, now(**changes()))
    assert cli.main(["status", "--state", str(state)]) == 1
    captured = capsys.readouterr()
    file.close()
    assert "it may hang" in captured.err
    assert re.search(told, captured.out)


def test_what_a_killed_daemon_left_is_told_as_such(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "run").mkdir(parents=True)
    (state / "run" / STATUS).write_bytes(to_json(now()))
    assert cli.main(["status", "--state", str(state)]) == 1
    assert "no daemon runs, it ended without a word" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": "edgemass.health/1"}', b"\xff\xfe"])
def test_a_damaged_file_is_named(state: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (state / "run").mkdir(parents=True)
    (state / "run" / STATUS).write_bytes(content)
    assert cli.main(["status", "--state", str(state)]) == 1
    assert f"{STATUS} is no status of edgemass" in capsys.readouterr().err


def test_a_document_of_a_newer_edgemass_can_be_read(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newer = msgspec.json.decode(to_json(now()))
    newer["later"] = newer["cameras"]["door"]["later"] = 1
    file = StatusFile(state / "run")
    file.write(msgspec.json.encode(newer))
    assert cli.main(["status", "--state", str(state)]) == 0
    file.close()
    assert "camera door" in capsys.readouterr().out
