"""How busy the board is, and how much of it this process is."""

from __future__ import annotations

import math
from typing import NamedTuple

from edgemass.health import Place, Read
from edgemass.health.groups import Groups
from edgemass.health.tree import Tree
from edgemass.messages.health import Cpu

_IDLE = (3, 4)  # idle and iowait among the columns of /proc/stat
_MOST_LOAD = 1e6
_COLUMNS = 8  # user, nice, system, idle, iowait, irq, softirq, steal; what guests took is in user already


class Ticks(NamedTuple):
    """Of the clock, since the start: of all cores together, of those the idle ones, and of this process."""

    board: int
    idle: int
    process: int


class CpuUse:
    """Compares each reading with the one before."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._before: Ticks | None = None

    def read(self) -> Cpu | None:
        """None where there is no /proc/stat. The first reading has nothing to compare with.

        Raises:
            OSError, ValueError: /proc/stat or /proc/self/stat cannot be read.
        """
        stat = self._tree.read("proc/stat")
        if stat is None:
            return None
        now = Ticks(*_board(stat), _process(self._tree.read("proc/self/stat") or ""))
        before, self._before = self._before, now
        there = sum(line.startswith("cpu") for line in stat.splitlines()) - 1
        allowed = min(_affinity(self._tree) or there, Groups(self._tree).cores or math.inf, max(there, 1))
        used = process = None
        if before is not None and now.board > before.board:
            passed = now.board - before.board
            used = _ratio(1 - (now.idle - before.idle) / passed)
            process = _ratio((now.process - before.process) / passed * max(there, 1) / allowed)
        return Cpu(max(1, math.ceil(allowed)), used, process, _load(self._tree))


def _board(stat: str) -> tuple[int, int]:
    """(all, idle) from the first line."""
    words = stat.split("\n", 1)[0].split()
    if words[:1] != ["cpu"] or len(words) < _IDLE[1] + 2:
        raise ValueError(f"/proc/stat must begin with the line of all CPUs, found {stat[:40]!r}")
    ticks = [int(word) for word in words[1 : _COLUMNS + 1]]
    return sum(ticks), sum(ticks[column] for column in _IDLE)


def _process(stat: str) -> int:
    """Utime and stime with those of children that have ended, behind the name, which may hold anything; proc(5)."""
    words = stat.rpartition(")")[2].split()
    return sum(int(word) for word in words[11:15])


def _affinity(tree: Tree) -> int | None:
    """How many cores this process may run on."""
    for line in (tree.text("proc/self/status") or "").splitlines():
        if line.startswith("Cpus_allowed:"):
            try:
                return int(line.partition(":")[2].strip().replace(",", ""), 16).bit_count() or None
            except ValueError:
                return None
    return None


def _load(tree: Tree) -> float:
    try:
        load = float((tree.text("proc/loadavg") or "0").split()[0])
    except (ValueError, IndexError):
        return 0.0
    return load if 0 <= load < _MOST_LOAD else 0.0


def _ratio(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return CpuUse(place.tree).read
