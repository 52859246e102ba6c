"""The state folder that verbs speak of, and the store of models in it."""

from __future__ import annotations

import argparse
import functools
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass import config
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass.store import ModelStore

logger = logging.getLogger(__name__)

VARIABLE = "EDGEMASS_STATE"
STORE = "store"
RUNTIME = Path("/run/edgemass")
SESSIONS = Path("/run/user")
"""Where systemd has a folder in memory for each user who is logged in."""
BESIDE = "run"
"""Of a state folder: where its status is kept on a machine without a place in memory."""


def add_options(parser: argparse.ArgumentParser, *, slot: bool = True) -> None:
    """--state, and --slot where the verb is about one."""
    parser.add_argument(
        "--state",
        metavar="DIR",
        help=f"state folder (default: {VARIABLE}, else for root /var/lib/edgemass, for others ~/.local/state/edgemass)",
    )
    if slot:
        parser.add_argument("--slot", default="main", metavar="NAME", help="the place of the model (default: main)")


def asked(option: str | None, configured: str | None = None) -> str | None:
    """What names the state folder: the option, the environment, the configuration; None where none does.

    A configuration that is not heeded is told, for the service's unit sets the environment.
    """
    given = os.environ.get(VARIABLE)
    if not option and given and configured and Path(given) != Path(configured):
        _tell_ignored(configured, given)
    return option or given or configured


@functools.cache
def _tell_ignored(configured: str, given: str) -> None:
    """Once for each pair: the configuration is read again on every reload."""
    logger.warning(
        "the configuration's state = %r is ignored, for %s=%s goes before it; unset that, or take the key out",
        configured,
        VARIABLE,
        given,
    )


def folder(options: argparse.Namespace) -> Path:
    """Where this device keeps its models, as the options and the environment say."""
    return config.state_folder(asked(options.state))


def store(options: argparse.Namespace) -> ModelStore:
    """The store, where there is one already.

    Raises:
        UsageError: there is none.
        StoreError: it cannot be read.
    """
    from edgemass.store import ModelStore

    place = folder(options) / STORE
    if not place.is_dir():
        raise UsageError(
            f"no model was put into {place} yet; `edgemass model activate MODEL` does, --state names another"
        )
    return ModelStore(place)


def runtime(asked_state: str | None) -> Path:
    """The folder to keep status.json in: that of the service, else one in memory, else beside the state.

    It is written twice a minute for years, which an SD card need not bear. asked_state: as `asked` says; daemons with
    state folders of their own have folders of their own here too.
    """
    if service := os.environ.get("RUNTIME_DIRECTORY"):  # of systemd; it may name several
        return Path(service.split(":")[0])
    state = config.state_folder(asked_state)
    memory = _memory()
    return state / BESIDE if memory is None else _within(memory, state)


def runtimes(asked_state: str | None) -> list[Path]:
    """Where status.json may be found, best first: the service's, then the user's own, then root's in a container.

    A daemon that was started without a session, as by cron, keeps it beside its state; and who asks without one, as
    cron does, finds what was started in a session.
    """
    state = config.state_folder(asked_state)
    of_system = asked_state is None or state == config.SYSTEM_STATE
    service = RUNTIME if of_system else RUNTIME / _own_name(state)
    session = _within(SESSIONS / str(os.geteuid()) / "edgemass", state)
    roots = config.SYSTEM_STATE / BESIDE
    last = [roots] if asked_state is None and os.access(roots, os.R_OK | os.X_OK) else []
    return list(dict.fromkeys([service, runtime(asked_state), session, state / BESIDE, *last]))


def examined(asked_state: str | None, found: Path | None) -> Path:
    """The state folder of the daemon that keeps its status in `found`, else of one that would run here."""
    own, system = config.state_folder(asked_state), config.SYSTEM_STATE
    if asked_state is not None:
        return own
    only_system = os.access(system, os.F_OK) and not os.access(own, os.F_OK)
    return system if only_system or found in (RUNTIME, system / BESIDE) else own


def _within(memory: Path, state: Path) -> Path:
    """The folder in memory of a daemon with this state folder."""
    default = state.resolve() == config.state_folder().resolve()
    return memory if default else memory / _own_name(state)


def _own_name(state: Path) -> str:
    return f"state-{hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:12]}"


def _memory() -> Path | None:
    """A folder of this user that does not lie on a disk; None where there is none, or none that can be used."""
    if os.geteuid() == 0:
        return RUNTIME if RUNTIME.parent.is_mount() else None
    if os.access(RUNTIME, os.W_OK):  # as the user whom the service runs as
        return RUNTIME
    session = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    usable = session.is_absolute() and os.access(session, os.W_OK | os.X_OK)  # after `su` it is somebody else's
    return session / "edgemass" if usable else None
