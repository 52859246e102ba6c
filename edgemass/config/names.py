"""What devices and cameras may be called, and what stands for a name or a folder that nobody gave."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
NAME_WANTED = "must be letters, digits, `_`, `.` and `-`, at most 63"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def is_name(text: str) -> bool:
    """Whether a device or a camera may be called so."""
    return _NAME.fullmatch(text) is not None


def device_id(machine_id: Path = MACHINE_ID) -> str:
    """Host name + 4 hex digits of the hashed machine id: stable over restarts, and two cloned images differ by name."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname().split(".")[0])[:58] or "edgemass"
    try:
        secret = machine_id.read_bytes().strip()
    except OSError:
        secret = b""
    return f"{host}-{hashlib.sha256(b'edgemass' + secret).hexdigest()[:4]}"


def state_folder(asked: str | Path | None = None) -> Path:
    """Where this device keeps its models, the trust metadata and the orders.

    asked: the folder to take. None = that of the system's daemon where it can be written, else the user's own, which
        is where the XDG base directories have it.
    """
    if asked is not None:
        return Path(asked)
    system = Path("/var/lib/edgemass")
    if os.access(system, os.W_OK):
        return system
    try:
        return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "edgemass"
    except RuntimeError:  # a service without a home
        return system
