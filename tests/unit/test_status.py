from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemass import cli, config
from edgemass.agent.status_file import STATUS, StatusFile, held
from edgemass.cli import state as states
from edgemass.clock import boot_id
from edgemass.config import names
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
    (tmp_path / "session").mkdir()
    monkeypatch.setattr(states, "SESSIONS", tmp_path / "sessions")
    for module in (config, names):
        monkeypatch.setattr(module, "SYSTEM_STATE", tmp_path / "of-the-system")
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


@pytest.mark.usefixtures("machine")
def test_root_keeps_it_where_the_service_does_unless_that_lies_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert states.runtime(None) == config.state_folder() / "run"  # as in a container
    monkeypatch.setattr(states, "RUNTIME", Path("/proc/edgemass"))  # which is a file system of its own
    assert states.runtime(None) == Path("/proc/edgemass")
    assert states.runtime("/data").parent == Path("/proc/edgemass")


@pytest.mark.parametrize("left", ["/absent", "relative", "/proc/1/cwd"])
def test_a_session_of_somebody_else_or_of_yesterday_is_no_place_for_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """`su` leaves XDG_RUNTIME_DIR as it was."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != Path("/proc/1/cwd") and access(path, mode))
    monkeypatch.chdir(machine)
    Path("relative").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", left)
    assert states.runtime(None) == config.state_folder() / "run"
    assert states.runtime("/data") == Path("/data/run")


def test_a_status_is_found_wherever_the_daemon_could_keep_it(machine: Path) -> None:
    own = machine / "session" / "edgemass"
    assert states.runtimes(None)[:2] == [machine / "of-the-service", own]
    assert states.runtimes(None)[-1] == config.state_folder() / "run"
    assert {states.runtime("/data"), Path("/data/run")} < set(states.runtimes("/data"))
    assert machine / "of-the-service" not in states.runtimes("/data")
    assert states.runtimes(str(config.SYSTEM_STATE))[0] == machine / "of-the-service"


def test_cron_finds_what_was_started_in_a_session(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = machine / "sessions" / "1000"
    session.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    started = {asked: states.runtime(asked) for asked in (None, "/data")}
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    for asked, folder in started.items():
        assert folder.is_relative_to(session)
        assert folder in states.runtimes(asked)


def test_others_find_what_root_started(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory; and in a container, where /run is none."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    in_container = states.runtime(None)
    in_container.mkdir(parents=True)
    monkeypatch.setattr(states, "RUNTIME", Path("/proc/edgemass"))  # which is a file system of its own
    in_memory = states.runtime("/data")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert in_container == machine / "of-the-system" / "run"
    assert states.runtimes(None)[-1] == in_container
    assert in_memory in states.runtimes("/data")


def test_the_doctor_looks_at_the_disk_of_the_daemon_that_runs_or_would(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, own = machine / "of-the-system", config.state_folder()
    assert states.examined(None, None) == own
    assert states.examined("/data", states.RUNTIME) == Path("/data")
    assert states.examined(None, states.RUNTIME) == system
    system.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(machine))
    assert states.examined(None, None) == system
    (machine / "edgemass").mkdir()
    assert states.examined(None, None) == machine / "edgemass"


def test_a_daemon_that_outlives_its_session_is_found_in_the_next_one(state: Path) -> None:
    file = said(state, now())
    shutil.rmtree(state)
    file.write(b"{}")
    assert held(state / "run")
    assert (state / "run" / STATUS).read_bytes() == b"{}"


def test_a_daemon_whose_folder_became_anothers_takes_nothing_away_from_that(state: Path) -> None:
    first = said(state, now())
    shutil.rmtree(state)
    second = said(state, now())
    first.write(b"{}")
    assert (state / "run" / STATUS).read_bytes() != b"{}"
    first.close()
    assert (state / "run" / STATUS).exists()
    second.close()
    assert not (state / "run" / STATUS).exists()


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
