"""`edgemass doctor`: what this machine has, what it lacks, and how to fix it."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli import signals
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass.doctor import Machine, Report, Verdict

EPILOG = """\
Every line has a code that does not change, and what to do stands below it; docs/doctor.md explains them.

OK    as it should be
NOTE  nothing is wrong, but you may want it otherwise
WARN  it works, but worse than it could, or not always
FAIL  something needed, or asked for, does not work: the exit code is 1

A camera that a running daemon has is not opened a second time.

example: edgemass doctor --camera 0 --mqtt mqtt://broker
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "doctor", help="check board, cameras, runtimes and broker, and say how to fix what is wrong", epilog=EPILOG
    )
    add = parser.add_argument
    add("--camera", metavar="SOURCE", help="open this camera and watch its first frames")
    add("--mqtt", metavar="URL", help="connect to this broker")
    add("--model", metavar="MODEL", help="verify and load this model, and ask it its golden samples")
    add("--http", metavar="HOST:PORT", help="whether the device page can listen there")
    add("--config", type=Path, metavar="FILE", help="try every camera, sink and model of this configuration")
    add("--bundle", type=Path, metavar="FILE.zip", help="write a file for a bug report, without secrets")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass import doctor
    from edgemass.doctor.finding import worst

    signals.answer({signal.SIGINT: _leave, signal.SIGTERM: _leave})
    if not options.verbose:
        logging.getLogger("edgemass").setLevel(logging.CRITICAL)  # the report says it already
    if options.bundle is not None:
        _try_bundle(options.bundle)
    width = max(len(check.title) for check in doctor.CHECKS.values())
    verdicts = []
    machine = _machine(options)
    for verdict in doctor.examine(machine):
        verdicts.append(verdict)
        if not options.json:
            _print(verdict, width)
    report = doctor.Report(tuple(verdicts), worst([verdict.status for verdict in verdicts]))
    if options.bundle is not None:
        _write_bundle(options.bundle, report, machine)
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        counts = {status: sum(verdict.status is status for verdict in verdicts) for status in doctor.Status}
        print(", ".join(f"{count} {status.value}" for status, count in counts.items() if count))
    return 1 if report.worst is doctor.Status.FAIL else 0


def _leave() -> None:
    """Ctrl-C. A KeyboardInterrupt amid an import would keep the checks, which are threads, from ever importing more."""
    from edgemass.doctor import child

    child.end_all()
    os._exit(0)


def _machine(options: argparse.Namespace) -> Machine:
    from edgemass import doctor
    from edgemass.cli import state
    from edgemass.doctor import configuration, daemon

    machine = doctor.Machine(
        camera=options.camera,
        mqtt=options.mqtt,
        http=options.http,
        model_asked=options.model,
        config=options.config,
    )
    config = configuration.loaded(machine)
    asked = state.asked(None, config.state if config is not None else None)
    runtime = next(filter(daemon.runs, state.runtimes(asked)), None)
    return dataclasses.replace(
        machine, daemon=runtime is not None, runtime=runtime, state=state.examined(asked, runtime)
    )


def _try_bundle(path: Path) -> None:
    """Before an examination that takes minutes.

    Raises:
        UsageError: the file could not be written at its end.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"cannot write {path}: {error.strerror}; give a file in a folder that can be written")


def _write_bundle(path: Path, report: Report, machine: Machine) -> None:
    from edgemass.doctor import bundle_file

    try:
        bundle_file.write(path, report, machine)
    except OSError as error:
        raise _unwritable(path, error) from error
    print(f"{path} holds report, versions, configuration, log and status; read it before you send it", file=sys.stderr)


def _print(verdict: Verdict, width: int) -> None:
    """One line at once, for a check may take a while; `fix` stands below what was found."""
    head = f"{verdict.status.value:4}  {verdict.code}  {verdict.title:{width}}  "
    print(f"{head}{verdict.found}", flush=True)
    if verdict.fix:
        print(f"{'':{len(head)}}fix: {verdict.fix}", flush=True)
