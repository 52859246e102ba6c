"""The command line: parses, calls one function, and turns errors into one line and an exit code."""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgemass import __version__, cache
from edgemass.cli import (
    annotate,
    bench,
    config,
    doctor,
    evaluate,
    forget,
    model,
    profile,
    registry,
    replay,
    run,
    service,
    status,
    trust,
    update,
    verify_stream,
)
from edgemass.cli.logs import set_up_logging
from edgemass.errors import ConfigError, EdgemassError, UsageError
from edgemass.redact import redact

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78  # sysexits.h: systemd does not restart on it

CACHE_VARIABLE = "EDGEMASS_CACHE"

MAX_MESSAGE = 2000

logger = logging.getLogger(__name__)

VERBS = (
    run,
    status,
    model,
    update,
    registry,
    trust,
    annotate,
    evaluate,
    bench,
    replay,
    verify_stream,
    forget,
    config,
    profile,
    doctor,
    service,
)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Texts as they are written, so that examples can be copied; on a narrower terminal prose is broken anew."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.strip("\n").split("\n\n")
        return textwrap.indent("\n\n".join(_fitted(paragraph, width) for paragraph in paragraphs) + "\n", indent)


def _fitted(paragraph: str, width: int) -> str:
    """Columns, commands and what is not too wide stay."""
    lines = paragraph.splitlines()
    written = paragraph.startswith("example") or any(line.startswith(" ") or "  " in line for line in lines)
    if written or max(map(len, lines), default=0) <= width:
        return paragraph
    return textwrap.fill(" ".join(lines), width, break_long_words=False, break_on_hyphens=False)


class Parser(argparse.ArgumentParser):
    """Errors in the same form as everywhere else."""

    def __init__(self, **how: Any) -> None:
        super().__init__(formatter_class=Formatter, **how)

    def error(self, message: str) -> NoReturn:
        program = self.prog.split()[0]
        self.exit(EXIT_USAGE, f"{program}: error: {_shortened(message)}; see `{self.prog} --help`\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="edgemass",
        description="Turns a board with a camera into a managed detector.",
        epilog="example: edgemass run --camera 0 --model yolov8n.onnx --mqtt mqtt://broker",
    )
    top.add_argument("--version", action="version", version=f"edgemass {__version__}")
    top.add_argument("-v", "--verbose", action="store_true", help="log what happens in detail")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for verb in VERBS:
        verb.add_parser(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 1 failure, 2 usage, 78 configuration."""
    return execute(parser(), arguments)


def execute(top: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Parse, call what the verb set as `call`, turn errors into one line and an exit code; for `edgemass-tools` too.

    arguments: None for those of this process.
    """
    _write_what_the_terminal_can()
    options = top.parse_args(arguments)
    set_up_logging(verbose=options.verbose)
    if place := os.environ.get(CACHE_VARIABLE):
        cache.use(Path(place))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: children too, and with 0
    try:
        code: int = options.call(options)
        if sys.stdout is not None:  # as under `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EdgemassError as error:
        print(f"{top.prog}: error: {one_line(error)}", file=sys.stderr)
        return _exit_code(error)
    except OSError as error:  # a file or folder that the verb did not foresee
        logger.debug("where it happened", exc_info=True)
        where = f"{error.filename}: " if error.filename is not None else ""
        advice = "; ask as a user who may" if isinstance(error, PermissionError) else ""
        print(f"{top.prog}: error: {where}{error.strerror or one_line(error)}{advice}", file=sys.stderr)
        return EXIT_FAILURE
    return code


def _write_what_the_terminal_can() -> None:
    """A character that the terminal's encoding has not, such as ° in ASCII, becomes `?` and ends nothing."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def one_line(error: Exception) -> str:
    return _shortened(str(error))


def _shortened(message: str) -> str:
    """One line, without passwords, and without the most of what a hostile file put into it."""
    text = redact(" ".join(message.split()))
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."


def _exit_code(error: EdgemassError) -> int:
    if isinstance(error, UsageError):
        return EXIT_USAGE
    if isinstance(error, ConfigError):
        return EXIT_CONFIG
    return EXIT_FAILURE
