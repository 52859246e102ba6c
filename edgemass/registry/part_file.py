"""A file that is not whole yet: `.<file>.part` beside where it will lie, hashed as it grows, held by one process."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import final

from edgemass import durable
from edgemass.errors import UsageError

_CHUNK_BYTES = 1 << 20


def name(path: Path) -> Path:
    """Of the unfinished file that becomes `path`."""
    return path.with_name(f".{path.name}.part")


@final
class PartFile:
    """size: bytes that are here. resumed: some of them were left by an earlier call."""

    def __init__(self, path: Path) -> None:
        """Open or make it, and read what an earlier call left.

        Raises:
            UsageError: another process holds it, or the folder cannot be written.
        """
        self._final = path
        self._path = name(path)
        self._hash = hashlib.sha256()
        self.size = 0
        with _told(path.parent):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self._file = os.fdopen(descriptor, "r+b", buffering=0)
        if not self._hold():
            self._file.close()
            raise UsageError(f"{path} is being fetched by another process; wait until it has finished")
        while chunk := self._file.read(_CHUNK_BYTES):
            self._hash.update(chunk)
            self.size += len(chunk)
        self.resumed = self.size > 0

    def _hold(self) -> bool:
        """Whether it is ours alone, and still the file of that name."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._file.fileno()).st_ino == self._path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go; what has come so far stays for the next call."""
        if self.size == 0:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def sha256(self) -> str:
        """Of what is here, hexadecimal."""
        return self._hash.hexdigest()

    def make_room(self, size_bytes: int) -> None:
        """Check that the rest of `size_bytes` fits on the disk.

        Raises:
            UsageError: it does not.
        """
        missing = size_bytes - self.size
        free = shutil.disk_usage(self._final.parent).free
        if free < missing:
            raise UsageError(
                f"{self._final.parent} has {free / 1e6:.1f} MB free, wanted {missing / 1e6:.1f} MB; "
                "free some or choose another folder with -o"
            )

    def append(self, chunk: bytes) -> None:
        """Write all of it, or nothing stays.

        Raises:
            UsageError: the disk is full or broken.
        """
        view = memoryview(chunk)
        try:
            with _told(self._final.parent):
                while view:
                    view = view[self._file.write(view) :]
        except UsageError:
            self.restart()
            raise
        self._hash.update(chunk)
        self.size += len(chunk)

    def restart(self) -> None:
        """Throw away what is here."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.size = 0
        self.resumed = False

    def finish(self) -> None:
        """Give it its own name, for good.

        Raises:
            UsageError: the disk is full or broken.
        """
        with _told(self._final.parent):
            os.fsync(self._file.fileno())
            self._path.replace(self._final)
            durable.sync_folder(self._final.parent)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Translate what the disk says."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {folder}: {error.strerror}; free some room or choose another folder with -o"
        ) from error
