"""Where this device keeps what it can make again: imports, rewritten graphs, engines, measurements.

Nothing in it is ever the only copy: whoever cannot read or write there does the work anew and says so at most in the
log. The user's own folder, which is there for root too; where it cannot be used, the state folder of the daemon.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

PLACES = (Path("~/.cache/edgemass"), Path("/var/lib/edgemass"))
_chosen: list[Path] = []


def use(place: Path) -> None:
    """Keep everything under this folder from now on; the command line takes it from EDGEMASS_CACHE."""
    _chosen[:] = [place]


def handed_over() -> str:
    """What a child process is to `use`, so that it keeps things where this one does; "" where it finds that itself."""
    return str(_chosen[0]) if _chosen else ""


def _places() -> list[Path]:
    """Where things may be kept, the best first; at least one.

    Raises:
        OSError: there is none.
    """
    if _chosen:
        return list(_chosen)
    user, system = PLACES
    places = [system] if os.access(system, os.W_OK) else []
    try:
        return [user.expanduser(), *places]
    except RuntimeError as error:  # a service without a home
        if places:
            return places
        raise FileNotFoundError(errno.ENOENT, "there is no home folder to keep a cache in", str(user)) from error


def folder(kind: str) -> Path:
    """The folder of one kind of things, made where it is not there.

    One that another user has made, as `sudo` does, is passed over.

    Raises:
        OSError: there is no place that can be written.
    """
    trouble: OSError | None = None
    for place in _places():
        made = place / kind
        try:
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            trouble = trouble or error
            continue
        if os.access(made, os.R_OK | os.W_OK | os.X_OK):
            return made
        trouble = trouble or PermissionError(errno.EACCES, "it belongs to somebody else", str(made))
    assert trouble is not None, "there is always a place to try"
    raise trouble


def trim(place: Path, most: int) -> None:
    """Leave the `most` entries that were changed last."""
    entries = sorted(place.iterdir(), key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
    for entry in entries[most:]:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def key_of_file(path: Path) -> tuple[object, ...]:
    """What a file system says of a file; differs when it is written or replaced, and costs no reading.

    Raises:
        OSError: it is not there.
    """
    status = path.stat()
    return (path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def key(*parts: object) -> str:
    """A file name that differs where any of the parts does."""
    texts = [str(part) for part in parts]
    return hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode()).hexdigest()[:32]


def fingerprint_of_code(*folders: Path) -> str:
    """Differs after an update of the Python files in these folders, a developer's too."""
    files = sorted(path for place in folders for path in place.rglob("*.py"))
    return key(*((path.name, status.st_size, status.st_mtime_ns) for path in files for status in [path.stat()]))
