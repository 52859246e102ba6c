"""`edgemass service`: start with the system, and no longer."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemass.errors import UsageError

EPILOG = """\
Installs systemd's files for this very installation, the user edgemass, and a first /etc/edgemass/edgemass.toml; then
starts it. The Debian package does the same by itself. `systemctl status edgemass` tells how it is.

example: edgemass service install
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    service = verbs.add_parser("service", help="start with the system, and no longer", epilog=EPILOG)
    actions = service.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, about in (
        ("install", "start with the system, and now"),
        ("remove", "stop, and remove all but configuration and state"),
    ):
        parser = actions.add_parser(action, help=about, epilog=f"example: edgemass service {action} --dry-run")
        parser.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="the root of an image instead")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        if action == "remove":
            parser.add_argument("--purge", action="store_true", help="configuration, state and user too")
        else:
            parser.add_argument(
                "--program",
                metavar="PATH",
                help="what the unit is to start (default: this installation); in an image: as it is seen there",
            )
        parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import service

    if not options.root.is_dir():
        raise UsageError(f"--root {options.root} is no folder; give the root of an image, or leave it out")
    own = options.root.resolve() == Path("/")
    if options.action == "install" and options.program and own and not Path(options.program).is_file():
        raise UsageError(f"--program {options.program} is no file; give what the unit is to start, or leave it out")
    system = service.System(root=options.root.resolve(), dry_run=options.dry_run)
    if options.action == "install":
        service.install(system, (options.program,) if options.program else None)
    else:
        service.remove(system, purge=options.purge)
    if not system.changed:
        print("nothing to change")
    return 0
