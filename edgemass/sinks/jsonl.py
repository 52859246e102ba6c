"""Documents as lines of JSON: `jsonl:-` to standard output, `jsonl:PATH` appended to a file.

One document a line and nothing else: edgemass.detection/1 or classification/1, edgemass.event/1, edgemass.counts/1.
States of cameras are no documents of their own: where they matter there is an event.
`?only=events`: detections and classifications are left out; `?only=frames`: nothing else is given.
"""

from __future__ import annotations

import os
import stat
import threading
from abc import ABC, abstractmethod
from pathlib import Path

from edgemass.errors import SinkError, UsageError
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage, to_json
from edgemass.sinks import Sink, SinkContext
from edgemass.sinks._stdout import write_line

EVENTS, FRAMES = "events", "frames"


def open(uri: str, context: SinkContext) -> Sink:  # noqa: A001 (the plug-ins' own word)
    """Open for appending.

    Raises:
        UsageError: no path.
        SinkError: the path cannot be written.
    """
    target, only = _read(uri)
    return _StdoutSink(only, context) if target == "-" else _FileSink(Path(target), only, context)


def check(uri: str) -> None:
    """See `sinks.check`."""
    _read(uri)


def _read(uri: str) -> tuple[str, str]:
    """The path, or -, and what becomes lines."""
    target, mark, only = uri.partition(":")[2].partition("?only=")
    if not target:
        raise UsageError("jsonl: needs a path, or - for standard output: jsonl:detections.jsonl")
    if mark and only not in (EVENTS, FRAMES):
        raise UsageError(f"jsonl: only= takes {EVENTS} or {FRAMES}, found {only!r}")
    return target, only


class _Lines(ABC):
    """What both have in common: which documents become lines. only: EVENTS, FRAMES or "" for all."""

    def __init__(self, only: str) -> None:
        self._only = only

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        if self._only != EVENTS:
            self._put(to_json(message))

    def event(self, event: EventMessage, picture: bytes | None) -> None:  # noqa: ARG002 (the plug-ins' contract)
        if self._only != FRAMES:
            self._put(to_json(event))

    def counts(self, counts: CountsMessage) -> None:
        if self._only != FRAMES:
            self._put(to_json(counts))

    @abstractmethod
    def _put(self, line: bytes) -> None:
        """Write one line, without its newline."""


class _StdoutSink(_Lines):
    name = "jsonl:-"

    def __init__(self, only: str, context: SinkContext) -> None:
        super().__init__(only)
        self._counters = context.counters

    def _put(self, line: bytes) -> None:
        try:
            write_line(line)
        except SinkError:
            self._counters.add("dropped")
            raise
        self._counters.add("published")

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


class _FileSink(_Lines):
    """Whole lines only: what a full disk cut short is taken back, and what a crash cut short gets its newline."""

    def __init__(self, path: Path, only: str, context: SinkContext) -> None:
        super().__init__(only)
        self.name = f"jsonl:{path}"
        self._path = path
        self._counters = context.counters
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SinkError(
                f"cannot write {path}: {error.strerror}; give a path in a folder that can be written"
            ) from error
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self._regular and self._torn():
            self._write(b"\n")

    def _put(self, line: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._write(line + b"\n")
            except OSError as error:
                self._counters.add("dropped")
                raise SinkError(f"cannot write {self._path}: {error.strerror}") from error
        self._counters.add("published")

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:  # noqa: ARG002 (nothing is owed: every line is with the kernel)
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    def _torn(self) -> bool:
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def _write(self, line: bytes) -> None:
        before = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            if self._regular:
                os.ftruncate(self._descriptor, before)
            raise
