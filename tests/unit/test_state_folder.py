"""What names the state folder, and that a name which is not heeded is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemass import config
from edgemass.cli import state
from edgemass.config import names


def test_a_configured_folder_that_the_environment_overrides_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(state.VARIABLE, "/var/lib/of-the-unit")
    assert [state.asked(None, "/mnt/of-the-file") for _ in range(3)] == ["/var/lib/of-the-unit"] * 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the configuration's state = '/mnt/of-the-file' is ignored")
    assert "EDGEMASS_STATE=/var/lib/of-the-unit goes before" in said


@pytest.mark.parametrize(
    ("option", "given", "configured", "wanted"),
    [
        ("/option", "/environment", "/file", "/option"),
        (None, "/same", "/same/", "/same"),
        (None, "/environment", None, "/environment"),
        (None, "", "/file", "/file"),
        (None, "", None, None),
    ],
)
def test_nothing_is_told_where_nothing_is_ignored_unasked(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    option: str | None,
    given: str,
    configured: str | None,
    wanted: str | None,
) -> None:
    monkeypatch.setenv(state.VARIABLE, given)
    assert state.asked(option, configured) == wanted
    assert not caplog.records


@pytest.mark.parametrize(
    ("user_id", "environment", "wanted"),
    [
        (0, {"HOME": "/home/admin"}, "/var/lib/edgemass"),
        (1000, {"HOME": "/home/ada"}, "/home/ada/.local/state/edgemass"),
        (1000, {"HOME": "/home/ada", "XDG_STATE_HOME": "/s"}, "/s/edgemass"),
        (0, {"HOME": "/home/admin", "XDG_STATE_HOME": "/s"}, "/s/edgemass"),
        (1000, {"HOME": "/home/ada", "XDG_STATE_HOME": "s"}, "/home/ada/.local/state/edgemass"),
    ],
)
def test_the_folder_that_nobody_named_does_not_change_by_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user_id: int, environment: dict[str, str], wanted: str
) -> None:
    """Root pulls a model, which makes /var/lib/edgemass; its state is where it was."""
    monkeypatch.setattr(os, "geteuid", lambda: user_id)
    monkeypatch.delenv("XDG_STATE_HOME")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    system = tmp_path / "system"
    monkeypatch.setattr(names, "SYSTEM_STATE", system)
    wanted = wanted.replace("/var/lib/edgemass", str(system))
    before = config.state_folder()
    if user_id == 0:
        (system / "models").mkdir(parents=True)
    assert str(before) == str(config.state_folder()) == wanted
