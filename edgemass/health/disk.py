"""The disk that the state lies on, and how much this process writes: SD cards wear out by it."""

from __future__ import annotations

import os
from collections import deque

from edgemass.health import Place, Read
from edgemass.health.groups import fields
from edgemass.health.tree import Tree
from edgemass.messages.health import Disk

DAY_NS = 86_400_000_000_000
_STEP_NS = DAY_NS // 96


class Written:
    """Of the last 24 hours, to a quarter of an hour; by a clock that cannot jump. A process knows of no earlier one."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int]] = deque()

    def of_day(self, mono_ns: int, total_bytes: int) -> int:
        """total_bytes: since the start of the process."""
        if not self._steps or mono_ns - self._steps[-1][0] >= _STEP_NS:
            self._steps.append((mono_ns, total_bytes if self._steps else 0))
        while len(self._steps) > 1 and self._steps[1][0] <= mono_ns - DAY_NS:
            self._steps.popleft()
        return max(0, total_bytes - self._steps[0][1])


def written_bytes(tree: Tree) -> int:
    """What this process and its ended children had written to disks; 0 where the kernel does not tell."""
    return fields(tree.text("proc/self/io") or "", unit=1).get("write_bytes", 0)


class DiskUse:
    def __init__(self, place: Place) -> None:
        self._place = place
        self._written = Written()

    def read(self) -> Disk:
        """Raises OSError where the file system does not answer."""
        folder = self._place.state
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        usage = os.statvfs(folder)
        written = written_bytes(self._place.tree)
        return Disk(
            total_bytes=usage.f_blocks * usage.f_frsize,
            free_bytes=usage.f_bavail * usage.f_frsize,
            written_bytes=written,
            written_today_bytes=self._written.of_day(self._place.clock.monotonic_ns(), written),
            budget_bytes=self._place.budget_bytes,
            read_only=bool(usage.f_flag & os.ST_RDONLY),
        )


def open(place: Place) -> Read:  # noqa: A001 (the plug-ins' own word)
    return DiskUse(place).read
