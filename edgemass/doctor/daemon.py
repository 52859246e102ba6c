"""Whether an edgemass runs on this machine, and what it says of itself."""

from __future__ import annotations

import fcntl
import os
from typing import Any

import msgspec

from edgemass.doctor.machine import Machine

FOLDER = "run/edgemass"
STATUS, LOCK = f"{FOLDER}/status.json", f"{FOLDER}/edgemass.lock"


def runs(machine: Machine) -> bool:
    """A daemon holds the lock beside its status.json. Needs no right but to read."""
    try:
        descriptor = os.open(machine.root / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def status(machine: Machine, *keys: str) -> dict[str, Any]:
    """What it wrote last under these keys, one in the other; empty where there is nothing."""
    found: Any = None
    text = machine.text(STATUS)
    if text is not None:
        try:
            found = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found = None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
