"""EM601 to EM604: clock, disk, temporary files, memory."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgemass.clock import clock_synced
from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine

STATE = "var/lib/edgemass"
MIB = 1024 * 1024
# Room for a new model of up to 100 MB beside the two that are kept, and for logs.
DISK_WARN_BYTES, DISK_FAIL_BYTES = 500 * MIB, 50 * MIB
# `edgemass bench demo:` peaks at 100 MB (x86-64, ONNX Runtime 1.31); the rest is room for a larger model.
MEMORY_WARN_BYTES = 256 * MIB
EARLIEST_S = 1_767_225_600  # 2026-01-01: no clock of a machine that has this release is right before that
_UNLIMITED = 1 << 60  # version 1 of cgroups writes a number near 2^63 for "no limit"


def clock(machine: Machine) -> Sequence[Finding]:
    return [judge_clock(time.time(), synced=clock_synced(), where="on the host: " if machine.in_container else "")]


def judge_clock(now_s: float, *, synced: bool, where: str = "") -> Finding:
    """now_s: Unix time. where: the clock is to be set."""
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    fix = f"{where}sudo timedatectl set-ntp true, and let the network reach a time server"
    if now_s < EARLIEST_S:
        return Finding(Status.FAIL, f"{told} is wrong: certificates will not be believed", fix)
    if not synced:
        return Finding(Status.WARN, f"{told}, but not synchronised: times in messages may be wrong", fix)
    return Finding(Status.OK, f"{told}, synchronised")


def disk(machine: Machine) -> Sequence[Finding]:
    folder = state_folder(machine)
    usage = shutil.disk_usage(folder)
    return [judge_disk(f"/{folder.relative_to(machine.root)}".replace("/.", "/"), usage.free, usage.total)]


def state_folder(machine: Machine) -> Path:
    """Where the state lies, or the nearest folder above that is there."""
    folder = machine.root / STATE
    while not folder.exists() and folder != machine.root:
        folder = folder.parent
    return folder


def judge_disk(folder: str, free_bytes: int, total_bytes: int) -> Finding:
    found = f"{_size(free_bytes)} of {_size(total_bytes)} free at {folder}"
    fix = "make room: `sudo apt clean`, `sudo journalctl --vacuum-size=50M`, or a larger disk"
    if free_bytes < DISK_FAIL_BYTES:
        return Finding(Status.FAIL, f"{found}: too little to keep a message", fix)
    if free_bytes < DISK_WARN_BYTES:
        return Finding(Status.WARN, f"{found}: too little for another model", fix)
    return Finding(Status.OK, found)


def temporary(_: Machine) -> Sequence[Finding]:
    """LiteRT is loaded with a temporary file at hand; Python takes the first folder of TMPDIR, /tmp, ... that works."""
    tempfile.tempdir = None  # forget what was found before
    try:
        with tempfile.TemporaryFile() as file:
            file.write(b"1")
        return [Finding(Status.OK, f"can be written in {tempfile.gettempdir()}")]
    except OSError as error:
        fix = "let this user write to /tmp, or set TMPDIR to a folder where it may; a full disk is told by EM602"
        return [Finding(Status.FAIL, f"cannot be written: {error.strerror}", fix)]


def memory(machine: Machine) -> Sequence[Finding]:
    """The kernel's estimate of what can be had without swapping, or what a cgroup leaves of it."""
    available = available_bytes(machine)
    if available is None:
        return [Finding(Status.NOTE, "/proc/meminfo does not tell")]
    total = _meminfo(machine).get("MemTotal", 0)
    found = f"{_size(available)} of {_size(total)} available"
    limit = _limit(machine)
    if limit is not None and limit[0] < total:
        found = f"{_size(available)} available, by the limit of {_size(limit[0])} of its cgroup"
    if available < MEMORY_WARN_BYTES:
        return [Finding(Status.WARN, found, "end other programs, raise the limit, or take a smaller model")]
    return [Finding(Status.OK, found)]


def available_bytes(machine: Machine) -> int | None:
    """Memory that can be had; None where the kernel does not tell."""
    bytes_ = _meminfo(machine)
    if "MemAvailable" not in bytes_:
        return None
    limit = _limit(machine)
    if limit is not None and limit[0] < bytes_.get("MemTotal", 0):
        return max(0, min(bytes_["MemAvailable"], limit[0] - limit[1]))
    return bytes_["MemAvailable"]


def _meminfo(machine: Machine) -> dict[str, int]:
    """In bytes."""
    lines = (line.split() for line in (machine.text("proc/meminfo") or "").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1 and words[1].isdigit()}


def _limit(machine: Machine) -> tuple[int, int] | None:
    """(limit, used) in bytes of the cgroup at the root, which is what a container sees of its own."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most = machine.number(f"sys/fs/cgroup/{limit}")  # None for "max"
        if most is not None and most < _UNLIMITED:
            return most, machine.number(f"sys/fs/cgroup/{used}") or 0
    return None


def _size(count: int) -> str:
    return f"{count / 1024 / MIB:.1f} GiB" if count >= 1024 * MIB else f"{count / MIB:.0f} MiB"
