"""The promises that every row of COLLECTORS holds, on every board."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgemass import health
from edgemass.health import COLLECTORS, Place, collecting
from edgemass.health.collecting import Collectors
from edgemass.health.prometheus import render
from edgemass.health.tree import MAX_BYTES, Tree
from edgemass.messages.health import (
    ClockReading,
    Cpu,
    Disk,
    Memory,
    Power,
    Reading,
    System,
    Temperature,
    Throttling,
)
from tests.documents import health_message
from tests.simulators.manual_clock import ManualClock

BOARDS = Path(__file__).resolve().parents[1] / "data" / "boards"
KINDS: dict[str, type] = dict(
    zip(COLLECTORS, (Temperature, Throttling, Cpu, Memory, Disk, ClockReading, Power), strict=True)
)
ROWS = pytest.mark.parametrize("name", COLLECTORS)
WITH_SENSORS = sorted(path.name for path in BOARDS.iterdir() if (path / "proc/stat").exists())
EVERY_BOARD = pytest.mark.parametrize("board", WITH_SENSORS)
GARBAGE = (
    b"",
    b"\n",
    b"max\n",
    b"-1\n",
    b"nan\n",
    b"1e400\n",
    b"9" * 5000,
    b"\xff\x00\xfe\n",
    b"99999999999999999999\n",
    "٣".encode(),
)


def place(root: Path, state: Path, clock: ManualClock | None = None) -> Place:
    return Place(clock=clock or ManualClock(), state=state, tree=Tree(root=root), synced=lambda: False)


SANE: dict[type, Callable[[Any], bool]] = {  # whether a board may be like that
    Temperature: lambda it: -40 < it.hottest_c < 130 and it.hottest_c in it.zones.values(),
    Throttling: lambda it: it.throttled == bool(it.causes) and 0 < (it.clock_ratio or 1) <= 1,
    Cpu: lambda it: 1 <= it.cores <= 64 and it.load_1m >= 0,
    Memory: lambda it: 0 < it.available_bytes <= it.total_bytes and 0 < it.rss_bytes <= it.total_bytes,
    Disk: lambda it: 0 <= it.free_bytes <= it.total_bytes and it.written_bytes >= 0,
    ClockReading: lambda it: it.steps == 0 and it.synced == bool(it.source),
    Power: lambda it: 0 < (it.watts or 1) < 100,
}


def test_every_row_is_a_field_of_the_document() -> None:
    assert set(COLLECTORS) == set(System.__struct_fields__) - {"failed", "collect_ms"}


@ROWS
@EVERY_BOARD
def test_what_is_read_makes_sense_and_what_a_board_lacks_is_none(name: str, board: str, tmp_path: Path) -> None:
    read = health.load(name).open(place(BOARDS / board, tmp_path))
    for _ in range(2):
        reading = read()
        assert reading is None or (isinstance(reading, KINDS[name]) and SANE[KINDS[name]](reading)), reading


@ROWS
def test_a_machine_that_tells_nothing_is_no_failure(name: str, tmp_path: Path) -> None:
    reading = health.load(name).open(place(tmp_path / "nothing", tmp_path))()
    assert reading is None or name in ("disk", "clock")


@ROWS
def test_a_reading_that_does_not_come_back_costs_one_thread_and_no_more(name: str, tmp_path: Path) -> None:
    clock, asked, let_go = ManualClock(), threading.Event(), threading.Event()
    collectors = Collectors(place(BOARDS / "raspberry-pi-4", tmp_path, clock))

    def hang() -> Reading | None:
        asked.set()
        let_go.wait(60)
        return None

    collectors._reads[name] = hang
    found: list[System] = []
    thread = threading.Thread(target=lambda: found.extend([collectors.collect(), collectors.collect()]))
    thread.start()
    assert asked.wait(10)
    clock.pass_wait(collecting.DEADLINE_S)
    thread.join(10)
    let_go.set()
    first, second = found
    assert set(first.failed) == {name}
    assert "no answer" in first.failed[name]
    assert "hangs" in second.failed[name]
    assert all(getattr(second, other) is not None for other in COLLECTORS if other not in (name, "power"))


def test_a_collector_that_fails_is_data_without_passwords(tmp_path: Path) -> None:
    collectors = Collectors(place(BOARDS / "raspberry-pi-4", tmp_path))

    def fail() -> Reading | None:
        raise RuntimeError("rtsp://me:hunter2@camera/1 is no sensor")

    collectors._reads["cpu"] = fail
    system = collectors.collect()
    assert system.failed == {"cpu": "RuntimeError: rtsp://me:***@camera/1 is no sensor"}
    assert system.temperature is not None


def mishandle(draw: random.Random, path: Path) -> None:
    """Do something to a file that the kernel would not."""
    match draw.randrange(4):
        case 0:
            path.write_bytes(draw.choice(GARBAGE))
        case 1:
            path.write_bytes(draw.randbytes(draw.randrange(200)))
        case 2:
            path.unlink()
            path.mkdir()
        case _:
            with path.open("r+b") as file:
                os.truncate(file.fileno(), 50 * MAX_BYTES)  # sparse: it takes no room


@pytest.mark.parametrize("rounds", [25, pytest.param(6000, marks=pytest.mark.slow)])
@pytest.mark.timeout(0)
def test_damaged_files_are_survived_and_leave_a_document(rounds: int, tmp_path: Path) -> None:
    draw = random.Random(21)
    boards = sorted(path for path in BOARDS.iterdir() if (path / "proc/stat").exists())
    for index in range(rounds):
        root = tmp_path / str(index)
        shutil.copytree(draw.choice(boards), root)
        collectors = Collectors(place(root, tmp_path))
        for _ in range(2):
            files = sorted(path for path in root.rglob("*") if path.is_file())
            for path in draw.sample(files, min(len(files), draw.randrange(1, 12))):
                mishandle(draw, path)
            system = collectors.collect()
            assert all(error and len(error) <= 200 and "Error:" not in error for error in system.failed.values()), (
                system
            )
            msgspec.json.decode(msgspec.json.encode(system), type=System)
            assert render(health_message(system=system))
        shutil.rmtree(root)
