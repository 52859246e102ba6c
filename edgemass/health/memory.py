"""How much memory the board has, how much a process takes, and how that grows."""

from __future__ import annotations

import os

import msgspec

from edgemass.health import Place, Read
from edgemass.health.groups import Groups, fields
from edgemass.health.slope import Slope
from edgemass.health.tree import MOST, Tree
from edgemass.messages.health import Memory


class Room(msgspec.Struct, frozen=True):
    """Bytes of a board; 0 where it is not told. available: without swapping, as the kernel estimates it."""

    total: int
    available: int


def of_board(tree: Tree | None = None) -> Room:
    """What the kernel tells, or less where a container's or a service's limit is tighter."""
    tree = tree or Tree()
    told = fields(tree.text("proc/meminfo") or "")
    old = told.get("MemFree", 0) + told.get("Buffers", 0) + told.get("Cached", 0)  # kernels before 3.14 do not estimate
    total, available = told.get("MemTotal", 0), told.get("MemAvailable", old)
    for limit, left in Groups(tree).memory():
        total, available = min(total, limit), min(available, left)
    return Room(total, available)


def kills(tree: Tree | None = None) -> int:
    """How many processes the kernel has killed for want of memory since it started, in groups of their own too."""
    return fields((tree or Tree()).text("proc/vmstat") or "", unit=1).get("oom_kill", 0)


def resident_bytes(tree: Tree | None = None) -> int:
    """Of this process, what it shares with others too.

    Raises:
        OSError, ValueError: /proc does not tell.
    """
    words = ((tree or Tree()).read("proc/self/statm") or "").split()
    if len(words) < 2:
        raise ValueError(f"/proc/self/statm must hold two numbers, found {words!r:.40}")
    return min(int(words[1]), MOST >> 16) * os.sysconf("SC_PAGE_SIZE")


def own_bytes(tree: Tree | None = None) -> int:
    """Memory of this process that is backed by no file, swapped or not: what grows when it leaks.

    Counted page by page: the quick counters of `statm` may be off by hundreds of kilobytes since Linux 6.2. Where the
    kernel (before 4.14) does not tell, those.
    """
    told = fields((tree or Tree()).text("proc/self/smaps_rollup") or "")
    return told["Anonymous"] + told.get("Swap", 0) if "Anonymous" in told else resident_bytes(tree)


class MemoryUse:
    """Keeps what this process took in the last hour."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._slope = Slope()

    def read(self) -> Memory | None:
        """None where there is no /proc/meminfo.

        Raises:
            OSError, ValueError: /proc does not tell of this process.
        """
        tree = self._place.tree
        if tree.read("proc/meminfo") is None:
            return None
        room = of_board(tree)
        if not 0 < room.available <= room.total:
            raise ValueError(
                f"/proc/meminfo must hold MemTotal and MemAvailable, found {room.total} and {room.available} bytes"
            )
        self._slope.add(self._place.clock.monotonic_ns(), own_bytes(tree))
        return Memory(room.total, room.available, resident_bytes(tree), self._slope.per_hour())


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return MemoryUse(place).read
