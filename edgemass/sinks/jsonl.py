"""Documents as lines of JSON: `jsonl:-` to standard output, `jsonl:PATH` appended to a file.

One document a line and nothing else; states of cameras, which are no documents of their own, are left out.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from edgemass.errors import SinkError, UsageError
from edgemass.frame import Frame
from edgemass.messages import CameraState, FrameMessage, to_json
from edgemass.sinks import Sink, SinkContext
from edgemass.sinks._stdout import write_line


def open(uri: str, context: SinkContext) -> Sink:  # noqa: A001 (the plug-ins' own word)
    """Open for appending.

    Raises:
        UsageError: no path.
        SinkError: the path cannot be written.
    """
    target = uri.partition(":")[2]
    if not target:
        raise UsageError("jsonl: needs a path, or - for standard output: jsonl:detections.jsonl")
    return _StdoutSink(context) if target == "-" else _FileSink(Path(target), context)


class _StdoutSink:
    name = "jsonl:-"

    def __init__(self, context: SinkContext) -> None:
        self._counters = context.counters

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        try:
            write_line(to_json(message))
        except SinkError:
            self._counters.add("dropped")
            raise
        self._counters.add("published")

    def camera_state(self, camera: str, state: CameraState) -> None:
        pass

    def close(self, timeout_s: float) -> None:
        pass


class _FileSink:
    """Whole lines only: what a full disk cut short is taken back, and what a crash cut short gets its newline."""

    def __init__(self, path: Path, context: SinkContext) -> None:
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

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        line = to_json(message) + b"\n"
        with self._lock:
            if self._closed:
                return
            try:
                self._write(line)
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
