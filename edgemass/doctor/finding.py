"""What a check says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

import msgspec


class Status(Enum):
    """From good to bad. NOTE: nothing is wrong, but a user may want it otherwise; FAIL: something asked for or needed
    does not work.
    """

    OK = "OK"
    NOTE = "NOTE"
    WARN = "WARN"
    FAIL = "FAIL"


_ORDER = tuple(Status)
MEND_FIRST = "mend what EM101 to EM207 tell first"


def worst(statuses: Sequence[Status]) -> Status:
    return max(statuses, key=_ORDER.index, default=Status.OK)


class Finding(msgspec.Struct, frozen=True):
    """What a check returns. fix: what to do, "" where nothing is to be done."""

    status: Status
    found: str
    fix: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """A finding under the name of its check, one line each, without passwords."""

    code: str
    title: str
    status: Status
    found: str
    fix: str


class Report(msgspec.Struct, frozen=True):
    """The document of `doctor --json`."""

    checks: tuple[Verdict, ...]
    worst: Status


def split_advice(message: str) -> tuple[str, str]:
    """One of our own error messages, which say what to do behind the last semicolon, as (found, fix)."""
    found, _, fix = message.rpartition("; ")
    if "Permission denied" in message:  # the advice, if any, is for a file that is no good
        return found or message, "let this user read it, or run as one who may"
    return (found, re.sub("^wanted ", "give ", fix)) if found else (message, "")
