"""`edgemass config`: checks, shows and describes configuration files."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass import config

if TYPE_CHECKING:
    from edgemass.config import Config


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "config",
        help="check, show and describe configuration files",
        epilog="example: edgemass config check edgemass.toml",
    )
    inner = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    check = _add(
        inner,
        "check",
        "say what is wrong with a configuration; nothing is opened",
        _check,
        "example: edgemass config check edgemass.toml",
    )
    _add_file(check)
    show = _add(
        inner,
        "show",
        "print what all files say together, without passwords",
        _show,
        "example: edgemass config show edgemass.toml --defaults",
    )
    _add_file(show)
    show.add_argument("--defaults", action="store_true", help="also what stands for the keys that nobody gave")
    show.add_argument("--json", action="store_true", help="as JSON instead of TOML")
    _add(
        inner,
        "schema",
        "print the JSON Schema of edgemass.toml, for editors",
        _schema,
        "example: edgemass config schema",
    )


def _add(
    inner: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    call: Callable[[argparse.Namespace], int],
    example: str,
) -> argparse.ArgumentParser:
    parser = inner.add_parser(name, help=what, epilog=example)
    parser.set_defaults(call=call)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        default=config.SYSTEM,
        metavar="FILE",
        help=f"the file, or a folder with {config.NAME} in it; conf.d/*.toml beside it counts too "
        f"(default: {config.SYSTEM})",
    )


def _check(options: argparse.Namespace) -> int:
    wanted = config.load(options.file)
    _check_addresses(options.file, wanted)
    cameras = ", ".join(wanted.cameras) or "none"
    read = ", ".join(str(file) for file in config.files(options.file))
    print(f"{read}: good; cameras: {cameras}; sinks: {len(wanted.sinks) or 'console'}")
    return 0


def _check_addresses(file: Path, wanted: Config) -> None:
    """Addresses are read by their plug-ins; nothing is opened.

    Raises:
        ConfigError: one that cannot be read; names the file that says it.
    """
    from edgemass import sinks, sources
    from edgemass.clock import SystemClock
    from edgemass.config import credentials
    from edgemass.errors import ConfigError, EdgemassError, UsageError
    from edgemass.sources import CaptureOptions

    folder = os.environ.get(credentials.VARIABLE)
    given = Path(folder) if folder else None
    for name, camera in wanted.cameras.items():
        try:
            sources.open(credentials.for_checks(camera.source, given), CaptureOptions(), SystemClock()).close()
        except (UsageError, ConfigError) as error:
            raise ConfigError(f"{config.says(file, 'cameras', name, 'source')}: camera {name}: {error}") from error
        except EdgemassError as error:  # not the file's fault: this machine lacks what the source needs
            raise EdgemassError(f"{config.says(file, 'cameras', name, 'source')}: camera {name}: {error}") from error
    try:
        for uri in wanted.sinks:
            sinks.check(credentials.for_checks(uri, given))
        sinks.check_apart(wanted.sinks)
    except (UsageError, ConfigError) as error:
        raise ConfigError(f"{config.says(file, 'sinks')}: sinks: {error}") from error


def _show(options: argparse.Namespace) -> int:
    import tomli_w

    from edgemass.config import shown

    table = shown.table(config.load(options.file), defaults=options.defaults)
    print(json.dumps(table, indent=2) if options.json else tomli_w.dumps(table), end="\n" if options.json else "")
    return 0


def _schema(_: argparse.Namespace) -> int:
    from edgemass.config import shown

    print(json.dumps(shown.schema(), indent=2))
    return 0
