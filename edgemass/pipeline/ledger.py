"""What a camera keeps over a restart: small files that are written rarely, and durably."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from edgemass import durable
from edgemass.clock import Clock
from edgemass.scene.crossings import Totals

logger = logging.getLogger(__name__)

MAX_BYTES = 1 << 20

_T = TypeVar("_T", bound=msgspec.Struct)


class Entry(msgspec.Struct, kw_only=True):
    """Counts. lines: line -> way -> label -> crossings. known: zone, "" for the frame -> labels seen there."""

    lines: Totals = {}
    known: dict[str, list[str]] = {}

    def __post_init__(self) -> None:
        for name, total in self.lines.items():
            if set(total) != {"in", "out"}:
                raise ValueError(f"line {name} must have in and out, found {', '.join(total) or 'neither'}")
            for crossed in total.values():
                if min(crossed.values(), default=0) < 0:
                    raise ValueError(f"line {name} must have numbers from 0 on, found {crossed}")


class Ledger(Generic[_T]):
    """One file. `write` is for one thread at a time.

    what: is kept there, for the log. every_s: it is written so often at most, so that an SD card lasts; what came since
        is lost with a crash.
    """

    def __init__(self, path: Path, kind: type[_T], what: str, clock: Clock, *, every_s: float) -> None:
        self._path = path
        self._kind = kind
        self._what = what
        self._clock = clock
        self._every_ns = every_s * 1e9
        self._written: bytes | None = None
        self._written_ns: int | None = None
        self._failing = False

    def read(self) -> _T | None:
        """What was written last; None where there is no file, or one that is damaged (which is said)."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_BYTES), type=self._kind)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            logger.warning("%s begin anew: cannot read %s: %s", self._what, self._path, error)
            return None

    @property
    def due(self) -> bool:
        """Whether it may be written again."""
        return self._written_ns is None or self._clock.monotonic_ns() - self._written_ns >= self._every_ns

    def write(self, value: _T, *, now: bool = False) -> None:
        """Keep what changed, if it is due; now: in any case. A disk that does not take it is said once."""
        if not (now or self.due):
            return
        data = msgspec.json.encode(value, order="sorted")
        if data == self._written:
            return
        self._written_ns = self._clock.monotonic_ns()
        try:
            durable.make_folder(self._path.parent)
            durable.write_bytes(self._path, data, mode=0o640)
        except OSError as error:
            if not self._failing:
                logger.warning("%s are not kept: cannot write %s: %s", self._what, self._path, error.strerror)
            self._failing = True
            return
        self._failing = False
        self._written = data
