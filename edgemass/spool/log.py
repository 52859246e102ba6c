"""The segment files of one queue: `<number>.seg` in a folder, of which only the newest is written to.

Everything here may raise OSError: a disk is full, read-only, or gone. Beside the segments lie `lock` (one process at a
time) and `held`, which is there while nothing leaves the queue: see `Log.hold`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edgemass import durable
from edgemass.spool.accounts import Accounts
from edgemass.spool.pacing import NS, Wear
from edgemass.spool.records import Document, Record, State, decode, encode

SUFFIX = ".seg"
_NUMBER = re.compile(r"[0-9]{12}")
WRITEBACK_NS = 30 * NS
"""The kernel writes what it was given after so long by itself (vm.dirty_expire_centisecs)."""
MAX_READ = 64 << 20


@dataclass
class Segment:
    """One file. indices: run -> those of its documents, ascending. newest: the last document, without its payload."""

    number: int
    path: Path
    size: int = 0
    indices: dict[str, array[int]] = field(default_factory=dict)
    newest: Document | None = None

    @property
    def last(self) -> int:
        """Index of the last document, -1 where there is none."""
        return self.newest.index if self.newest is not None else -1

    def add(self, document: Document) -> None:
        self.indices.setdefault(document.run_id, array("q")).append(document.index)
        self.newest = msgspec.structs.replace(document, payload=b"")

    def count(self, start: int) -> dict[str, int]:
        """Run -> documents from this index on."""
        counts = {run_id: len(own) - bisect_left(own, start) for run_id, own in self.indices.items()}
        return {run_id: count for run_id, count in counts.items() if count}

    def holds(self, index: int) -> bool:
        return any(
            place < len(own) and own[place] == index
            for own in self.indices.values()
            for place in (bisect_left(own, index),)
        )


class Recovery:
    """What an earlier process left in the segments, taken in record by record."""

    def __init__(self) -> None:
        self.accounts = Accounts()
        self.state = State(0, 0, {})
        self.next_index = 0
        self.torn = False
        """Something could not be read: the end of a file that was being written, or damage."""
        self._last = -1

    def take(self, record: Record | None, segment: Segment) -> None:
        if record is None:
            self.torn = True
        elif isinstance(record, State):
            self.state = record
            self.accounts = Accounts(record.runs)
            self.next_index = max(self.next_index, record.next_index)
        elif record.index > self._last:  # else written twice, when the disk failed and came back
            self._last = record.index
            segment.add(record)
            if record.index >= self.next_index:
                self.accounts.produce(record.run_id, record.boot_id, record.camera, record.seq, unseen="damaged")
                self.next_index = record.index + 1


class Log:
    """Segments of one folder, held by this process until `close`.

    segment_bytes: a new file begins when the current one is as large. boot_id: of now.
    """

    def __init__(self, folder: Path, *, segment_bytes: int, wear: Wear, boot_id: str) -> None:
        self.folder = folder
        self.segments: list[Segment] = []
        self._segment_bytes = segment_bytes
        self._wear = wear
        self._boot_id = boot_id
        self._stack = contextlib.ExitStack()
        self._current: int | None = None
        """File descriptor of the last of `segments`; None until something is to be written."""
        self._synced = 0
        self._metered = 0
        self._metered_ns = 0
        self._number = 0
        self._fresh = False
        self._held = False

    def open(self) -> Recovery | None:
        """Find out what is there; None where another process has the folder.

        Raises:
            OSError: the folder cannot be made, or read.
        """
        durable.make_folder(self.folder, mode=0o700)
        if not self._stack.enter_context(durable.alone(self.folder / "lock")):
            self._stack.close()
            return None
        recovery = Recovery()
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if not _NUMBER.fullmatch(path.stem):
                continue
            segment = Segment(int(path.stem), path)
            self._number = max(self._number, segment.number)
            self.segments.append(segment)
            try:
                for record in self._records(segment):
                    recovery.take(record, segment)
            except OSError:
                recovery.take(None, segment)
        return recovery

    @property
    def size_bytes(self) -> int:
        return sum(segment.size for segment in self.segments)

    @property
    def writing(self) -> bool:
        return self._current is not None

    @property
    def nameless(self) -> Segment | None:
        """The segment that is being written, where somebody removed it."""
        return self.segments[-1] if self.writing and not self.segments[-1].path.exists() else None

    def left(self, next_index: int) -> int:
        """Documents below this index may have left the queue of an earlier process."""
        try:
            boot_id, index = (self.folder / "held").read_text(encoding="ascii").split()
            self._held = True
            return int(index) if boot_id == self._boot_id and os.access(self.folder, os.W_OK) else next_index
        except (OSError, ValueError):
            return next_index

    def hold(self, left: int) -> None:
        """Note that from now on nothing leaves: documents from the index `left` on never have.

        A note that could not be made costs flags, and no truth: then all that is found may have left.
        """
        if not self._held:
            with contextlib.suppress(OSError):
                (self.folder / "held").write_text(f"{self._boot_id} {left}", encoding="ascii")
                self._held = True

    def release(self) -> None:
        """Documents leave again."""
        if self._held:
            with contextlib.suppress(OSError):
                (self.folder / "held").unlink(missing_ok=True)
            self._held = False

    def append(self, record: Record, state: Callable[[], State], now_ns: int) -> None:
        """Hand a record to the kernel: it survives the process from now on, and from `sync` on a power cut.

        state: of now, which a new segment begins with.
        """
        if self._current is None or self.segments[-1].size >= self._segment_bytes:
            self._begin(state())
        if self._metered == self.segments[-1].size:
            self._metered_ns = now_ns
        self._write(record)

    def sync(self) -> None:
        """All that was appended survives a power cut from now on."""
        if self._current is None:
            return
        self._check_there()
        if self._synced < self.segments[-1].size:
            os.fdatasync(self._current)
            self._meter()
            self._synced = self.segments[-1].size
        if self._fresh:
            durable.sync_folder(self.folder)
            self._fresh = False

    def tick(self, now_ns: int) -> None:
        """Count what the kernel has written by itself."""
        if self._current is not None and now_ns - self._metered_ns >= WRITEBACK_NS:
            self._meter()
            self._metered_ns = now_ns

    def read(self, segment: Segment, start: int) -> list[Document]:
        """Its documents from this index on."""
        known = (record for record in self._records(segment) if isinstance(record, Document))
        return [document for document in known if document.index >= start and segment.holds(document.index)]

    def remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self.segments.remove(segment)

    def forget(self, segment: Segment) -> None:
        """Remove one whose documents are kept elsewhere too; where it cannot be, recovery passes over the second."""
        with contextlib.suppress(OSError):
            segment.path.unlink()
        self.segments.remove(segment)

    def abandon(self) -> None:
        """Write no more to the current segment; the next record begins another."""
        if self._current is not None:
            with contextlib.suppress(OSError):
                self._meter()
            os.close(self._current)
            self._current = None

    def close(self) -> None:
        self.abandon()
        self._stack.close()

    def _records(self, segment: Segment) -> Iterator[Record | None]:
        current = self._current is not None and segment is self.segments[-1]
        descriptor = self._current if current else os.open(segment.path, os.O_RDONLY | os.O_NOFOLLOW)
        assert descriptor is not None
        try:
            data = os.pread(descriptor, min(MAX_READ, os.fstat(descriptor).st_size), 0)  # it takes as much memory
        finally:
            if not current:
                os.close(descriptor)
        segment.size = max(segment.size, len(data))
        return decode(data, segment.number)

    def _begin(self, state: State) -> None:
        """A new segment, that knows all that the older ones do."""
        if self._current is not None:
            self.sync()
            self.abandon()
        durable.make_folder(self.folder, mode=0o700)
        self._number += 1
        segment = Segment(self._number, self.folder / f"{self._number:012d}{SUFFIX}")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._current = os.open(segment.path, flags, 0o600)
        self.segments.append(segment)
        self._synced = self._metered = 0
        self._fresh = True
        try:
            self._write(state)
        except OSError:
            self.abandon()
            self.segments.remove(segment)
            with contextlib.suppress(OSError):
                segment.path.unlink()
            raise

    def _write(self, record: Record) -> None:
        assert self._current is not None
        self._check_there()
        segment = self.segments[-1]
        data = encode(record, segment.number)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._current, data[done:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._current, segment.size)
            raise
        segment.size += len(data)
        if isinstance(record, Document):
            segment.add(record)

    def _check_there(self) -> None:
        """What is written to a file without a name nobody will find."""
        assert self._current is not None
        if os.fstat(self._current).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "was removed while it was written", str(self.segments[-1].path))

    def _meter(self) -> None:
        self._wear.wrote(self._metered, self.segments[-1].size)
        self._metered = self.segments[-1].size


def told(error: OSError) -> str:
    """For people: which file, and why."""
    return f"{error.filename or 'the disk'}: {error.strerror or error}"
