"""`edgemass-tools road`: every step from a drawn data set to a device, one after the other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgemass import cli as device
from edgemass_tools.cli import training

EPILOG = """\
Draws a data set, trains a teacher on it, distills a student on pictures without truth, prunes it, makes a bundle,
quantizes it for ONNX Runtime and LiteRT, evaluates all variants, and runs it as a device does. Each command is printed,
to be taken up with other data. An interrupted road goes on with the same command.

example: edgemass-tools road -o build/road --short
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("road", help="walk from a drawn data set to a device", epilog=EPILOG)
    add = parser.add_argument
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="where everything goes")
    add("--short", action="store_true", help="everything runs, little is learnt")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(None)
    from edgemass_tools import road

    budget = road.SHORT if options.short else road.WHOLE
    road.draw(options.output, budget)
    taken = road.walk(options.output, budget, _run, _tell)
    print()
    for name, seconds in taken:
        print(f"{seconds:7.1f} s  {name}")
    print(f"{sum(seconds for _, seconds in taken):7.1f} s  in all; the report is {options.output / 'report.html'}")
    return 0


def _tell(what: str) -> None:
    print(what, flush=True)


def _run(command: Sequence[str]) -> int:
    from edgemass_tools import cli

    program, *arguments = command
    return device.main(arguments) if program == "edgemass" else cli.main(arguments)
