"""`edgemass model pack`: a bundle's files checked, and put into an OCI layout folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemass.bundles.packing import Packed

EPILOG = """\
Checks every file of a bundle against its manifest and tells the digest by which devices and `edgemass trust` know it.
With -o it goes into an OCI layout folder, as with `edgemass model push`, without deltas: to be carried to where a
registry is, or to be served by `edgemass registry serve`.

example: edgemass model pack bundles/door -o door-1.2 --tag 1.2
"""


def add_pack(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("pack", help="check a bundle's files and tell its digest", epilog=EPILOG)
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", help="a bundle folder, a model file, or a name of `edgemass model list`")
    add("-o", "--output", metavar="DIR", help="an OCI layout folder, new or not; also DIR:NAME:TAG")
    add("--tag", action="append", default=[], metavar="T", help="a tag there; may be repeated (default: latest)")
    add("--seal", action="store_true", help="first write the manifest anew, after its card or its pictures were edited")
    parser.set_defaults(call=call_pack)


def call_pack(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass.bundles import folder, packing
    from edgemass.errors import UsageError

    if options.tag and options.output is None:
        raise UsageError("--tag belongs to -o")
    if options.seal and not Path(options.bundle).is_dir():
        raise UsageError(f"--seal: {options.bundle} is no bundle folder, whose manifest could be written anew")
    bundle = bundles.resolve(options.bundle)
    if options.seal:
        bundle = folder.seal(bundle)
    packed = packing.pack(bundle)
    if options.output is not None:
        _put(options, packed, bundle.manifest.name)
    print(f"digest: {packed.digest}")
    return 0


def _put(options: argparse.Namespace, packed: Packed, name: str) -> None:
    from edgemass.cli.model_push import tags_of
    from edgemass.errors import UsageError
    from edgemass.registry import pushing
    from edgemass.registry.layout import Layout
    from edgemass.registry.reference import Reference

    reference = Reference.parse(options.output)
    if reference.folder is None:
        raise UsageError(f"-o {options.output}: wanted a folder; `edgemass model push` sends to a registry")
    tags = tags_of(reference, options.tag)
    pushed = pushing.push(packed.manifest, packed.blobs, Layout(reference.folder, reference.repository or name), tags)
    print(
        f"{name} is in {reference.folder}, tagged {', '.join(tags)}: {pushed.sent} files written, "
        f"{pushed.there} were there"
    )
