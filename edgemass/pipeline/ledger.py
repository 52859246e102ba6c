"""What a camera has counted, on disk: line counts go on after a restart, and labels that are gone are told as 0."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from edgemass import durable
from edgemass.clock import Clock
from edgemass.scene.crossings import Totals

logger = logging.getLogger(__name__)

EVERY_S = 1.0
"""A crossing may be lost by a crash within so long."""
MAX_BYTES = 1 << 20


class Entry(msgspec.Struct, kw_only=True):
    """lines: line -> way -> label -> crossings. known: zone ("" for the frame) -> labels that were counted there."""

    lines: Totals = {}
    known: dict[str, list[str]] = {}


class Ledger:
    """One camera's file. `write` is for one thread at a time."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._written: bytes | None = None
        self._written_ns: int | None = None
        self._failing = False

    def read(self) -> Entry:
        """What was written last; nothing where there is no file, or one that is damaged (which is said)."""
        try:
            with self._path.open("rb") as file:
                entry = msgspec.json.decode(file.read(MAX_BYTES), type=Entry)
            _check(entry)
            return entry
        except FileNotFoundError:
            return Entry()
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            logger.warning("counts begin at 0: cannot read %s: %s", self._path, error)
            return Entry()

    def write(self, entry: Entry, *, now: bool = False) -> None:
        """Keep what changed, at most every EVERY_S; now: at once. A disk that does not take it is said once."""
        now_ns = self._clock.monotonic_ns()
        if not now and self._written_ns is not None and now_ns - self._written_ns < EVERY_S * 1e9:
            return
        data = msgspec.json.encode(entry, order="sorted")
        if data == self._written:
            return
        self._written_ns = now_ns
        try:
            durable.make_folder(self._path.parent)
            durable.write_bytes(self._path, data)
        except OSError as error:
            if not self._failing:
                logger.warning("counts are not kept over a restart: cannot write %s: %s", self._path, error.strerror)
            self._failing = True
            return
        self._failing = False
        self._written = data


def _check(entry: Entry) -> None:
    """Raises ValueError: a line without one of its ways, or less than nothing crossed it."""
    for name, total in entry.lines.items():
        if set(total) != {"in", "out"}:
            raise ValueError(f"line {name} must have in and out, found {', '.join(total) or 'neither'}")
        for crossed in total.values():
            if min(crossed.values(), default=0) < 0:
                raise ValueError(f"line {name} must have numbers from 0 on, found {crossed}")
