"""Checks that several tables of the configuration share."""

from __future__ import annotations

MAX_SECONDS = 86_400.0  # of anything that a camera does by the clock: a day


def check_ranges(table: str, *rows: tuple[str, float | None, float, float]) -> None:
    """Hold numbers to their ranges.

    table: its name, "" where the error names it anyway. rows: field, value (None = not given), least, most.

    Raises:
        ValueError: one lies outside; names table and field. NaN lies outside everything.
    """
    for field, value, least, most in rows:
        if value is not None and not least <= value <= most:
            where = f"{table}: " if table else ""
            raise ValueError(f"{where}{field} must lie between {least:g} and {most:g}, found {value}")
