"""The table and the plot."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.manifest import Variant
from edgemass.tuning import plot
from edgemass.tuning.choosing import Limits, choose
from edgemass.tuning.row import Agreement, Candidate, Row
from edgemass.tuning.table import table
from tests.simulators.bundles import made_of

STOCK = Variant(name="fp32", file="a.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1)
ROWS = [
    Row(
        candidate=Candidate("fp32", "onnx", threads),
        runs_on="onnxruntime/cpu",
        p50_ms=p95_ms - 3,
        p95_ms=p95_ms,
        reference_p50_ms=90.0,
        reference_p95_ms=100.0,
        load_s=0.1,
        rss_bytes=120_000_000,
        agreement=Agreement(1.0, 30, 0.4),
    )
    for threads, p95_ms in ((1, 100.0), (2, 61.5))
]
FAILED = Row(candidate=Candidate("fp32", "onnx:cuda", 1), failure="it crashed (SIGSEGV)")


def test_the_table_is_aligned_marks_the_best_and_tells_why_a_row_failed() -> None:
    rows = [*ROWS, FAILED]
    lines = table(rows, choose(made_of(STOCK), rows, Limits(), ROWS[0].candidate)).splitlines()
    assert [line[0] for line in lines] == [" ", " ", "*", " "]
    assert lines[1].index("100.0") + len("100.0") == lines[2].index("61.5") + len("61.5")
    assert lines[3].split(maxsplit=3)[1:] == ["onnx:cuda", "1", "failed: it crashed (SIGSEGV)"]


def test_the_plot_has_longer_bars_for_slower_rows_and_the_best_in_green() -> None:
    picture = plot.draw("a model", [*ROWS, FAILED], ROWS[1])
    blue, green = (np.all(picture == colour, axis=2).sum() for colour in (plot._OTHER, plot._BEST))
    assert blue / green == pytest.approx(100 / 61.5, rel=0.05)


@pytest.mark.parametrize("rows", [[FAILED], ROWS[:1]])
def test_any_rows_can_be_drawn(rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "speed.png"
    plot.write(path, "a model with a title that is longer than any bar could ever be, " * 3, rows, None)
    assert cv2.imread(str(path)) is not None


@pytest.mark.parametrize(("name", "told"), [("a.svg", r"writes a \.png"), ("nowhere/a.png", "there is no folder")])
def test_a_plot_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plot.check(tmp_path / name)
