"""status.json in the runtime folder: what `edgemass status` prints, and the lock that says whether a daemon runs."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from pathlib import Path

from edgemass import durable

logger = logging.getLogger(__name__)

STATUS = "status.json"
LOCK = "edgemass.lock"


class StatusFile:
    """Held by one daemon at a time: another that shares the folder keeps none. Trouble is logged when it starts.

    The folder may be taken away while the daemon runs, as when its user logs out; once there is one again, it is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None
        self._trouble = ""

    def write(self, document: bytes) -> None:
        try:
            if self._hold():
                durable.write_fleeting(self._folder / STATUS, document)
            trouble = "" if self._lock is not None else "another edgemass keeps its status there"
        except OSError as error:
            trouble = error.strerror or str(error)
        if trouble and not self._trouble:
            logger.warning("no status is kept in %s: %s", self._folder, trouble)
        self._trouble = trouble

    def close(self) -> None:
        """Take it away: nothing runs any more."""
        if self._lock is None:
            return
        if self._held():
            with contextlib.suppress(OSError):
                (self._folder / STATUS).unlink()
        os.close(self._lock)
        self._lock = None

    def _hold(self) -> bool:
        if self._lock is not None and not self._held():
            os.close(self._lock)
            self._lock = None
        if self._lock is None:
            self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True

    def _held(self) -> bool:
        """Whether others find the lock that this one has: not where its folder was taken away."""
        return self._lock is not None and os.fstat(self._lock).st_nlink > 0


def held(folder: Path) -> bool:
    """Whether a daemon runs that keeps its status there. Needs no right but to read."""
    return durable.held(folder / LOCK)
