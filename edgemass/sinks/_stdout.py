"""Standard output as a sink's file: its reader may leave at any time."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

from edgemass.errors import SinkClosedError, SinkError

_lock = threading.Lock()


def write_line(line: bytes) -> None:
    """Write one line, newline added, and flush it.

    Raises:
        SinkClosedError: nobody reads any more (`| head`), or standard output was closed.
        SinkError: it cannot be written.
    """
    with _lock:
        try:
            sys.stdout.buffer.write(line + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            _abandon()
            raise SinkClosedError("nobody reads standard output any more") from error
        except (ValueError, AttributeError) as error:  # a closed file; None under a service without standard output
            raise SinkClosedError("standard output is closed") from error
        except OSError as error:
            raise SinkError(f"cannot write to standard output: {error.strerror}") from error


def _abandon() -> None:
    """Point it at nothing, or the interpreter complains of the broken pipe once more when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
        os.close(nothing)
