from __future__ import annotations

import csv
from pathlib import Path

import cv2
import msgspec
import pytest

pytest.importorskip("optuna", reason="needs the extra train of edgemass-tools")
pytest.importorskip("matplotlib", reason="needs the extra train of edgemass-tools")

from edgemass_tools.tuning import report
from edgemass_tools.tuning.study import Found, Row

DEFAULT = Row(0, "done", 0.5, {"lr": 0.001, "method": "a"}, {"ms": 4.0}, 1.0, "")
BETTER = Row(1, "done", 0.6, {"lr": 0.01, "method": "b"}, {"ms": 5.0}, 1.0, "")
SLOW = Row(2, "pruned", None, {"lr": 0.02, "method": "b"}, {"ms": 9.0}, 1.0, "9.00 ms a frame, wanted at most 8")
BROKEN = Row(3, "failed", None, {"lr": 0.02, "method": "b"}, {}, 1.0, "no number")


def test_the_best_settings_the_table_and_the_picture_can_be_read_again(tmp_path: Path) -> None:
    found = Found((DEFAULT, BETTER, SLOW, BROKEN), {"lr": 0.8, "method": 0.2}, finished=True)
    report.write(found, tmp_path, {"objective": "top1", "command": "edgemass-tools train"})
    told = msgspec.toml.decode((tmp_path / report.BEST).read_bytes())
    assert told["settings"] == BETTER.settings
    assert (told["value"], told["value_of_default"], told["trials"]) == (0.6, 0.5, 4)
    with (tmp_path / report.TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["done", "done", "pruned", "failed"]
    assert rows[2]["why"] == SLOW.why
    picture = cv2.imread(str(tmp_path / report.PICTURE))
    assert picture is not None
    assert picture.shape[1] == 1100


def test_the_default_stands_first_and_then_the_best(tmp_path: Path) -> None:
    lines = report.lines(Found((DEFAULT, SLOW, BETTER), {}, finished=True))
    assert lines[0].startswith("default      0.5000  ms 4  lr=0.001 method=a")
    assert lines[1].startswith("trial 1      0.6000")
    assert lines[2] == "2 done, 1 given up early, 0 failed"
    report.write(Found((SLOW,), {}, finished=False), tmp_path, {"objective": "map_50"})
    assert "value" not in msgspec.toml.decode((tmp_path / report.BEST).read_bytes())


def test_nothing_better_leaves_the_default_the_best() -> None:
    same = Row(1, "done", 0.5, {"lr": 0.01, "method": "b"}, {}, 1.0, "")
    assert Found((DEFAULT, same), {}, finished=True).best is DEFAULT
