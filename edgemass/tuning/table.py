"""Rows for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from edgemass.tuning.choosing import Choice
from edgemass.tuning.row import Row

_HEAD = ("", "variant", "backend", "threads", "p50 ms", "p95 ms", "of ref.", "load s", "RSS MB", "agrees")
_TO_THE_RIGHT = slice(3, 9)  # numbers


def table(rows: Sequence[Row], choice: Choice) -> str:
    """Aligned; the best is marked, a row that failed or may not be picked tells why."""
    cells = [_HEAD, *(_cells(row, best=row is choice.best) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [_aligned(line, widths) for line in cells]
    for index, (row, said) in enumerate(zip(rows, choice.verdicts, strict=True), start=1):
        if row.failure:
            lines[index] = f"{_aligned(cells[index][:4], widths)}  failed: {row.failure}"
        elif not said.usable:
            lines[index] += f"  not to be picked: {said.reason}"
    return "\n".join(line.rstrip() for line in lines)


def _cells(row: Row, *, best: bool) -> tuple[str, ...]:
    candidate = row.candidate
    return (
        "*" if best else "",
        candidate.variant,
        row.runs_on or candidate.backend,
        str(candidate.threads),
        *(
            ("",) * 6
            if row.failure
            else (
                f"{row.p50_ms:.1f}",
                f"{row.p95_ms:.1f}",
                f"{row.ratio:.2f}",
                f"{row.load_s:.2f}",
                f"{row.rss_bytes / 1e6:.0f}",
                "-" if row.agreement.f1 is None else f"F1 {row.agreement.f1:.3f} of {row.agreement.compared}",
            )
        ),
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = range(*_TO_THE_RIGHT.indices(len(_HEAD)))
    return "  ".join(
        f"{cell:>{width}}" if column in numbers else f"{cell:{width}}"
        for column, (cell, width) in enumerate(zip(cells, widths[: len(cells)], strict=True))
    )
