"""What a board is like: temperature, throttling, CPU, memory, disk, clock, power; what that means, and how it is told.

Rules on what was read stand in `judging` and `problems`; `metrics` and `prometheus` write a health document as text.
A collector is one file with `open(place: Place) -> Read` and a row in COLLECTORS. What a board has not is None; what
cannot be read raises, and `collecting` makes data of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from edgemass.clock import Clock, clock_synced
from edgemass.health.tree import Tree
from edgemass.messages.health import Reading

COLLECTORS = {  # name, which is a field of messages.health.System -> the module that reads it
    "temperature": "edgemass.health.temperature",
    "throttling": "edgemass.health.throttling",
    "cpu": "edgemass.health.cpu",
    "memory": "edgemass.health.memory",
    "disk": "edgemass.health.disk",
    "clock": "edgemass.health.clock",
    "power": "edgemass.health.power",
}

Read = Callable[[], Reading | None]
"""None: this board has no such thing. It raises OSError or ValueError where there is one that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where collectors look.

    tree: of /proc, /sys and /run. state: the folder whose disk is watched; it may not be there yet.
    budget_bytes: that this process may write a day; None = any. synced: whether the kernel believes its clock.
    """

    clock: Clock
    state: Path
    tree: Tree = field(default_factory=Tree)
    budget_bytes: int | None = None
    synced: Callable[[], bool] = clock_synced


class CollectorModule(Protocol):
    """What a module of COLLECTORS offers."""

    def open(self, place: Place) -> Read: ...


def load(name: str) -> CollectorModule:
    """The module of a row."""
    return cast("CollectorModule", importlib.import_module(COLLECTORS[name]))
