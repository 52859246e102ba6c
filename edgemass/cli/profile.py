"""`edgemass profile`: which board this is, how it was recognised, and what follows from it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgemass.device_profile import Recognition


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "profile",
        help="tell which board this is, why, and what follows from it",
        epilog="example: edgemass profile show",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        help="of this board, or of one that is named",
        epilog="example: edgemass profile show raspberry-pi-5",
    )
    show.add_argument(
        "name", nargs="?", metavar="NAME", help="a profile of `edgemass profile list` (default: recognise)"
    )
    show.add_argument("--root", type=Path, metavar="DIR", help="recognise the board whose /proc and /sys are below DIR")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(call=call_show)
    every = actions.add_parser("list", help="all that there are", epilog="example: edgemass profile list")
    every.add_argument("--json", action="store_true", help="print one JSON object")
    every.set_defaults(call=call_list)


def call_list(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass.device_profile import profiles, recognise

    here = recognise().profile.name
    if options.json:
        told = {name: profile.title for name, profile in profiles().items()}
        print(msgspec.json.encode({"profiles": told, "here": here}).decode())
        return 0
    width = max(map(len, profiles()))
    for name, profile in profiles().items():
        print(f"{name:{width}}  {profile.title}{', which this is' if name == here else ''}")
    return 0


def call_show(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass.device_profile import AUTO, recognise
    from edgemass.errors import UsageError

    if options.root is not None and not options.root.is_dir():
        raise UsageError(f"--root {options.root} is no folder; wanted one with proc/ and sys/ in it")
    found = recognise((options.root or Path("/")).resolve(), options.name or AUTO)
    if options.json:
        print(msgspec.json.encode(_as_json(found)).decode())
        return 0
    rows = _rows(found)
    width = max(len(title) for title, _ in rows)
    for title, told in rows:
        print(f"{title:{width}}  {told}")
    return 0


def _as_json(found: Recognition) -> dict[str, object]:
    profile, board, defaults = found.profile, found.board, found.defaults
    return {
        "profile": profile.name,
        "title": profile.title,
        "reasons": found.reasons,
        "board": {
            "model": board.model,
            "machine": board.machine,
            "bits": board.bits,
            "compatible": board.compatible,
            "memory_bytes": board.memory_bytes,
        },
        "backends": defaults.backends,
        "threads": defaults.threads,
        "extra": profile.extra,
        "cameras": profile.cameras,
        "thermal": profile.thermal,
        "model_bytes": found.model_bytes,
        "budget": profile.budget,
    }


def _rows(found: Recognition) -> list[tuple[str, str]]:
    """What, and in words."""
    profile, board, defaults, heat = found.profile, found.board, found.defaults, found.profile.thermal
    rows = [
        ("profile", f"{profile.name}: {profile.title}"),
        ("board", board.model or "it does not say what it is"),
        *[("because" if index == 0 else "", reason) for index, reason in enumerate(found.reasons)],
        ("runs on", " or else ".join(defaults.backends) or "what the model lists, in its order"),
        ("threads", str(defaults.threads) if defaults.threads else "cores minus one"),
        ("install", f"edgemass[{profile.extra}]"),
        ("cameras", ", ".join(profile.cameras)),
        ("heat", f"held back from {heat.soft_c:g} °C on, at once from {heat.hard_c:g} °C on"),
        ("zones", ", ".join(heat.zones) or "the hottest of all"),
    ]
    if heat.throttle_word:
        bits = ", ".join(f"{bit}: {name}" for name, bit in heat.bits.items())
        rows.append(("throttling", f"{heat.throttle_word}, bits {bits}"))
    rows.append(("models", f"up to {found.model_bytes / 1e6:.0f} MB; advice, nothing holds you to it"))
    for kind, budget in profile.budget.items():
        rows.append(("plan with", f"{budget.fps:g} frames a second of a {kind} model: {budget.source}"))
    if not profile.budget:
        rows.append(("plan with", "nobody has said how fast it is: `edgemass bench MODEL` measures"))
    return rows
