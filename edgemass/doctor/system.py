"""EM601 to EM604: clock, disk, temporary files, memory."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgemass.clock import clock_synced
from edgemass.doctor.configuration import loaded
from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine
from edgemass.health.groups import fields
from edgemass.health.memory import of_board
from edgemass.health.problems import size

STATE = "var/lib/edgemass"
"""Of a configuration that names no other."""
MIB = 1024 * 1024
# Room for a new model of up to 100 MB beside the two that are kept, and for logs.
DISK_WARN_BYTES, DISK_FAIL_BYTES = 500 * MIB, 50 * MIB
# `edgemass bench demo:` peaks at 100 MB (x86-64, ONNX Runtime 1.31); the rest is room for a larger model.
MEMORY_WARN_BYTES = 256 * MIB
EARLIEST_S = 1_767_225_600  # 2026-01-01: no clock of a machine that has this release is right before that


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
    return [judge_disk(f"{Path('/') / folder.relative_to(machine.root)}", usage.free, usage.total)]


def state_folder(machine: Machine) -> Path:
    """Where the state lies, or the nearest folder above that is there."""
    named = machine.state
    if named is None:
        config = loaded(machine)
        named = Path(config.state) if config is not None and config.state else Path("/") / STATE
    folder = machine.root / named.absolute().relative_to("/")
    while not folder.exists() and folder != machine.root:
        folder = folder.parent
    return folder


def judge_disk(folder: str, free_bytes: int, total_bytes: int) -> Finding:
    found = f"{size(free_bytes)} of {size(total_bytes)} free at {folder}"
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
    told = fields(machine.text("proc/meminfo") or "")
    if "MemAvailable" not in told:
        return [Finding(Status.NOTE, "/proc/meminfo does not tell")]
    available, total = told["MemAvailable"], told.get("MemTotal", 0)
    found = f"{size(available)} of {size(total)} available"
    room = of_board(machine)
    if room.total < total:
        available = room.available
        found = f"{size(available)} available, by the limit of {size(room.total)} of its cgroup"
    if available < MEMORY_WARN_BYTES:
        return [Finding(Status.WARN, found, "end other programs, raise the limit, or take a smaller model")]
    return [Finding(Status.OK, found)]


def available_bytes(machine: Machine) -> int | None:
    """Memory that can be had; None where the kernel does not tell."""
    if "MemAvailable" not in fields(machine.text("proc/meminfo") or ""):
        return None
    return of_board(machine).available
