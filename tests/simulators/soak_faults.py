"""What goes wrong in a soak, and when: everything follows from the seed. Rules only; seconds are the board's own."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

HOUR_S = 3600.0
KINDS: dict[str, dict[str, tuple[float, float]]] = {
    # What is hit -> what happens to it -> for how many seconds, at least and at most.
    "broker": {"killed": (30, 1800), "frozen": (30, 900), "cut": (1, 1)},
    "camera": {"broken": (1, 900), "hanging": (15, 900), "still": (10, 300), "black": (10, 300)},
    "disk": {"full": (60, 1800), "gone": (60, 900), "refusing": (60, 900)},
    "accelerator": {"failing": (5, 1800), "hanging": (5, 900), "wrong": (60, 1800)},
    "clock": {"future": (1, 1800), "past": (1, 1800), "seconds": (60, 1800)},
}
"""
broker: the process is killed and started anew; it neither reads nor answers; every connection is cut.
camera: it breaks whenever it is opened; one read does not come back; the same picture comes again and again; it is
    black.
disk: no room is left; the folder is hidden by an empty one that is read-only; no file may grow.
accelerator: runs and loads fail; runs do not come back; it computes something else.
clock: 50 years ahead; 50 years behind; some seconds off.
"""
INSIDE = ("camera", "accelerator", "clock")
"""What the board's process does to itself; the rest comes from outside."""


@dataclass(frozen=True)
class Fault:
    """what: key of KINDS. kind: key there. at_s: since the start. size: 0 to 1, for what has one."""

    what: str
    kind: str
    at_s: float
    lasts_s: float
    size: float

    @property
    def ends_s(self) -> float:
        return self.at_s + self.lasts_s


def schedule(seed: int, hours: float, *, gap_s: float) -> list[Fault]:
    """The faults of a run, in their order; nothing is hit by two of its own at a time.

    They begin after a twentieth of the time and have ended at nineteen twentieths of it. The first of each thing are
    its kinds, each once; later ones are drawn. gap_s: between two faults of one thing, in the mean. None lasts longer
    than an eighth of the time.
    """
    total_s = hours * HOUR_S
    found: list[Fault] = []
    for what, kinds in KINDS.items():
        draw = random.Random(f"{seed} {what}")
        first = draw.sample(sorted(kinds), len(kinds))
        at_s = total_s / 20 + draw.random() * gap_s
        while True:
            kind = first.pop() if first else draw.choice(sorted(kinds))
            least, most = kinds[kind]
            lasts_s = draw.uniform(least, max(least, min(most, total_s / 8)))
            if at_s + lasts_s > total_s * 19 / 20:
                break
            found.append(Fault(what, kind, at_s, lasts_s, draw.random()))
            at_s += lasts_s + draw.expovariate(1 / gap_s)
    return sorted(found, key=lambda fault: fault.at_s)


def now(faults: Iterable[Fault], what: str, at_s: float) -> Fault | None:
    """What is wrong with this thing."""
    return next((fault for fault in faults if fault.what == what and fault.at_s <= at_s < fault.ends_s), None)
