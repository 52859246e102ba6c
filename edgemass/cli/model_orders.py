"""`edgemass model activate` and `rollback`: a person orders a model of the store."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli import state
from edgemass.errors import StoreError, UsageError

if TYPE_CHECKING:
    from edgemass.store import ModelStore

LEAST_PREFIX = 6
_PREFIX = re.compile(rf"(?:sha256:)?[0-9a-f]{{{LEAST_PREFIX},64}}")

ACTIVATE_EPILOG = """\
MODEL is a name of `edgemass model list`, a bundle folder or a model file, which is put into the store first; or the
digest of one that is in the store, whose first six digits do. A daemon with the same --state takes it at once: it is
proven beside the model that runs, exchanged between two frames, watched, and sent back should it be worse. Without a
daemon it is what the next `edgemass run` with this --state tries. What failed here before is refused, but for --anyway.

example: edgemass model activate bundles/door --wait 600
example: edgemass model activate 3f9a2c --state /var/lib/edgemass
"""

ROLLBACK_EPILOG = """\
Orders the model that was confirmed before the one that runs; while one is on trial, the one before the trial. Rolled
back again, it goes one further back, and never forward again: `activate` does that. It is an order as any other: the
model is proven and watched before it stays.

example: edgemass model rollback --wait 600
"""


def add_activate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("activate", help="run a model from now on, proven and watched", epilog=ACTIVATE_EPILOG)
    parser.add_argument(
        "model", metavar="MODEL", help="a name, a bundle folder, a model file, or a digest of the store"
    )
    parser.add_argument("--anyway", action="store_true", help="also where it failed here before")
    _add_common(parser)
    parser.set_defaults(call=call_activate)


def add_rollback(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "rollback", help="go back to the model that was confirmed before", epilog=ROLLBACK_EPILOG
    )
    _add_common(parser)
    parser.set_defaults(call=call_rollback)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--wait", type=float, metavar="S", help="wait so long for the daemon to confirm or refuse it")
    parser.add_argument(
        "--device", metavar="ID", help="refuse it on a board of another name (default: this one, whatever it is called)"
    )
    state.add_options(parser)


def call_activate(options: argparse.Namespace) -> int:
    _check(options)
    if _is_digest(options.model):
        store = state.store(options)
        digest = named(store.digests(), options.model, store.root)
        _check_sound(store, digest)
    else:
        store, digest = _added(options)
    reason = store.slot(options.slot).refused.get(digest)
    if reason and not options.anyway:
        raise UsageError(f"{digest[:19]} failed here before: {reason}; give --anyway to have it tried all the same")
    return _order(options, store, digest)


def call_rollback(options: argparse.Namespace) -> int:
    from edgemass.store import rules

    _check(options)
    store = state.store(options)
    slot = store.slot(options.slot)
    digest = rules.before(slot)
    if digest is None:
        there = ", ".join(kept.digest[:19] for kept in slot.confirmed) or "none"
        raise UsageError(
            f"nothing was confirmed in slot {options.slot} before the model that runs (confirmed: {there}); choose one "
            "with `edgemass model activate`"
        )
    _check_sound(store, digest)
    return _order(options, store, digest)


def named(digests: Sequence[str], text: str, where: Path) -> str:
    """The digest that begins so.

    Raises:
        UsageError: none does, or several do.
    """
    start = text.removeprefix("sha256:")
    if len(start) < LEAST_PREFIX:
        raise UsageError(f"{text!r}: wanted a digest, or at least its first {LEAST_PREFIX} digits")
    matching = [digest for digest in digests if digest.removeprefix("sha256:").startswith(start)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(f"{len(matching)} models of {where} begin with {start}; give more digits")
    raise UsageError(f"no model of {where} begins with {start}; see `edgemass model list`")


def _is_digest(model: str) -> bool:
    return model.startswith("sha256:") or (_PREFIX.fullmatch(model) is not None and not Path(model).exists())


def _added(options: argparse.Namespace) -> tuple[ModelStore, str]:
    """Put a bundle into the store, which is made where there is none."""
    from edgemass import bundles
    from edgemass.bundles.stored import add_to_store
    from edgemass.store import ModelStore

    bundle = bundles.resolve(options.model)
    store = ModelStore(state.folder(options) / state.STORE)
    return store, add_to_store(store, bundle)


def _check(options: argparse.Namespace) -> None:
    from edgemass.config import NAME_WANTED, is_name

    if options.wait is not None and not (math.isfinite(options.wait) and options.wait > 0):
        raise UsageError(f"--wait must be above 0, found {options.wait}")
    for what, name in (("--slot", options.slot), ("--device", options.device)):
        if name is not None and not is_name(name):
            raise UsageError(f"{what} {name!r} {NAME_WANTED}")


def _check_sound(store: ModelStore, digest: str) -> None:
    wrong = store.damaged(digest)
    if wrong:
        raise StoreError(f"{digest[:19]} is damaged in the store ({wrong[0]}); add it again from its bundle")


def _order(options: argparse.Namespace, store: ModelStore, digest: str) -> int:
    """Leave the order for the daemon, say what comes of it, and wait where that was asked for."""
    from edgemass.agent import orders
    from edgemass.bundles.stored import load_stored
    from edgemass.cli.update import wait
    from edgemass.clock import SystemClock

    place = state.folder(options)
    manifest = load_stored(store, digest).manifest
    sequence = orders.leave(
        place,
        store,
        device=options.device or "",
        slot=options.slot,
        name=manifest.name,
        digest=digest,
        clock=SystemClock(),
    )
    told = f"{manifest.name} {manifest.version}".strip()
    print(f"{told} ({digest[:19]}) is ordered for slot {options.slot}, as order {sequence}")
    if store.in_use():
        print("a daemon takes it now; see how far it is with `edgemass model history`, or give --wait")
    else:
        print(f"no daemon runs with this state folder; it is tried by the next: edgemass run --state {place}")
    return wait(place, options.slot, sequence, options.wait) if options.wait is not None else 0
