"""`edgemass model push` and `pull`: to and from registries, and models by their name."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli.progress import Progress

if TYPE_CHECKING:
    from edgemass.bundles import Bundle
    from edgemass.registry.reference import Reference
    from edgemass.registry.transport import Transport

TOTAL_S = 4 * 3600.0
"""For one file; a person sees how far it is, and can end it."""

PULL_EPILOG = """\
Fetches a model of `edgemass model list` from where its authors or others published it, and checks it against the
digest that edgemass knows; afterwards --model NAME takes it. An address oci://HOST/REPOSITORY:TAG, or an OCI layout
FOLDER:NAME:TAG, gives the bundle that `model push` sent there. A pull that was cut off goes on where it ended.

example: edgemass model pull picodet-s-320
example: edgemass model pull oci://registry.example.org/models/door:1.2 -o door
"""

PUSH_EPILOG = """\
Sends a bundle, with its golden pictures and its card, to an OCI registry or into an OCI layout folder; files that are
there already are not sent again. Deltas go with it: from the bundle that has the tag so far, and from those of
--delta-from; a device that has one of them then fetches only what changed. Logins are taken from the address, from
--user with --password-file, or from where `docker login` keeps them. oci: means TLS, but for this machine itself;
oci+http: and oci+https: say which.

example: edgemass model push bundles/door oci://registry.example.org/models/door:1.2
example: edgemass model push bundles/door models-folder --tag 1.2
"""


def add_pull(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("pull", help="fetch a model by its name or its address", epilog=PULL_EPILOG)
    parser.add_argument(
        "name",
        metavar="MODEL",
        help="a name of `edgemass model list`, oci://HOST/REPOSITORY[:TAG], or FOLDER:NAME[:TAG]",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="the bundle's folder (default: by name in the data folder of the user, or of the system for root; by "
        "address the repository's last word)",
    )
    _add_login(parser)
    parser.set_defaults(call=call_pull)


def add_push(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("push", help="send a bundle to a registry or an OCI layout folder", epilog=PUSH_EPILOG)
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="a bundle folder, a model file, or a name of `edgemass model list`")
    add("reference", metavar="REF", help="oci://HOST/REPOSITORY[:TAG], or the folder of an OCI layout")
    add("--tag", action="append", default=[], metavar="T", help="a further tag; may be repeated (default: latest)")
    add(
        "--delta-from",
        action="append",
        default=[],
        metavar="T",
        help="tag or digest that devices have; may be repeated",
    )
    add("--no-delta", action="store_true", help="send neither deltas nor compressed files")
    _add_login(parser)
    parser.set_defaults(call=call_push)


def _add_login(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--user", metavar="U", help="of the registry")
    add("--password-file", metavar="F", help="holds the password of --user")
    add("--ca", metavar="F", help="certificates to trust instead of the system's, as PEM")


def call_pull(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass.registry.reference import is_reference

    if is_reference(options.name):
        bundle, model = _pull_reference(options)
    else:
        progress = _Kilobytes(f"pull {options.name}, kB")
        try:
            bundle, model = (
                bundles.pull(options.name, options.output, progress=progress),
                options.output or options.name,
            )
        finally:
            progress.end()
    made = bundle.manifest
    print(f"{made.name} ({bundle.manifest.size_bytes / 1e6:.2f} MB, licence {made.licence}) is in {bundle.folder}")
    print(f"try: edgemass run --camera 0 --model {model}")
    return 0


def _pull_reference(options: argparse.Namespace) -> tuple[Bundle, Path]:
    from edgemass.bundles import published
    from edgemass.registry.opening import open_registry
    from edgemass.registry.reference import Reference

    reference = Reference.parse(options.name)
    registry = open_registry(reference, _transport(options))
    progress = _Kilobytes(f"pull {reference.address}, kB")
    try:
        output = options.output or Path(reference.repository.rpartition("/")[2] or "model")
        return published.pull(registry, reference.wanted, output, progress), output
    finally:
        progress.end()
        registry.close()


def call_push(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass import bundles
    from edgemass.bundles import published
    from edgemass.registry.opening import open_registry
    from edgemass.registry.reference import Reference

    reference = Reference.parse(options.reference)
    tags = tags_of(reference, options.tag)
    bundle = bundles.resolve(options.bundle)
    if reference.folder is not None and not reference.repository:
        reference = msgspec.structs.replace(reference, repository=bundle.manifest.name)
    delta_from = _delta_from(options)
    registry = open_registry(reference, _transport(options))
    progress = _Kilobytes(f"push {bundle.manifest.name}, kB")
    try:
        pushed = published.push(bundle, registry, tags, progress, delta_from=delta_from)
    finally:
        progress.end()
        registry.close()
    print(
        f"{bundle.manifest.name} ({bundle.manifest.size_bytes / 1e6:.2f} MB) is at {reference.address}, "
        f"tagged {', '.join(tags)}: {pushed.sent} files sent, {pushed.there} were there"
    )
    for base, size_bytes in pushed.deltas.items():
        print(f"delta: {size_bytes / 1e6:.2f} MB for devices that have {base}")
    print(f"digest: {pushed.digest}")
    return 0


def _delta_from(options: argparse.Namespace) -> list[str] | None:
    """None = no deltas; neither where zstandard is missing and nobody asked for one."""
    from importlib.util import find_spec

    from edgemass import oci
    from edgemass.errors import UsageError
    from edgemass.registry.reference import is_tag

    if options.no_delta and options.delta_from:
        raise UsageError("--no-delta and --delta-from exclude each other")
    for text in options.delta_from:
        if not is_tag(text) and not oci.is_digest(text):
            raise UsageError(f"--delta-from {text!r}: wanted a tag or a digest of the same repository")
    if options.no_delta or (not options.delta_from and find_spec("zstandard") is None):
        return None
    return list(options.delta_from)


def tags_of(reference: Reference, further: list[str]) -> list[str]:
    from edgemass.errors import UsageError
    from edgemass.registry.reference import DEFAULT_TAG, is_tag

    if reference.digest is not None:
        raise UsageError(f"{reference.address}: the digest follows from the bundle; give a tag instead")
    for tag in further:
        if not is_tag(tag):
            raise UsageError(f"--tag {tag!r}: wanted up to 128 letters, digits and . _ -")
    tags = [*([reference.tag] if reference.tag else []), *further]
    return list(dict.fromkeys(tags)) or [DEFAULT_TAG]


def _transport(options: argparse.Namespace) -> Transport:
    from edgemass.registry.transport import Transport

    home = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    docker_config = Path(home, "config.json")
    return Transport(
        ca=options.ca,
        user=options.user,
        password_file=options.password_file,
        docker_config=str(docker_config) if docker_config.is_file() else None,
        total_s=TOTAL_S,
    )


class _Kilobytes(Progress):
    """Told of in bytes."""

    def __call__(self, done: int, total: int) -> None:
        super().__call__(-(-done // 1000), -(-total // 1000))
