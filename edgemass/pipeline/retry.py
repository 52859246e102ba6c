"""How long to leave a camera alone before it is tried again, and which of its failures are worth a line in the log."""

from __future__ import annotations

FIRST_S = 0.5
EARLY_CEILING_S = 4.0
LATE_CEILING_S = 30.0
EARLY_S = 600.0
LOG_EVERY = 64


def pause_s(failures: int, outage_s: float, draw: float) -> float:
    """Full-jitter exponential pause: a draw between 0 and a ceiling that doubles, never below FIRST_S.

    In the first ten minutes of an outage the ceiling stays at 4 s, so that frames flow again within 10 s of a camera's
    return: an attempt that is under way when it returns takes up to 4 s, then at most 4 s of pause, then the opening.
    Later it grows to 30 s, which spares a camera that is away for long. Full jitter keeps many cameras behind one
    broken switch from knocking in step (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015).

    failures: attempts that failed in a row, at least 1. draw: uniform in [0, 1).
    """
    ceiling = LATE_CEILING_S if outage_s > EARLY_S else EARLY_CEILING_S
    doublings = min(failures - 1, 16)  # far past either ceiling
    return max(FIRST_S, draw * min(ceiling, FIRST_S * 2.0**doublings))


def is_news(failures: int) -> bool:
    """Whether the failure that makes it so many in a row is logged: 1, 2, 4, ..., 64, and every 64th.

    A camera that comes and goes every second for a year must not fill the disk with it.
    """
    return failures % LOG_EVERY == 0 or failures & (failures - 1) == 0
