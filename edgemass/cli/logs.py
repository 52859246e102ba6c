"""Logs on standard error: events with fields, passwords taken out."""

from __future__ import annotations

import logging
import os
import sys
import threading

from edgemass.redact import redact

_JOURNAL_LEVELS = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}  # sd-daemon(3)
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    """`message key=value ...`, with a time for people and a level prefix for the journal, which has its own time."""

    def __init__(self, *, journal: bool) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={_shown(value)}" for key, value in vars(record).items() if key not in _STANDARD)
        text = record.getMessage() + fields
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = redact(text)
        if self._journal:
            level = _JOURNAL_LEVELS.get(record.levelno, 6)
            return "\n".join(f"<{level}>{line}" for line in text.splitlines())
        return f"{self.formatTime(record, self.datefmt)} {record.levelname.lower():7} {text}"


def _shown(value: object) -> str:
    """In one line: names come from others too, and a line of the log must be ours."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in str(value))


def _log_uncaught(error: BaseException | None, thread: str) -> None:
    """What nobody caught leaves without passwords too."""
    if error is not None and not isinstance(error, KeyboardInterrupt):
        logging.getLogger("edgemass").critical("nobody caught what ended %s", thread, exc_info=error)


def set_up_logging(*, verbose: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(journal="JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in ("edgemass", "edgemass_tools"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(capture=True)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = lambda _, error, __: _log_uncaught(error, "the program")
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda told: _log_uncaught(
            told.exc_value, told.thread.name if told.thread else "a thread"
        )
