"""The command line of the workshop; errors and exit codes are those of `edgemass`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from edgemass import cli
from edgemass_tools import __version__
from edgemass_tools.cli import distill, evaluate, export, prune, quantize, road, train, tune

VERBS = (train, distill, prune, tune, export, quantize, evaluate, road)


def parser() -> argparse.ArgumentParser:
    top = cli.Parser(
        prog="edgemass-tools",
        description="The model workshop of edgemass.",
        epilog="example: edgemass-tools quantize yolov8n.onnx --images pictures/ -o bundles/yolov8n",
    )
    top.add_argument("--version", action="version", version=f"edgemass-tools {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="log what happens in detail")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=cli.Parser)
    for verb in VERBS:
        verb.add_parser(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 failure, 2 usage, 78 configuration."""
    return cli.execute(parser(), arguments)
