"""What waits on the disk, read into memory shortly before it leaves."""

from __future__ import annotations

import logging
from collections import Counter

from edgemass.spool.log import Log, Segment, told
from edgemass.spool.records import Document
from edgemass.spool.row import Row

logger = logging.getLogger(__name__)

AHEAD_BYTES = 256 << 10
"""So much may be kept of what has only just been written."""


class Ahead:
    """Documents of one log in order. log: None = there is no disk. start: index of the first one that waits."""

    def __init__(self, log: Log | None, start: int) -> None:
        self._log = log
        self._row = Row()
        self._loaded = start
        """All on disk below this index are in the row, or were."""

    def __len__(self) -> int:
        return len(self._row)

    @property
    def first(self) -> Document | None:
        return self._row.first

    def pop(self) -> Document:
        """Take the first one out; there must be one."""
        return self._row.pop()

    def written(self, document: Document) -> None:
        """The newest one on the disk: need not be read, where all before it are here."""
        if self._loaded == document.index and self._row.size_bytes < AHEAD_BYTES:
            self._row.add(document)
            self._loaded = document.index + 1

    def refill(self) -> Counter[str]:
        """Read the next segment in which something waits. Returns run -> how many cannot be read and are lost."""
        lost: Counter[str] = Counter()
        for segment in list(self._log.segments) if self._log is not None else ():
            wanted = segment.count(self._loaded)
            if not wanted:
                continue
            documents = self._read(segment)
            lost.update(wanted)
            lost.subtract(Counter(document.run_id for document in documents))
            self._loaded = segment.last + 1
            if documents:
                for document in documents:
                    self._row.add(document)
                break
        return +lost

    def forget(self, segment: Segment) -> None:
        """The segment is gone. One before it, of which something is in flight, may still hold what waits."""
        self._row.take_out(lambda document: segment.holds(document.index))

    def come_back(self, sent: int, memory: Row) -> None:
        """What waits in memory is on the disk now, behind all that was there. sent: all below have been handed over."""
        self._loaded = max(self._loaded, sent)
        if memory.first is not None:
            self._loaded = min(self._loaded, memory.first.index)

    def rescue(self, nameless: Segment, sent: int) -> tuple[list[Document], Counter[str]]:
        """What waits in a file that has lost its name, taken out of it; and run -> how many are lost.

        sent: all below have been handed over.
        """
        for document in self._read(nameless):
            self._row.add(document)
        found = self._row.take_out(lambda document: nameless.holds(document.index))
        lost = Counter(nameless.count(sent))
        lost.subtract(document.run_id for document in found)
        return found, +lost

    def _read(self, segment: Segment) -> list[Document]:
        assert self._log is not None
        try:
            return self._log.read(segment, self._loaded)
        except OSError as error:
            logger.warning("events that waited are lost: %s", told(error))
            return []
