"""The control groups of this process, and what they leave it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from edgemass.health.tree import Tree

_CGROUP = "sys/fs/cgroup"
_SMALL = re.compile(r"[0-9]{1,15}")


class Groups:
    """From its own group to the whole machine's; of version 1 only the root's, which is what a container sees."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._folders = _folders(tree)

    @property
    def cores(self) -> float | None:
        """The tightest cpu.max, in cores; None where there is no limit."""
        limits = [limit for folder in self._folders if (limit := self._quota(f"{folder}/cpu.max")) is not None]
        quota, period = (self._tree.number(f"{_CGROUP}/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota and period and quota > 0 and period > 0:
            limits.append(quota / period)
        return min(limits, default=None)

    def memory(self) -> list[tuple[int, int]]:
        """(limit, left) in bytes of every group that has a limit; what can be given back counts as left."""
        found = []
        for folder in self._folders:
            limit, used = self._tree.number(f"{folder}/memory.max"), self._tree.number(f"{folder}/memory.current")
            if limit is not None and used is not None:
                stat = fields(self._tree.text(f"{folder}/memory.stat") or "", unit=1)
                found.append((limit, max(0, limit - used + stat.get("inactive_file", 0))))
        limit = self._tree.number(f"{_CGROUP}/memory/memory.limit_in_bytes")
        if limit is not None:  # version 1 writes a number near 2^63 for "no limit", which Tree takes for none
            used = self._tree.number(f"{_CGROUP}/memory/memory.usage_in_bytes") or 0
            found.append((limit, max(0, limit - used)))
        return found

    def _quota(self, path: str) -> float | None:
        words = (self._tree.text(path) or "").split()
        try:
            return max(int(words[0]) / int(words[1]), 0.01)
        except (ValueError, IndexError, ZeroDivisionError):  # "max 100000", or no such file
            return None


def _folders(tree: Tree) -> list[str]:
    lines = (tree.text("proc/self/cgroup") or "0::/").splitlines()
    own = next((PurePosixPath(line[3:].lstrip("/")) for line in lines if line.startswith("0::")), PurePosixPath())
    if ".." in own.parts:
        own = PurePosixPath()
    return [(PurePosixPath(_CGROUP) / place).as_posix() for place in (own, *own.parents)] if own.parts else [_CGROUP]


def fields(text: str, unit: int = 1024) -> dict[str, int]:
    """Lines of a name, perhaps a colon, and a number; `unit` is what the number counts."""
    parts = (line.replace(":", " ").split()[:2] for line in text.splitlines())
    return {part[0]: int(part[1]) * unit for part in parts if len(part) == 2 and _SMALL.fullmatch(part[1])}
