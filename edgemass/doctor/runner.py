"""Runs the checks one after the other; none can take the others with it, or keep them waiting for ever."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from edgemass.doctor.checks import CHECKS, Check
from edgemass.doctor.finding import Finding, Status, Verdict
from edgemass.doctor.machine import PROBE_S, Machine
from edgemass.redact import redact

logger = logging.getLogger(__name__)

DEADLINE_S = 2 * PROBE_S
"""For one check, which may ask two probes; what hangs longer hangs in a file of /sys or /proc."""
_LONGEST = 600  # characters of one line


def examine(
    machine: Machine, checks: Mapping[str, Check] = CHECKS, *, deadline_s: float = DEADLINE_S
) -> Iterator[Verdict]:
    """Run every check, and give its findings as soon as they are known. A check with nothing to say gives none."""
    for code, check in checks.items():
        for finding in _findings(code, check, machine, deadline_s):
            yield Verdict(code, check.title, finding.status, _one_line(finding.found), _one_line(finding.fix))


def _findings(code: str, check: Check, machine: Machine, deadline_s: float) -> Sequence[Finding]:
    done: list[Sequence[Finding]] = []

    def run() -> None:
        try:
            done.append(_load(check.where)(machine))
        except Exception as error:  # the thread's outermost line
            logger.debug("check %s failed", code, exc_info=True)
            done.append([Finding(Status.WARN, f"this check failed: {type(error).__name__}: {error}", _advice(code))])

    thread = threading.Thread(target=run, name=f"check-{code}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    hung = Finding(Status.WARN, f"this check gave no answer within {deadline_s:.0f} s", _advice(code))
    return done[0] if done else [hung]


def _load(where: str) -> Callable[[Machine], Sequence[Finding]]:
    module, _, function = where.partition(":")
    return cast("Callable[[Machine], Sequence[Finding]]", getattr(importlib.import_module(module), function))


def _advice(code: str) -> str:
    return f"mend what the other checks tell first; else report it with the output of `edgemass -v doctor` ({code})"


def _one_line(text: str) -> str:
    """Without passwords, and without what a device's name could do to a terminal."""
    line = "".join(mark if mark.isprintable() else " " for mark in redact(text))
    line = " ".join(line.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
