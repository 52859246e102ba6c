"""Checks that several tables of the configuration share."""

from __future__ import annotations

MAX_SECONDS = 86_400.0  # of anything that a camera does by the clock: a day


def check_ranges(table: str, *rows: tuple[str, float | None, float, float]) -> None:
    """Hold numbers to their ranges.

    rows: field, value (None = not given), least, most.

    Raises:
        ValueError: one lies outside; names table and field. NaN lies outside everything.
    """
    for field, value, least, most in rows:
        if value is not None and not least <= value <= most:
            raise ValueError(f"{table}: {field} must lie between {least:g} and {most:g}, found {value}")
