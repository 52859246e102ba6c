"""Lines of text as a source: `text:FILE`, or `text:-` for standard input. Each line is a frame (see edgemass.texts).

Of a file the lines follow each other by a second of its own time, or by `fps` of the options. Lines that come by
themselves (standard input, a pipe, a terminal, `/dev/ttyUSB0` once `stty` has set it up) bear the time at which they
came; none is dropped, whoever writes them waits. Left out are blank lines, and with a warning for the first of each
kind those that are no UTF-8 or longer than texts.MAX_TEXT_BYTES.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from edgemass.clock import Clock
from edgemass.errors import SourceError, SourceNotFoundError, UsageError
from edgemass.frame import Frame
from edgemass.sources import CaptureOptions
from edgemass.sources._timeline import NS, Timeline
from edgemass.texts import MAX_TEXT_BYTES, as_image

logger = logging.getLogger(__name__)

DEFAULT_FPS = 1.0
STANDARD_INPUT = "-"
_POLL_S = 0.2
_READ_BYTES = 65_536


def open(uri: str, options: CaptureOptions, clock: Clock) -> Lines:  # noqa: A001 (the plug-ins' own word)
    """The lines of a file, or of standard input.

    Raises:
        UsageError: nothing behind the colon.
        SourceNotFoundError: there is no such file, or it is a folder.
    """
    name = uri.partition(":")[2]
    if not name:
        raise UsageError("text: needs a file, or - for standard input: text:messages.txt, text:-")
    if name != STANDARD_INPUT:
        path = Path(name)
        if not path.exists():
            raise SourceNotFoundError(f"{path} is not there; wanted a file with a text in each line")
        if path.is_dir():
            raise SourceNotFoundError(f"{path} is a folder; wanted a file with a text in each line")
    return Lines(name, clock, fps=options.fps or DEFAULT_FPS, realtime=options.realtime)


class Lines:
    """skipped: lines left out so far, by why."""

    live = False
    read_timeout_s = float("inf")  # nobody knows when the next line comes

    def __init__(self, name: str, clock: Clock, *, fps: float, realtime: bool) -> None:
        self.name = f"text:{name}"
        self.realtime = realtime
        self.skipped: Counter[str] = Counter()
        self._file = name
        self._clock = clock
        self._step_ns = round(NS / fps)
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        descriptor = self._open()
        try:
            whole = stat.S_ISREG(os.fstat(descriptor).st_mode)
            timeline = Timeline(self._clock, self._closed, step_ns=self._step_ns, realtime=self.realtime and whole)
            shown = 0
            for line in self._lines(descriptor):
                text = self._text(line)
                if text is None:
                    continue
                now_ns = None if whole else self._clock.monotonic_ns()
                frame = timeline.frame(partial(as_image, text), width=len(text), height=1, presentation_ns=now_ns)
                if frame is None:
                    return
                shown += 1
                yield frame
            if shown == 0 and not self._closed.is_set():
                raise SourceNotFoundError(f"{self.name}: no line of text in it{self._left_out()}")
        except OSError as error:
            raise SourceError(f"cannot read {self.name}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        """A descriptor of its own: standard input is open for others too."""
        try:
            if self._file == STANDARD_INPUT:
                return os.dup(0)
            return os.open(self._file, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceNotFoundError(f"cannot read {self.name}: {error.strerror}") from error

    def _lines(self, descriptor: int) -> Iterator[bytes]:
        """Lines without their ends, until the end or `close`; of one that is too long only so much that it shows."""
        pending = b""
        while not self._closed.is_set():
            if not select.select([descriptor], [], [], _POLL_S)[0]:
                continue
            data = os.read(descriptor, _READ_BYTES)
            *lines, pending = (pending + data).split(b"\n")
            yield from lines
            if not data:
                yield pending
                return
            pending = pending[: MAX_TEXT_BYTES + _READ_BYTES]

    def _text(self, line: bytes) -> bytes | None:
        """The line as it is read, without spaces around it; None where it is left out."""
        text = line.strip()
        if not text:
            return None
        why = _refusal(text)
        if not why:
            return text
        self.skipped[why] += 1
        if self.skipped[why] == 1:
            logger.warning("%s: a line is %s; it is left out, as are others like it", self.name, why)
        return None

    def _left_out(self) -> str:
        told = ", ".join(f"{count} {why}" for why, count in self.skipped.items())
        return f" (left out: {told})" if told else ""


def _refusal(text: bytes) -> str:
    """Why a line is left out, "" where it is not."""
    if len(text) > MAX_TEXT_BYTES:
        return f"longer than {MAX_TEXT_BYTES} bytes"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    return ""
