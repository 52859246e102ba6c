from __future__ import annotations

import logging

import pytest

from edgemass.cli import progress
from edgemass.cli.progress import Progress, bar, progress_text


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


def test_progress_tells_what_is_left_and_a_bar_while_the_total_is_known() -> None:
    assert progress_text(25, 100, 5.0) == "25 of 100, 15 s left"
    assert bar(25, 100) == "[######------------------] "
    assert bar(100, 100) == f"[{'#' * 24}] "


@pytest.mark.parametrize("total", [0, 24])
def test_a_total_that_nobody_knows_or_that_was_wrong_is_not_shown(total: int) -> None:
    assert progress_text(25, total, 5.0) == "25 done"
    assert bar(25, total) == ""
