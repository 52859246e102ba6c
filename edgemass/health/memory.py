"""How much memory the board has, and how much a process takes."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

_CGROUP = Path("sys/fs/cgroup")


class Memory(msgspec.Struct, frozen=True):
    """Bytes of a board; 0 where it is not told. available: without swapping, as the kernel estimates it."""

    total: int
    available: int


def of_board(root: Path = Path("/")) -> Memory:
    """What the kernel tells, or less where a container's or a service's limit is tighter."""
    fields = _fields(root / "proc/meminfo")
    total, available = fields.get("MemTotal", 0), fields.get("MemAvailable", 0)
    for place in _groups(root):
        limit, used = _number(place / "memory.max"), _number(place / "memory.current")
        if limit is not None and used is not None:
            reclaimable = _fields(place / "memory.stat", unit=1).get("inactive_file", 0)
            total, available = min(total, limit), min(available, max(0, limit - used + reclaimable))
    return Memory(total, available)


def kills(root: Path = Path("/")) -> int:
    """How many processes the kernel has killed for want of memory since it started, in groups of their own too."""
    return _fields(root / "proc/vmstat", unit=1).get("oom_kill", 0)


def resident_bytes(root: Path = Path("/")) -> int:
    """Of this process, what it shares with others too."""
    pages = int((root / "proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def own_bytes(root: Path = Path("/")) -> int:
    """Memory of this process that is backed by no file, swapped or not: what grows when it leaks.

    Counted page by page: the quick counters of `statm` may be off by hundreds of kilobytes since Linux 6.2. Where the
    kernel (before 4.14) does not tell, those.
    """
    fields = _fields(root / "proc/self/smaps_rollup")
    return fields["Anonymous"] + fields.get("Swap", 0) if "Anonymous" in fields else resident_bytes(root)


def _groups(root: Path) -> list[Path]:
    """The control groups (version 2) of this process, from its own to the whole machine's."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    own = next((Path(line[3:].lstrip("/")) for line in lines if line.startswith("0::")), None)
    if own is None or ".." in own.parts:
        return []
    return [root / _CGROUP / place for place in (own, *own.parents)]


def _fields(path: Path, unit: int = 1024) -> dict[str, int]:
    """Lines of a name, perhaps a colon, and a number; `unit` is what the number counts."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    parts = (line.replace(":", " ").split() for line in lines)
    return {part[0]: int(part[1]) * unit for part in parts if len(part) > 1 and part[1].isdecimal()}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max"
        return None
