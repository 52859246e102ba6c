"""What names the state folder, and that a name which is not heeded is told."""

from __future__ import annotations

import pytest

from edgemass.cli import state


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
