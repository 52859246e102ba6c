"""`edgemass doctor`: what this machine has, what it lacks, and how to fix it."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemass.doctor import Verdict

EPILOG = """\
Every line has a code that does not change, and what to do stands below it; docs/doctor.md explains them.
OK    as it should be
NOTE  nothing is wrong, but you may want it otherwise
WARN  it works, but worse than it could, or not always
FAIL  something needed, or asked for, does not work: the exit code is 1

example: edgemass doctor --camera 0 --mqtt mqtt://broker
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "doctor",
        help="check board, cameras, runtimes and broker, and say how to fix what is wrong",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--camera", metavar="SOURCE", help="open this camera and watch its first frames")
    add("--mqtt", metavar="URL", help="connect to this broker")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass import doctor
    from edgemass.doctor.finding import worst

    if not options.verbose:
        logging.getLogger("edgemass").setLevel(logging.CRITICAL)  # the report says it already
    width = max(len(check.title) for check in doctor.CHECKS.values())
    verdicts = []
    for verdict in doctor.examine(doctor.Machine(camera=options.camera, mqtt=options.mqtt)):
        verdicts.append(verdict)
        if not options.json:
            _print(verdict, width)
    report = doctor.Report(tuple(verdicts), worst([verdict.status for verdict in verdicts]))
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        counts = {status: sum(verdict.status is status for verdict in verdicts) for status in doctor.Status}
        print(", ".join(f"{count} {status.value}" for status, count in counts.items() if count))
    return 1 if report.worst is doctor.Status.FAIL else 0


def _print(verdict: Verdict, width: int) -> None:
    """One line at once, for a check may take a while; `fix` stands below what was found."""
    head = f"{verdict.status.value:4}  {verdict.code}  {verdict.title:{width}}  "
    print(f"{head}{verdict.found}", flush=True)
    if verdict.fix:
        print(f"{'':{len(head)}}fix: {verdict.fix}", flush=True)
