"""Reading files that others may have damaged, and what a disk answers."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from edgemass.errors import NoRoomError, StoreError

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM, errno.EINTR, errno.EAGAIN)


def is_file(path: Path) -> bool:
    """A file of its own; symbolic links are not followed."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def read(path: Path, most: int) -> bytes | None:
    """What a file of the store holds; None where it is none, or larger than `most` bytes.

    Raises:
        StoreError: it cannot be told now, which is no reason to take it for gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(most + 1)
    except OSError as error:  # not there, a link, or sectors that cannot be read any more
        if error.errno in _PASSING:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error
        return None
    return data if len(data) <= most else None


def remove_old(path: Path, now_s: float, after_s: float) -> None:
    """Remove a file that was not written to for so long; what cannot be removed, or is a folder, stays."""
    with contextlib.suppress(OSError):
        if now_s - path.lstat().st_mtime > after_s:
            path.unlink()


@contextlib.contextmanager
def told(root: Path) -> Iterator[None]:
    """Translate what the disk says.

    Raises:
        NoRoomError: it is full.
        StoreError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomError(f"the disk of {root} is full; free some room") from error
        raise StoreError(f"the store {root}: {error.strerror}; see that its folder can be written") from error
