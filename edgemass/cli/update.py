"""`edgemass update`: what the registry has for this board, and taking it."""

from __future__ import annotations

import argparse
import shlex
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli import state as states
from edgemass.cli.progress import Progress
from edgemass.errors import ConfigError, EdgemassError, UsageError

if TYPE_CHECKING:
    from edgemass.config import Config, UpdatesConfig
    from edgemass.registry.trust.rules import Release
    from edgemass.store import ModelStore

EPILOG = """\
Both read [updates] of the configuration: registry, trust, ca, user, password_file. A daemon that is managed by a fleet
follows its orders by itself; these verbs are for boards without one, and for looking.

example: edgemass update check --config /etc/edgemass/edgemass.toml
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    update = verbs.add_parser(
        "update",
        help="see what is signed for this board, and take it",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = update.add_subparsers(dest="action", required=True, metavar="ACTION")
    parser = actions.add_parser(
        "check",
        help="ask whether there is a newer release; costs less than a kilobyte",
        epilog="example: edgemass update check --config edgemass.toml",
    )
    _add_common(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call_check)
    parser = actions.add_parser(
        "apply",
        help="fetch the newest release and order it, as the fleet would",
        epilog="example: edgemass update apply --config edgemass.toml --wait 600",
    )
    _add_common(parser)
    parser.add_argument("--anyway", action="store_true", help="also where it failed here before")
    parser.add_argument("--wait", type=float, metavar="S", help="wait so long for the daemon to confirm or refuse it")
    parser.set_defaults(call=call_apply)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="of the model (default: that of the confirmed one)")
    parser.add_argument("--config", type=Path, metavar="FILE", required=True, help="TOML configuration with [updates]")
    parser.add_argument("--state", metavar="DIR", help="state folder (default: EDGEMASS_STATE, the configuration's)")


def call_check(options: argparse.Namespace) -> int:
    import msgspec

    _, settings, state = _settings(options)
    store = _store(state)
    running = _running(store, settings.slot)
    name = _name(options, running)
    found = _newest(settings, state, name)
    newer = running is None or found.release > running.release
    if options.json:
        document = {
            "running": msgspec.to_builtins(running) if running else None,
            "newest": msgspec.to_builtins(found),
            "update": newer,
        }
        print(msgspec.json.encode(document).decode())
        return 0
    print(f"running  {_told(running) if running else 'what the board came with'}")
    print(f"newest   {_told(found)}")
    words = ["edgemass", "update", "apply", found.name, "--config", str(options.config)]
    words += ["--state", options.state] if options.state else []
    print(f"take it with: {shlex.join(words)}" if newer else "up to date")
    return 0


def call_apply(options: argparse.Namespace) -> int:
    from edgemass.agent import orders
    from edgemass.agent.fetching import Fetcher
    from edgemass.clock import SystemClock

    config, settings, state = _settings(options)
    store = _store(state)
    name = _name(options, _running(store, settings.slot))
    progress = Progress(f"fetch {name}, kB")
    try:
        digest = Fetcher(config, store, state).newest(
            name,
            settings.slot,
            lambda phase, done, total: progress(done // 1000, total // 1000) if phase == "fetching" else None,
            threading.Event(),
        )
    finally:
        progress.end()
    reason = store.slot(settings.slot).refused.get(digest)
    if reason and not options.anyway:
        raise UsageError(f"{digest[:19]} failed here before: {reason}; give --anyway to have it tried all the same")
    clock = SystemClock()
    device = config.device or _device_id()
    sequence = orders.leave(state, store, device=device, slot=settings.slot, name=name, digest=digest, clock=clock)
    print(f"{name} {digest} is in the store and ordered; `edgemass run` takes it now, or when it next starts")
    return wait(state, settings.slot, sequence, options.wait) if options.wait else 0


def wait(state: Path, slot: str, sequence: int, seconds: float) -> int:
    """Wait for the daemon to follow a local order; 0 where it is confirmed.

    Raises:
        EdgemassError: it was refused, went back, or is not decided yet.
    """
    import msgspec

    from edgemass.agent.reports import FOLDER
    from edgemass.messages import Reported

    ends = time.monotonic() + seconds
    last = ""
    while time.monotonic() < ends:
        try:
            report = msgspec.json.decode((state / FOLDER / f"{slot}.json").read_bytes(), type=Reported)
        except (OSError, ValueError):
            report = None
        if report is not None and (report.sequence, report.origin) == (sequence, "local"):
            if report.phase != last:
                print(report.phase, flush=True)
                last = report.phase
            if report.phase == "confirmed":
                return 0
            if report.phase in ("failed", "rolled_back"):
                raise EdgemassError(f"{report.phase}: {report.reason}; {report.name} {report.version} runs")
        time.sleep(0.2)
    raise EdgemassError(
        f"not decided within {seconds:g} s ({last or 'no daemon has seen it'}); see `edgemass model history`"
    )


def _settings(options: argparse.Namespace) -> tuple[Config, UpdatesConfig, Path]:
    from edgemass import config as configs

    config = configs.load(options.config)
    if config.updates is None or config.updates.registry is None or config.updates.trust is None:
        raise ConfigError(f"{options.config}: no registry to ask; set registry and trust in [updates]")
    return config, config.updates, configs.state_folder(states.asked(options.state, config.state))


def _store(state: Path) -> ModelStore:
    from edgemass.store import ModelStore

    return ModelStore(state / "store")


def _name(options: argparse.Namespace, running: Release | None) -> str:
    """Of the model that is asked for, else of the one that runs."""
    if options.name is None and running is None:
        raise UsageError(
            f"no model is confirmed here yet; name one: edgemass update {options.action} NAME --config {options.config}"
        )
    return str(options.name or (running.name if running else ""))


def _running(store: ModelStore, slot: str) -> Release | None:
    """The newest confirmed model."""
    from edgemass.bundles.stored import load_stored
    from edgemass.registry.trust.rules import Release

    for kept in store.slot(slot).confirmed:
        manifest = load_stored(store, kept.digest).manifest
        return Release(
            name=manifest.name, digest=kept.digest, length=0, release=manifest.release, version=manifest.version
        )
    return None


def _newest(settings: UpdatesConfig, state: Path, name: str) -> Release:
    import msgspec

    from edgemass.agent.fetching import TRUST, transport_of
    from edgemass.clock import SystemClock
    from edgemass.registry.hardware import words_of_board
    from edgemass.registry.reference import mirror_of
    from edgemass.registry.transport import Transport
    from edgemass.registry.trust import Trust

    assert settings.registry is not None
    assert settings.trust is not None
    try:
        root = Path(settings.trust).read_bytes()
    except OSError as error:
        raise ConfigError(f"updates.trust: cannot read {settings.trust}: {error.strerror}") from error
    transport = msgspec.convert(transport_of(settings), Transport)
    trust = Trust(state / TRUST, root, settings.metadata or mirror_of(settings.registry), transport, SystemClock())
    trust.refresh()
    return trust.newest(name, (*words_of_board(), *settings.hardware))


def _device_id() -> str:
    from edgemass import config as configs

    return configs.device_id()


def _told(release: Release) -> str:
    return f"{release.name} {release.version} (release {release.release}) {release.digest[:19]}"
