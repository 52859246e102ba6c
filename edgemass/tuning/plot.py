"""The p95 of every row as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgemass import durable
from edgemass.errors import UsageError
from edgemass.frame import Image
from edgemass.tuning.row import Row

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE, _PEN = 0.55, 1
_ROW, _BAR, _MARGIN, _TITLE, _FOOT = 34, 20, 24, 64, 44
_LEGEND = "ms a frame: p95, tick at the median, drift of the machine taken out; green: the best that may be picked"
_BARS = 620  # pixels of the longest bar
_VALUE = 90  # pixels for the number behind a bar
_INK, _PALE, _GRID = (40, 40, 40), (150, 150, 150), (225, 225, 225)
_OTHER, _BEST, _MEDIAN = (205, 170, 120), (80, 160, 60), (60, 60, 60)  # blue, green, red


def check(path: Path) -> None:
    """Refuse a file that cannot be written, before anything is measured.

    Raises:
        UsageError: another suffix than .png, or no such folder.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot writes a .png picture, found {path.name!r}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"--plot: there is no folder {path.parent}")


def write(path: Path, title: str, rows: Sequence[Row], best: Row | None) -> None:
    """Draw and write.

    Raises:
        UsageError: it cannot be written.
    """
    done, data = cv2.imencode(".png", draw(title, rows, best))
    assert done  # of a picture that was just made
    try:
        durable.write_bytes(path, data.tobytes())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another file for --plot") from error


def draw(title: str, rows: Sequence[Row], best: Row | None) -> Image:
    """Bars of p95 with a tick at the median, in the order of the rows; the best one is green.

    The machine's drift from row to row is taken out: times are shares of the reference's beside them, on one scale.
    """
    ran = [row for row in rows if not row.failure]
    p95_ms, p50_ms = (
        float(np.median([getattr(row, field) for row in ran])) if ran else 1.0
        for field in ("reference_p95_ms", "reference_p50_ms")
    )
    labels = [_label(row) for row in rows]
    left = _MARGIN + max(_width(label) for label in labels) + 12
    longest = max((row.ratio * p95_ms for row in ran), default=1.0)
    step = _step(longest)
    height = _TITLE + _ROW * len(rows) + _FOOT
    width = max(left + _BARS + _VALUE, *(_width(text) + 2 * _MARGIN for text in (title, _LEGEND)))
    picture: Image = np.full((height, width, 3), 255, np.uint8)
    _text(picture, title, (_MARGIN, 34), _INK)
    bottom = height - _FOOT
    for tick in range(int(longest / step) + 1):
        x = left + round(tick * step / longest * _BARS)
        cv2.line(picture, (x, _TITLE - 8), (x, bottom), _GRID, 1)
        _text(picture, f"{tick * step:g}", (x - _width(f"{tick * step:g}") // 2, bottom + 18), _PALE)
    _text(picture, _LEGEND, (_MARGIN, bottom + 36), _PALE)
    for index, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = _TITLE + _ROW * index + (_ROW - _BAR) // 2
        line = top + _BAR - 5
        _text(picture, label, (left - 12 - _width(label), line), _PALE if row.failure else _INK)
        if row.failure:
            _text(picture, "failed", (left + 6, line), _PALE)
            continue
        end = left + round(row.ratio * p95_ms / longest * _BARS)
        median = left + round(row.ratio_p50 * p50_ms / longest * _BARS)
        cv2.rectangle(picture, (left, top), (end, top + _BAR), _BEST if row is best else _OTHER, cv2.FILLED)
        cv2.line(picture, (median, top - 3), (median, top + _BAR + 3), _MEDIAN, 2)
        _text(picture, f"{row.ratio * p95_ms:.1f}", (end + 8, line), _INK)
    return picture


def _label(row: Row) -> str:
    backend = (row.runs_on or row.candidate.backend).rpartition("/")[2]
    return f"{row.candidate.variant}  {backend}  x{row.candidate.threads}"


def _step(longest: float) -> float:
    """A round number that divides the axis into four to ten parts."""
    rough = longest / 5
    unit = 10.0 ** np.floor(np.log10(rough))
    return float(unit * min((1, 2, 5, 10), key=lambda factor: abs(factor * unit - rough)))


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _SCALE, _PEN)[0][0])


def _text(picture: Image, text: str, place: tuple[int, int], ink: tuple[int, int, int]) -> None:
    """Hershey fonts have ASCII only."""
    cv2.putText(picture, text.encode("ascii", "replace").decode(), place, _FONT, _SCALE, ink, _PEN, cv2.LINE_AA)
