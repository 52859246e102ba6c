from __future__ import annotations

import mmap
from pathlib import Path

from edgemass.health import memory
from edgemass.health.memory import Room
from edgemass.health.tree import Tree

MIB = 1024 * 1024


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_board_has_what_the_kernel_tells(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal:  1000 kB\nMemFree: 5 kB\nMemAvailable:  400 kB\n")
    assert memory.of_board(Tree(root=tmp_path)) == Room(total=1000 * 1024, available=400 * 1024)


def test_the_limit_of_any_control_group_above_counts(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", "MemTotal: 1048576 kB\nMemAvailable: 900000 kB\n")
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/edgemass.service\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/edgemass.service/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/edgemass.service/memory.current", "1000\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/memory.max", f"{300 * MIB}\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/memory.current", f"{200 * MIB}\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/memory.stat", f"anon 5\ninactive_file {50 * MIB}\n")
    assert memory.of_board(Tree(root=tmp_path)) == Room(total=300 * MIB, available=150 * MIB)


def test_a_system_that_tells_nothing_has_nothing_to_be_held_to(tmp_path: Path) -> None:
    assert memory.of_board(Tree(root=tmp_path)) == Room(0, 0)
    assert memory.kills(Tree(root=tmp_path)) == 0


def test_kills_for_want_of_memory_are_counted_by_the_kernel(tmp_path: Path) -> None:
    write(tmp_path, "proc/vmstat", "nr_free_pages 12\noom_kill 3\n")
    assert memory.kills(Tree(root=tmp_path)) == 3


def test_what_a_process_takes_is_seen_page_by_page() -> None:
    page = b"1" * mmap.PAGESIZE
    with mmap.mmap(-1, 8 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        before = memory.own_bytes()
        for _ in range(0, 8 * MIB, mmap.PAGESIZE):
            held.write(page)
        assert 8 * MIB <= memory.own_bytes() - before < 9 * MIB


def test_a_kernel_without_the_exact_count_gives_the_quick_one(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/statm", "100 25 3 4 0 5 0\n")
    assert memory.own_bytes(Tree(root=tmp_path)) == memory.resident_bytes(Tree(root=tmp_path)) > 0
