"""Whether an edgemass runs on this machine, and what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from edgemass import durable
from edgemass.doctor.machine import Machine

FOLDER = Path("run/edgemass")
STATUS, LOCK = "status.json", "edgemass.lock"
MOST_BYTES = 1 << 20


def folder(machine: Machine) -> Path:
    """Where a daemon would keep its status."""
    return machine.runtime if machine.runtime is not None else machine.root / FOLDER


def runs(runtime: Path) -> bool:
    """A daemon holds the lock beside its status.json. Needs no right but to read."""
    return durable.held(runtime / LOCK)


def text(machine: Machine) -> str:
    """What it wrote last; "" where there is nothing."""
    try:
        with (folder(machine) / STATUS).open("rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def status(machine: Machine, *keys: str) -> dict[str, Any]:
    """What it wrote last under these keys, one in the other; empty where there is nothing."""
    try:
        found: Any = msgspec.json.decode(text(machine))
    except msgspec.DecodeError:
        found = None
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
