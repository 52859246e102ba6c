"""The folder of clips: names, whole files only, and its bounds."""

from __future__ import annotations

import contextlib
import logging
import re
from datetime import datetime, timezone
from pathlib import Path

from edgemass import RELEASED, durable
from edgemass.clock import Clock, clock_synced, rfc3339
from edgemass.config.clips import ClipsConfig

logger = logging.getLogger(__name__)

_OURS = re.compile(r".+-\d{8}T\d{9}Z-clip\d+\.(mp4|mkv)")
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")
_DAY_S = 86_400.0
_RELEASED_S = datetime.fromisoformat(RELEASED).replace(tzinfo=timezone.utc).timestamp()


class ClipFolder:
    """Clips of one camera, in a folder that it may share with those of others. Used by one thread, but for `name`.

    Files that are not named as clips are left alone.
    """

    def __init__(self, camera: str, config: ClipsConfig, clock: Clock) -> None:
        self._camera = _UNFIT.sub("_", camera)
        self._folder = Path(config.folder)
        self._max_age_s = config.max_age_days * _DAY_S
        self._max_bytes = config.max_bytes
        self._clock = clock
        self._number = 0

    def name(self, suffix: str) -> str:
        """Of a clip that begins now: door-20261122T101502118Z-clip3.mp4."""
        self._number += 1
        stamp = re.sub("[-:.]", "", rfc3339(self._clock.time_ns()))
        return f"{self._camera}-{stamp}-clip{self._number}{suffix}"

    def part(self, name: str) -> Path:
        """Where a clip is while it is not whole."""
        return self._folder / f".{name}.part"

    def open(self) -> None:
        """Make the folder, and take away what an earlier run of this camera did not finish.

        Raises:
            OSError: it cannot be made or read.
        """
        self.make()
        unfinished = re.compile(rf"\.{re.escape(self._camera)}-\d{{8}}T\d{{9}}Z-clip\d+\.(mp4|mkv)\.part")
        for path in self._folder.iterdir():
            if unfinished.fullmatch(path.name):
                path.unlink(missing_ok=True)
        self.thin()

    def make(self) -> None:
        """Make the folder where it is missing.

        Raises:
            OSError: it cannot be made.
        """
        durable.make_folder(self._folder)

    def keep(self, name: str) -> None:
        """A clip is whole: put it in its place.

        Raises:
            OSError: it cannot be written to the end.
        """
        durable.move(self.part(name), self._folder / name)

    def thin(self, coming: int = 0) -> None:
        """Delete what is too old, and the oldest until the rest is small enough. coming: bytes that are being written.

        Ages count only while the clock can be believed: one that begins in 1970 must not cost all clips when it is set.
        """
        clips = self._clips()
        total = coming + sum(size for _, size, _ in clips)
        now_s = self._clock.time_ns() / 1e9
        aged = clock_synced()
        for written_s, size, path in clips:
            old = aged and _RELEASED_S <= written_s < now_s - self._max_age_s
            if not old and total <= self._max_bytes:
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("cannot delete the old clip %s: %s", path, error.strerror)
                continue
            total -= size

    def _clips(self) -> list[tuple[float, int, Path]]:
        """When each was written, its bytes and its path, oldest first."""
        found = []
        try:
            paths = [path for path in self._folder.iterdir() if _OURS.fullmatch(path.name)]
        except OSError as error:
            logger.debug("cannot look through %s: %s", self._folder, error)
            return []
        for path in paths:
            with contextlib.suppress(OSError):  # another camera deleted it meanwhile
                status = path.lstat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)
