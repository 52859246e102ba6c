from __future__ import annotations

import logging

import pytest

from edgemass.cli import progress
from edgemass.cli.progress import Progress


def test_elsewhere_than_on_a_terminal_progress_is_a_log_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgemass")
    monkeypatch.setattr(progress, "LOG_EVERY_S", 0.0)
    shown = Progress("eval")
    shown(0, 10)
    shown(5, 10)
    shown.end()
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["eval: 0 of 10", "eval: 5 of 10"]
