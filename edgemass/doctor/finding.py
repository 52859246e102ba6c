"""What a check says."""

from __future__ import annotations

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
    return (found, fix) if found else (message, "")
