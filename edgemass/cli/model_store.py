"""`edgemass model verify`, `prune` and `history`, and what `list` tells of the store."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemass.cli import state
from edgemass.errors import BundleError, UsageError

if TYPE_CHECKING:
    from edgemass.store import SlotState, StoredBundle

LEAST_KEPT = 2
_BYTES = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[kMGT]?)B?")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}

VERIFY_EPILOG = """\
Reads every file again and compares it with its digest. Without MODEL all that is in the store; else one of the store by
its digest, whose first six digits do, or a bundle folder. Exits with 1 where something is damaged.

example: edgemass model verify
"""

PRUNE_EPILOG = """\
Removes what was confirmed or refused once and is not needed any more: never what runs, what is on trial, or the newest
two that were confirmed in a slot. --free removes also what was never taken into use, the oldest first, until so much
is free on the disk. A daemon does this by itself; while one runs, this verb is refused.

example: edgemass model prune --keep 3
example: edgemass model prune --free 500M
"""


def add_verify(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "verify", help="read the files of models again, and compare them with their digests", epilog=VERIFY_EPILOG
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a digest of the store, or a bundle folder")
    state.add_options(parser, slot=False)
    parser.set_defaults(call=call_verify)


def add_prune(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("prune", help="remove models of the store that nothing needs", epilog=PRUNE_EPILOG)
    add = parser.add_argument
    add("--keep", type=int, default=LEAST_KEPT, metavar="N", help="confirmed ones that stay in each slot (default: 2)")
    add("--free", default="0", metavar="BYTES", help="so much is to be free on the disk, such as 500M or 2G")
    state.add_options(parser, slot=False)
    parser.set_defaults(call=call_prune)


def add_history(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "history",
        help="show what became of the models of a slot, and why",
        epilog="example: edgemass model history --slot main",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    state.add_options(parser)
    parser.set_defaults(call=call_history)


def call_verify(options: argparse.Namespace) -> int:
    from edgemass.cli.model_orders import named

    if options.model is not None and Path(options.model).exists():
        return _verify_folder(options.model)
    store = state.store(options)
    digests = (named(store.digests(), options.model, store.root),) if options.model is not None else store.digests()
    names = {bundle.digest: bundle.manifest for bundle in store.bundles()}
    bad = 0
    for digest in digests:
        manifest = names.get(digest)
        told = f"{digest[:19]}  {f'{manifest.name} {manifest.version}'.strip() if manifest else 'unreadable'}"
        wrong = store.damaged(digest)
        bad += bool(wrong)
        for sentence in wrong:
            print(f"damaged  {told}: {sentence}")
        if not wrong:
            print(f"sound    {told}")
    if bad:
        print(
            f"{bad} of {len(digests)} damaged; add them again with `edgemass model activate BUNDLE`, or pull them again"
        )
    elif not digests:
        print(f"the store {store.root} is empty")
    return 1 if bad else 0


def _verify_folder(folder: str) -> int:
    from edgemass import bundles
    from edgemass.bundles.packing import pack

    bundle = bundles.resolve(folder)
    try:
        digest = pack(bundle).digest
    except BundleError as error:
        print(f"damaged  {bundle.manifest.name}: {error}")
        return 1
    print(f"sound    {digest[:19]}  {f'{bundle.manifest.name} {bundle.manifest.version}'.strip()}")
    return 0


def call_prune(options: argparse.Namespace) -> int:
    if options.keep < LEAST_KEPT:
        raise UsageError(
            f"--keep must be at least {LEAST_KEPT}, so that there is one to go back to; found {options.keep}"
        )
    free_bytes = _bytes(options.free)
    store = state.store(options)
    if store.in_use():
        raise UsageError(f"a daemon runs with {store.root} and prunes by itself; stop it first")
    store.hold()
    try:
        names = {bundle.digest: bundle for bundle in store.bundles()}
        gone = store.prune(options.keep, free_bytes=free_bytes)
    finally:
        store.close()
    for digest in gone:
        print(f"removed  {_row(names[digest])}")
    print(f"{len(gone)} removed, {len(store.bundles())} are left in {store.root}")
    return 0


def _row(bundle: StoredBundle) -> str:
    return (
        f"{bundle.digest[:19]}  {f'{bundle.manifest.name} {bundle.manifest.version}'.strip()}  "
        f"{bundle.size_bytes / 1e6:.2f} MB"
    )


def _bytes(text: str) -> int:
    match = _BYTES.fullmatch(text)
    if match is None:
        raise UsageError(f"--free {text!r}: wanted bytes, such as 500M or 2G")
    return round(float(match["number"]) * _UNITS[match["unit"]])


def call_history(options: argparse.Namespace) -> int:
    import msgspec

    store = state.store(options)
    slot = store.slot(options.slot)
    if options.json:
        document = {"slot": options.slot, "history": slot.history, "refused": slot.refused}
        print(msgspec.json.encode(document).decode())
        return 0
    names = {bundle.digest: f"{bundle.manifest.name} {bundle.manifest.version}".strip() for bundle in store.bundles()}
    for line in slot.history:
        name = names.get(line.digest, "no longer here") if line.digest else ""
        told = f"{line.at}  {line.what:<11}  {line.digest[:19]}  {name}"
        print(f"{told}: {line.reason}" if line.reason else told)
    if not slot.history:
        others = [name for name in store.slots() if name != options.slot]
        hint = f"; other slots: {', '.join(others)}" if others else ""
        print(f"nothing has happened in slot {options.slot} yet{hint}")
    return 0


def stored(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What `list --json` tells of the store, the newest first; [] where there is no store."""
    from edgemass.store import ModelStore

    place = state.folder(options) / state.STORE
    if not place.is_dir():
        return []
    store = ModelStore(place)
    slots = store.slots()
    return [_stored(bundle, slots) for bundle in store.bundles()]


def _stored(bundle: StoredBundle, slots: dict[str, SlotState]) -> dict[str, Any]:
    places = {name: _standing(bundle.digest, slot) for name, slot in slots.items()}
    return {
        "digest": bundle.digest,
        "name": bundle.manifest.name,
        "version": bundle.manifest.version,
        "size_bytes": bundle.size_bytes,
        "slots": {name: standing for name, standing in places.items() if standing},
        "reasons": {name: slot.refused[bundle.digest] for name, slot in slots.items() if bundle.digest in slot.refused},
    }


def _standing(digest: str, slot: SlotState) -> str:
    """What it is to a slot: trial, running, confirmed, refused, or "" nothing."""
    if slot.trial is not None and slot.trial.digest == digest:
        return "trial"
    if slot.running == digest:
        return "running"
    if any(kept.digest == digest for kept in slot.confirmed):
        return "confirmed"
    return "refused" if digest in slot.refused else ""


def rows(found: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The same as a table for people, with its head."""
    table: list[tuple[str, ...]] = [("digest", "name", "version", "size", "slot")]
    for item in found:
        places = ", ".join(f"{name}: {standing}" for name, standing in item["slots"].items())
        table.append(
            (item["digest"][:19], item["name"], item["version"], f"{item['size_bytes'] / 1e6:.2f} MB", places or "-")
        )
    return table
