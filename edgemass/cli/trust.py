"""`edgemass trust`: who may say what runs on the devices."""

from __future__ import annotations

import argparse
import re
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemass.errors import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Signer

    from edgemass.registry.trust.repository import Repository, Standing
    from edgemass.registry.trust.rules import Release

_SOON_DAYS = 30
ROLES = ("root", "targets", "snapshot", "timestamp")
EPILOG = """\
DIR is the folder that `edgemass registry serve` serves; the metadata lies in DIR/trust. Private keys lie elsewhere, in
DIR.keys unless --keys says otherwise: keep those of root and targets offline, on two sticks in two drawers.

  root        offline, 2 of 3 keys: says which keys count for the other roles
  targets     offline: says which bundles exist, for which hardware
  snapshot, timestamp   online: say what is newest; `trust refresh` signs
                        them again and again
  fleet       a key of the fleet server, with which it signs orders

A device gets DIR/trust/1.root.json as its root of trust (updates.trust).

example: edgemass trust init registry && edgemass trust sign registry models/edgemass-person
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    trust = verbs.add_parser("trust", help="sign which models devices may run", epilog=EPILOG)
    actions = trust.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add in (_add_init, _add_key, _add_withdraw_key, _add_sign, _add_refresh, _add_rotate, _add_status):
        add(actions)


def _add_init(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(actions, "init", "make keys and a root of trust", "edgemass trust init registry", call_init)
    parser.add_argument("--root-keys", type=int, default=3, metavar="N", help="keys of root to make (default: 3)")
    parser.add_argument("--threshold", type=int, default=2, metavar="K", help="so many of them must sign (default: 2)")


def _add_key(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions,
        "add-key",
        "let one more key sign for a role",
        "edgemass trust add-key registry fleet fleet.pub",
        call_add_key,
    )
    parser.add_argument("role", metavar="ROLE", choices=(*ROLES, "fleet"), help=f"{', '.join(ROLES)} or fleet")
    parser.add_argument(
        "public", type=Path, metavar="PUB", help="the .pub file beside a key; made with a new key if missing"
    )
    parser.add_argument("--threshold", type=int, metavar="K", help="from now on so many keys of the role must sign")


def _add_withdraw_key(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions,
        "withdraw-key",
        "let a key of the fleet sign orders no more, as after its theft",
        "edgemass trust withdraw-key registry 3f9a2c41",
        call_withdraw_key,
    )
    parser.add_argument("keyid", metavar="ID", help="of the key, or its beginning, as `trust status` shows it")


def _add_sign(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions,
        "sign",
        "vouch for bundles, or add signatures to what waits for them",
        "edgemass trust sign registry bundles/door --hardware aarch64",
        call_sign,
    )
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="a bundle folder, a name of `model list`, or an oci:// address"
    )
    parser.add_argument(
        "--hardware",
        action="append",
        default=[],
        metavar="WORD",
        help="only for boards that answer to this word, as `uname -m` or the device tree says; may be repeated",
    )
    parser.add_argument("--allow-older", action="store_true", help="devices may go back to it from a newer release")
    parser.add_argument("--withdraw", action="store_true", help="vouch for it no more")


def _add_refresh(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions,
        "refresh",
        "sign snapshot and timestamp anew; devices refuse them when they are two days old",
        "edgemass trust refresh registry --every 6h",
        call_refresh,
    )
    parser.add_argument("--every", metavar="TIME", help="stay and do it again and again: 30m, 6h, 1d")


def _add_rotate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions,
        "rotate",
        "let a new key sign for a role instead of the old ones",
        "edgemass trust rotate registry timestamp",
        call_rotate,
    )
    parser.add_argument("role", metavar="ROLE", choices=ROLES, help=", ".join(ROLES))
    parser.add_argument("--public", type=Path, metavar="PUB", help="of the new key (default: one is made)")
    parser.add_argument("--instead-of", metavar="ID", help="replace only this key (default: all of the role)")


def _add_status(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _action(
        actions, "status", "show keys, versions and what expires", "edgemass trust status registry", call_status
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _action(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, told: str, example: str, call: Any
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=told, description=told, epilog=f"example: {example}"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of the registry")
    parser.add_argument("--keys", type=Path, metavar="DIR", help="folder of private keys (default: DIR.keys)")
    parser.add_argument("--key", type=Path, action="append", default=[], metavar="PEM", help="one more private key")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="holds the passphrase of the keys")
    parser.set_defaults(call=call)
    return parser


def call_init(options: argparse.Namespace) -> int:
    from edgemass.registry.trust import keys

    if not 1 <= options.threshold <= options.root_keys:
        raise UsageError(f"--threshold {options.threshold} of --root-keys {options.root_keys} cannot be met")
    repository, place, passphrase = _repository(options), _keys_folder(options), _passphrase(options)
    if any(repository.folder.glob("*.json")) or any(place.glob("*.pem")):
        raise UsageError(f"{repository.folder} or {place} is in use already; choose another folder")
    signers: dict[Any, list[Signer]] = {
        "root": [keys.create(place / f"root-{n}.pem", passphrase) for n in range(1, options.root_keys + 1)]
    }
    for role in ROLES[1:]:
        signers[role] = [keys.create(place / f"{role}.pem", passphrase)]
    repository.create(signers, {"root": options.threshold})
    print(f"the root of trust is {repository.folder / '1.root.json'}; devices get it as updates.trust")
    print(f"private keys are in {place}: take root-*.pem and targets.pem offline, each on a medium of its own")
    print(f"next: edgemass trust sign {options.folder} BUNDLE, and edgemass trust refresh {options.folder} --every 6h")
    return 0


def call_add_key(options: argparse.Namespace) -> int:
    from edgemass.registry.trust import keys

    repository = _repository(options)
    repository.check()  # before a key is made
    if not options.public.exists() and options.public.suffix == ".pub":
        keys.create(options.public.with_suffix(".pem"), _passphrase(options))
        print(f"made {options.public.with_suffix('.pem')}")
    public = keys.load_public(options.public)
    if options.role == "fleet":
        repository.add_fleet_key(public)
    else:
        repository.add_key(options.role, public)
        if options.threshold is not None:
            repository.set_threshold(options.role, options.threshold)
    return _sign(repository, options)


def call_withdraw_key(options: argparse.Namespace) -> int:
    repository = _repository(options)
    repository.check()
    keyid = repository.withdraw_fleet_key(options.keyid)
    print(f"the fleet signs no more with {keyid[:16]}")
    return _sign(repository, options)


def call_sign(options: argparse.Namespace) -> int:
    repository = _repository(options)
    repository.check()
    releases = [_release(model, options) for model in options.models]
    if options.withdraw:
        for release in releases:
            if not repository.withdraw(release.digest):
                raise UsageError(f"{release.name} {release.digest} is not signed; see `edgemass trust status`")
    elif releases:
        repository.add_releases(releases)
    for release in releases:
        print(f"{release.name} {release.version} (release {release.release}) {release.digest}")
    return _sign(repository, options)


def call_refresh(options: argparse.Namespace) -> int:
    repository = _repository(options)
    pause_s = _seconds(options.every) if options.every else None
    while True:
        done = repository.refresh(_signers(options))
        if not done:
            raise UsageError(
                f"no key of timestamp (or of snapshot, which is due) in {_keys_folder(options)}; give it with --key or "
                "--keys"
            )
        print(f"signed {', '.join(done)}", flush=True)
        if pause_s is None:
            return 0
        threading.Event().wait(pause_s)


def call_rotate(options: argparse.Namespace) -> int:
    from edgemass.registry.trust import keys

    repository = _repository(options)
    repository.check()  # before a key is made
    if options.public is not None:
        public = keys.load_public(options.public)
    else:
        place = _keys_folder(options)
        number = 2
        while (place / f"{options.role}-{number}.pem").exists():
            number += 1
        path = place / f"{options.role}-{number}.pem"
        public = keys.create(path, _passphrase(options)).public_key
        print(f"made {path}")
    repository.rotate(options.role, public, instead_of=options.instead_of)
    return _sign(repository, options)


def call_status(options: argparse.Namespace) -> int:
    import msgspec

    repository = _repository(options)
    standing, now = repository.standing(), datetime.now(timezone.utc)
    releases, fleet = repository.releases(), repository.fleet_keys()
    if options.json:
        roles = [
            {
                "role": item.role,
                "version": item.version,
                "expires": item.expires.isoformat(),
                "threshold": item.threshold,
                "keys": list(item.keys),
                "missing_signatures": item.missing,
            }
            for item in standing
        ]
        document = {"roles": roles, "fleet_keys": fleet, "releases": [msgspec.to_builtins(item) for item in releases]}
        print(msgspec.json.encode(document).decode())
        return 0
    for item in standing:
        _print_role(item, options.folder, now)
    for keyid in fleet:
        print(f"fleet      {keyid[:16]}")
    for release in sorted(releases, key=lambda found: (found.name, -found.release)):
        where = f" for {', '.join(release.hardware)}" if release.hardware else ""
        number = f"release {release.release}{', older allowed' if release.older_allowed else ''}"
        print(f"release    {release.name} {release.version} ({number}){where} {release.digest[:19]}")
    return 0


def _print_role(item: Standing, folder: Path, now: datetime) -> None:
    left = item.expires - now
    until, keys = f"{item.expires:%Y-%m-%d %H:%M}", f"{item.threshold} of {len(item.keys)} keys"
    print(f"{item.role:10} version {item.version:<4} until {until}  {keys}: {', '.join(key[:8] for key in item.keys)}")
    if left.total_seconds() <= 0:
        print("           EXPIRED: devices refuse it; sign it anew")
    elif item.role in ("root", "targets") and left.days < _SOON_DAYS:
        print("           expires soon: sign it anew")
    if item.missing:
        print(f"           a newer version waits for {item.missing} more signatures: edgemass trust sign {folder}")


def _sign(repository: Repository, options: argparse.Namespace) -> int:
    done = repository.sign(_signers(options))
    if done:
        print(f"published {', '.join(done)}")
    waiting = [item for item in repository.standing() if item.missing] if done or repository.has_root() else []
    for item in waiting:
        print(
            f"{item.role} waits for {item.missing} more signature{'s' * (item.missing != 1)}: run "
            f"`edgemass trust sign {options.folder} --key KEY.pem` where the other keys are"
        )
    return 0


def _release(model: str, options: argparse.Namespace) -> Release:
    from edgemass import bundles, manifest, oci
    from edgemass.bundles.packing import pack
    from edgemass.registry.reference import is_reference
    from edgemass.registry.trust.rules import Release

    if is_reference(model):
        data, made = _published(model)
    else:
        bundle = bundles.resolve(model)
        data, made = pack(bundle).manifest, bundle.manifest
    assert isinstance(made, manifest.Manifest)
    return Release(
        name=made.name,
        digest=oci.sha256(data),
        length=len(data),
        release=made.release,
        version=made.version,
        hardware=tuple(options.hardware),
        older_allowed=options.allow_older,
    )


def _published(model: str) -> tuple[bytes, Any]:
    from edgemass.bundles import published
    from edgemass.registry.opening import open_registry
    from edgemass.registry.reference import Reference
    from edgemass.registry.transport import Transport

    reference = Reference.parse(model)
    registry = open_registry(reference, Transport())
    try:
        return published.look(registry, reference.wanted)
    finally:
        registry.close()


def _repository(options: argparse.Namespace) -> Repository:
    from edgemass.registry.trust.repository import Repository

    return Repository(options.folder / "trust")


def _keys_folder(options: argparse.Namespace) -> Path:
    return Path(options.keys) if options.keys else Path(f"{options.folder}.keys")


def _passphrase(options: argparse.Namespace) -> bytes | None:
    if options.passphrase_file is None:
        return None
    try:
        return bytes(options.passphrase_file.read_bytes().rstrip(b"\r\n"))
    except OSError as error:
        raise UsageError(f"cannot read {options.passphrase_file}: {error.strerror}") from error


def _signers(options: argparse.Namespace) -> list[Signer]:
    from edgemass.registry.trust import keys

    place = _keys_folder(options)
    paths = [*(sorted(place.glob("*.pem")) if place.is_dir() else []), *options.key]
    return [keys.load(path, _passphrase(options)) for path in dict.fromkeys(paths)]


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)", text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--every {text!r}: wanted a time such as 30m, 6h or 1d")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
