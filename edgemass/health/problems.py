"""What a person should know, in words, with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from edgemass.health.temperature import SLOWING_C
from edgemass.messages.health import (
    CameraHealth,
    Disk,
    GovernorHealth,
    Memory,
    ModelHealth,
    OutputHealth,
    QueueHealth,
    System,
)

MIB = 1024 * 1024
DISK_LEAST_BYTES = 50 * MIB
MEMORY_LEAST_BYTES = 48 * MIB
NEARLY_FULL = 0.9
_NUMBERS = re.compile(r" \(.*|[\d.]+ (?:[KMG]iB )?")
DAY_H = 24


def of_system(system: System) -> Iterator[str]:
    """What the collectors read."""
    throttling, temperature = system.throttling, system.temperature
    if throttling is not None and throttling.undervoltage:
        yield "undervoltage: use the board's own power supply and a short cable"
    if throttling is not None and throttling.throttled:
        causes = ", ".join(throttling.causes) or "throttled"
        yield f"the board slows itself down ({causes}): give it a heat sink or a fan, and air"
    elif temperature is not None and temperature.hottest_c >= (temperature.limit_c or SLOWING_C):
        yield f"{temperature.hottest_c:.0f} °C: the board will slow down; give it a heat sink or a fan, and air"
    if system.memory is not None:
        yield from _of_memory(system.memory)
    if system.disk is not None:
        yield from _of_disk(system.disk)
    if system.clock is not None and not system.clock.synced:
        yield "the clock is not synchronised: times may be wrong; let the network reach a time server"


def of_collectors(system: System) -> Iterator[str]:
    for name, error in system.failed.items():
        yield f"the {name} of the board cannot be read: {error}"


def _of_memory(memory: Memory) -> Iterator[str]:
    slope = memory.slope_bytes_per_hour
    if memory.available_bytes < MEMORY_LEAST_BYTES:
        yield f"{size(memory.available_bytes)} of memory left: end other programs, or take a smaller model"
    elif slope is not None and slope * DAY_H > memory.available_bytes:
        hours = memory.available_bytes / slope
        yield f"the memory of edgemass grows by {size(round(slope))} an hour and is used up in {hours:.0f} h: report it"


def _of_disk(disk: Disk) -> Iterator[str]:
    if disk.read_only:
        yield "the disk is read-only: nothing is kept over a restart; see `dmesg`, and replace a worn SD card"
    elif disk.free_bytes < DISK_LEAST_BYTES:
        yield f"{size(disk.free_bytes)} left on the disk: make room, for example by `sudo journalctl --vacuum-size=50M`"
    if disk.budget_bytes is not None and disk.written_today_bytes > disk.budget_bytes:
        when = "since the start" if disk.written_today_bytes == disk.written_bytes else "in 24 hours"
        yield f"{size(disk.written_today_bytes)} written {when}, the budget of a day is {size(disk.budget_bytes)}"


def of_camera(name: str, camera: CameraHealth) -> Iterator[str]:
    because = f": {camera.reason}" if camera.reason else ""
    if camera.state == "offline":
        yield f"camera {name} is offline{because}"
    elif camera.state == "blind":
        yield f"camera {name} is blind{because}"
    elif camera.quality == "unusable":  # a camera in the dark may halve its rate; that is told, and no alarm
        now = f"{camera.fps_captured:g} frames a second, {camera.reconnects} reconnects so far"
        yield f"the connection of camera {name} is {camera.quality}: {now}"


def of_model(slot: str, model: ModelHealth) -> Iterator[str]:
    if model.degraded:
        yield f"the model in slot {slot} runs on {model.backend} instead of {model.requested}: {model.degraded}"


def of_output(name: str, output: OutputHealth) -> Iterator[str]:
    if output.connected is False or output.trouble:
        yield f"{name}: {output.trouble or 'not connected'}"


def of_queue(name: str, queue: QueueHealth) -> Iterator[str]:
    if queue.in_memory:
        yield f"{name}: the disk takes no events, they wait in memory and would not survive a restart"
    if queue.limit_bytes and queue.size_bytes > NEARLY_FULL * queue.limit_bytes:
        yield f"{name}: the queue of events is nearly full, the oldest will be dropped"


def of_governor(governor: GovernorHealth) -> Iterator[str]:
    if governor.level > 0:
        lighter = " with a lighter model" if governor.lighter_variant else ""
        yield f"held back to {governor.fps_ratio:.0%} of the frames{lighter}: {governor.reason}"


def size(count: int) -> str:
    """Bytes for people."""
    if count >= 1024 * MIB:
        return f"{count / 1024 / MIB:.1f} GiB"
    return f"{count / MIB:.0f} MiB" if count >= MIB else f"{count / 1024:.0f} KiB"


def kind(problem: str) -> str:
    """What stays the same while a problem lasts: its head, without numbers and causes."""
    return _NUMBERS.sub("", problem.partition(":")[0])
