"""The one way to write a file that must survive a power cut, and one for those that need not."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data` so that at any instant the old or the new content is there, whole.

    Temporary name in the same folder -> fsync -> rename -> fsync of the folder.

    Raises:
        OSError: the disk is full or read-only; the old file is untouched and no temporary file stays.
    """
    _replace(path, data, mode, sync=True)
    sync_folder(path.parent)


def write_fleeting(path: Path, data: bytes) -> None:
    """Replace `path` by `data` for whoever reads it, whole at any instant; not synced, for what is made anew anyway.

    Raises:
        OSError: it cannot be written; the old file is untouched and no temporary file stays.
    """
    _replace(path, data, 0o644, sync=False)


def _replace(path: Path, data: bytes, mode: int, *, sync: bool) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def move(source: Path, target: Path) -> None:
    """Put a finished file of the same file system into its place: after a power cut it is there whole, or not at all.

    Raises:
        OSError: it cannot be written or moved.
    """
    with source.open("rb") as file:
        os.fsync(file.fileno())
    source.replace(target)
    sync_folder(target.parent)


def copy(source: Path, target: Path) -> None:
    """Replace `target` by a copy of `source`, as `write_bytes` does.

    Raises:
        OSError: it cannot be read or written; the old file is untouched and no temporary file stays.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        temporary.unlink(missing_ok=True)  # copyfile would follow a link
        shutil.copyfile(source, temporary)
        move(temporary, target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def keep_before(path: Path, before: Path) -> None:
    """Let `before` name what `path` names now, before `path` is replaced.

    Raises:
        OSError: it cannot be made; `path` is untouched.
    """
    temporary = before.with_name(f".{before.name}.{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    os.link(path, temporary)
    temporary.replace(before)
    sync_folder(before.parent)


@contextmanager
def alone(lock: Path) -> Iterator[bool]:
    """Whether no other process holds this lock; held until the end of the block, and let go when the process dies.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def held(lock: Path) -> bool:
    """Whether some process holds this lock. Needs no right but to read it."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing, so that what is put into it durably is found again.

    Raises:
        OSError: it cannot be made, or something else has its name.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode=mode)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` permanent."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
