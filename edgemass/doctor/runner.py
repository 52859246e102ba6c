"""Runs the checks one after the other; none can take the others with it, or keep them waiting for ever."""

from __future__ import annotations

import importlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from edgemass.doctor.checks import CHECKS, Check
from edgemass.doctor.finding import Finding, Report, Status, Verdict, worst
from edgemass.doctor.machine import PROBE_S, Machine
from edgemass.redact import redact

logger = logging.getLogger(__name__)

DEADLINE_S = 2 * PROBE_S
"""For one check, which may ask two probes; what hangs longer hangs in a file of /sys or /proc."""
REPORT_S = 240.0
"""For all of them together, where somebody waits for the report."""
_LONGEST = 600  # characters of one line

_LEFT_OUT = Finding(
    Status.WARN, "not looked at: the time for the report was over", "ask again, or run `edgemass doctor`"
)


def examine(
    machine: Machine,
    checks: Mapping[str, Check] = CHECKS,
    *,
    deadline_s: float = DEADLINE_S,
    total_s: float = math.inf,
) -> Iterator[Verdict]:
    """Run every check, and give its findings as soon as they are known. A check with nothing to say gives none.

    deadline_s: for each. total_s: for all: those whose turn does not come before are told to be left out.
    """
    end_s = time.monotonic() + total_s
    for code, check in checks.items():
        left_s = end_s - time.monotonic()
        findings = _findings(code, check, machine, min(deadline_s, left_s)) if left_s > 0 else [_LEFT_OUT]
        for finding in findings:
            yield Verdict(code, check.title, finding.status, _one_line(finding.found), _one_line(finding.fix))


def report(machine: Machine, checks: Mapping[str, Check] = CHECKS, *, total_s: float = REPORT_S) -> Report:
    """All findings, within `total_s`. Safe beside a daemon where the machine says that there is one."""
    verdicts = tuple(examine(machine, checks, total_s=total_s))
    return Report(verdicts, worst([verdict.status for verdict in verdicts]))


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
