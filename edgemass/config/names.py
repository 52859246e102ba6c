"""What devices and cameras may be called, and what stands for a name or a folder that nobody gave."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")
SYSTEM_STATE = Path("/var/lib/edgemass")
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
    """Where this device keeps its models, the trust metadata and the orders; the same place whatever was used before.

    asked: the folder to take. None = where XDG_STATE_HOME says; else for root, and whoever may write there, the
        system's; else the user's own, which is where the XDG base directories have it.
    """
    if asked is not None:
        return Path(asked)
    named = Path(os.environ.get("XDG_STATE_HOME", ""))
    if named.is_absolute():
        return named / "edgemass"
    if os.geteuid() == 0 or os.access(SYSTEM_STATE, os.W_OK):
        return SYSTEM_STATE
    try:
        return Path("~/.local/state/edgemass").expanduser()
    except RuntimeError:  # a service without a home
        return SYSTEM_STATE
