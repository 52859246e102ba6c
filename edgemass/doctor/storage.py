"""EM611 to EM613: a disk that takes nothing, inodes, and wear."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgemass.doctor import daemon
from edgemass.doctor.finding import Finding, Status
from edgemass.doctor.machine import Machine
from edgemass.doctor.system import state_folder

INODES_WARN = 0.02  # of all that the file system has
# JEDEC eMMC 5.0, EXT_CSD: registers 268, 269 are the life time used in tenths, 0x0B = past its end; 267 spare blocks.
_WORN_OUT, _WORN = 0x0B, 0x09
_SPARE_WARNING, _SPARE_URGENT = 2, 3
_REPLACE = "copy the system to a new card or module soon; write less: see [delivery] and the journal's Storage=volatile"


def writable(machine: Machine) -> Sequence[Finding]:
    """Where the state lies; a card that fails is often mounted read-only by the kernel."""
    folder = state_folder(machine)
    try:
        flags = os.statvfs(folder).f_flag
    except OSError as error:
        return [Finding(Status.FAIL, f"{folder} cannot be asked: {error.strerror}", "`dmesg` tells why")]
    findings = _kernel_errors(machine)
    if flags & os.ST_RDONLY:
        fix = "if nobody wanted that, the disk is failing: `dmesg`, then fsck, then a new one"
        return [Finding(Status.FAIL, f"{folder} is mounted read-only", fix), *findings]
    if not os.access(folder, os.W_OK) and os.geteuid() != 0:
        return [Finding(Status.NOTE, f"this user may not write to {folder}; the service's user may"), *findings]
    return findings or [Finding(Status.OK, f"{folder} can be written")]


def _kernel_errors(machine: Machine) -> list[Finding]:
    """Errors that ext4 has met since it was checked."""
    findings = []
    for place in sorted((machine.root / "sys/fs/ext4").glob("*/errors_count")):
        count = machine.number(str(place.relative_to(machine.root)))
        if count:
            name = place.parent.name
            findings.append(
                Finding(
                    Status.WARN, f"the file system on {name} has met {count} errors", f"fsck /dev/{name} at a start"
                )
            )
    return findings


def inodes(machine: Machine) -> Sequence[Finding]:
    """Small files use them up while there is room; says nothing where the file system has no such limit."""
    folder = state_folder(machine)
    try:
        usage = os.statvfs(folder)
    except OSError:
        return []
    return judge_inodes(str(folder), usage.f_favail, usage.f_files)


def judge_inodes(folder: str, free: int, total: int) -> Sequence[Finding]:
    if total <= 0:
        return []
    found = f"{free} of {total} inodes free at {folder}"
    if free < INODES_WARN * total:
        status = Status.FAIL if free == 0 else Status.WARN
        return [Finding(status, found, "delete small files in masses: `du --inodes -x / | sort -n | tail`")]
    return [Finding(Status.OK, found)]


def wear(machine: Machine) -> Sequence[Finding]:
    """What an eMMC says of itself. SD cards tell nothing: for them there is only what was written."""
    findings = _budget(machine)
    for device in sorted((machine.root / "sys/block").glob("mmcblk*")):
        if device.name.count("boot") or device.name.count("rpmb"):
            continue
        path = f"sys/block/{device.name}/device"
        spare = machine.number(f"{path}/pre_eol_info", 16)
        used = [int(word, 16) for word in (machine.text(f"{path}/life_time") or "").split() if word.startswith("0x")]
        if machine.text(f"{path}/type") == "SD" or not used:
            continue
        findings.append(_worn(device.name, max(used), spare or 0))
    return findings


def _budget(machine: Machine) -> list[Finding]:
    """What the daemon wrote in 24 hours, or since it started, against what it may."""
    disk = daemon.status(machine, "system", "disk")
    written, budget = disk.get("written_today_bytes"), disk.get("budget_bytes")
    if not isinstance(written, int) or not isinstance(budget, int):
        return []
    when = "since its start" if disk.get("written_bytes") == written else "in 24 hours"
    found = f"the daemon has written {written / 1e6:.0f} MB {when}, of {budget / 1e6:.0f} MB a day"
    if written > budget:
        return [Finding(Status.WARN, found, "record less, or raise the budget in the configuration")]
    return [Finding(Status.OK, found)]


def _worn(name: str, used: int, spare: int) -> Finding:
    percent = "more than 100" if used >= _WORN_OUT else f"up to {used * 10}"
    found = f"{name} has used {percent} % of its life"
    if used >= _WORN_OUT or spare >= _SPARE_URGENT:
        return Finding(Status.FAIL, found, _REPLACE)
    if used >= _WORN or spare >= _SPARE_WARNING:
        return Finding(Status.WARN, found, _REPLACE)
    return Finding(Status.OK, found)
