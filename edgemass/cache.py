"""Where this device keeps what it can make again: imports, rewritten graphs, engines, measurements.

Nothing in it is ever the only copy: whoever cannot read or write there does the work anew and says so at most in the
log. The state folder of the daemon where that can be written, else the user's own.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

PLACES = (Path("/var/lib/edgemass"), Path("~/.cache/edgemass"))
_chosen: list[Path] = []


def use(place: Path) -> None:
    """Keep everything under this folder from now on; the command line takes it from EDGEMASS_CACHE."""
    _chosen[:] = [place]


def root() -> Path:
    """The folder of all kinds, whether it is there or not.

    Raises:
        OSError: there is none.
    """
    chosen = _chosen[0] if _chosen else next((item for item in PLACES if os.access(item, os.W_OK)), PLACES[-1])
    try:
        return chosen.expanduser()
    except RuntimeError as error:  # a service without a home
        raise FileNotFoundError(errno.ENOENT, "there is no home folder to keep a cache in", str(chosen)) from error


def folder(kind: str) -> Path:
    """The folder of one kind of things, made where it is not there.

    Raises:
        OSError: there is no place that can be written.
    """
    made = root() / kind
    made.mkdir(mode=0o700, parents=True, exist_ok=True)
    return made


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
