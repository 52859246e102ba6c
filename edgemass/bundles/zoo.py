"""Models by name: what comes with edgemass (manifest, labels and card, mostly without weights) and what was pulled."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemass import durable, manifest
from edgemass.bundles import download
from edgemass.bundles.download import Limits, Wanted
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.folder import MANIFEST, Bundle, check_room, load_bundle
from edgemass.bundles.model_file import MAX_MODEL_BYTES
from edgemass.clock import Clock
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Manifest, Variant
from edgemass.progress import Progress

logger = logging.getLogger(__name__)

_PACKAGE = Path(__file__).resolve().parent.parent
ZOO = (_PACKAGE / "_data" / "models", _PACKAGE.parent / "models")
"""In an installed wheel, and in a checkout."""

SYSTEM_STORE = Path("/var/lib/edgemass/models")


@dataclass(frozen=True)
class Entry:
    """A model that has a name. bundle: where its weights are on this device; None when it was not pulled yet."""

    name: str
    manifest: Manifest
    bundle: Bundle | None


def stores(environment: Mapping[str, str] | None = None, user_id: int | None = None) -> tuple[Path, ...]:
    """Folders of pulled models; the first is the one that `pull` writes to.

    Root's is the system's; others have their own and read the system's too.
    """
    environment = os.environ if environment is None else environment
    if (os.geteuid() if user_id is None else user_id) == 0:
        return (SYSTEM_STORE,)
    data = Path(environment.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # unset, or relative: the standard says to ignore it
        home = Path(environment.get("HOME", ""))
        if not home.is_absolute():
            return (SYSTEM_STORE,)
        data = home / ".local" / "share"
    return (data / "edgemass" / "models", SYSTEM_STORE)


def entries(zoo: Sequence[Path] | None = None, store: Sequence[Path] | None = None) -> list[Entry]:
    """Every model with a name, by name: those of the zoo, and pulled ones that the zoo no longer has."""
    found = []
    for name in sorted(names(zoo, store)):
        bundle = installed(name, zoo, store)
        made = packed(name, zoo) or (bundle.manifest if bundle else None)
        if made is not None:
            found.append(Entry(name, made, bundle))
    return found


def names(zoo: Sequence[Path] | None = None, store: Sequence[Path] | None = None) -> set[str]:
    """Of the models in these folders."""
    found: set[str] = set()
    for folder in (*_zoo(zoo), *_store(store)):
        try:
            found.update(path.parent.name for path in folder.glob(f"*/{MANIFEST}"))
        except OSError as error:
            logger.warning("cannot read %s: %s", folder, error.strerror)
    return found


def installed(name: str, zoo: Sequence[Path] | None = None, store: Sequence[Path] | None = None) -> Bundle | None:
    """The bundle of that name whose files are on this device; None when there is none, or a broken one.

    A broken one is named in the log.
    """
    with_weights = [folder for folder in _zoo(zoo) if _is_bundle(folder, name) and _has_weights(folder / name)]
    for folder in (*_store(store), *with_weights):
        if not _is_bundle(folder, name):
            continue
        try:
            return load_bundle(folder / name)
        except BundleError as error:
            logger.warning("%s; `edgemass model pull %s` mends it", error, name)
    return None


def packed(name: str, zoo: Sequence[Path] | None = None) -> Manifest | None:
    """What comes with edgemass under that name."""
    return next((_read(folder / name) for folder in _zoo(zoo) if _is_bundle(folder, name)), None)


def _is_bundle(folder: Path, name: str) -> bool:
    """Whether the folder has a bundle of that name; no name leads out of the folder."""
    try:
        return Path(name).name == name and (folder / name / MANIFEST).is_file()
    except (OSError, ValueError):  # another user's folder, or a name that no file can have
        return False


def _read(folder: Path) -> Manifest:
    path = folder / MANIFEST
    return manifest.from_toml(path.read_bytes(), where=str(path))


def _has_weights(folder: Path) -> bool:
    return all((folder / variant.file).is_file() for variant in _read(folder).variants)


def _zoo(folders: Sequence[Path] | None) -> Sequence[Path]:
    return ZOO if folders is None else folders


def _store(folders: Sequence[Path] | None) -> Sequence[Path]:
    return stores() if folders is None else folders


def pull(
    name: str,
    directory: Path | None = None,
    *,
    progress: Progress,
    zoo: Sequence[Path] | None = None,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Bundle:
    """Fetch a model of the zoo into a bundle folder; what is there already and right is not fetched again.

    directory: the bundle's folder; by default a folder of its name in the first of `stores`.

    Raises:
        UsageError: no such model, or the folder holds something else or cannot be written.
        BundleError: what lies at its address is not the model any more.
        RegistryUnavailableError: its address cannot be reached: try again later.
    """
    made = packed(name, zoo)
    if made is None:
        known = sorted(names(zoo, store=()))
        nearest = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise UsageError(f"no model {name!r} to pull; known are {', '.join(known)}{hint}")
    own = directory is None
    directory = directory or stores()[0] / name
    try:
        _check_directory(directory, made, own=own)
        directory.mkdir(parents=True, exist_ok=True)
        return _fill(directory, made, progress, limits, clock)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    finally:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing came


def _fill(directory: Path, made: Manifest, progress: Progress, limits: Limits | None, clock: Clock | None) -> Bundle:
    """Fetch what is missing or wrong, then the manifest: it makes the folder a bundle, so it comes last."""
    for variant in made.variants:
        path = directory / variant.file
        if not _is_file_of(variant, path):
            download.fetch(_wanted(made, variant), path, progress, limits=limits, clock=clock)
    durable.write_bytes(directory / MANIFEST, manifest.to_toml(made))
    return load_bundle(directory)


def _wanted(made: Manifest, variant: Variant) -> Wanted:
    if not variant.address:
        raise UsageError(f"{made.name} comes with edgemass and need not be pulled; use it with --model {made.name}")
    if variant.size_bytes > MAX_MODEL_BYTES:
        raise BundleError(
            f"{made.name}: {variant.file} has {variant.size_bytes} bytes, at most {MAX_MODEL_BYTES} may be"
        )
    return Wanted(variant.address, variant.sha256, variant.size_bytes)


def _is_file_of(variant: Variant, path: Path) -> bool:
    return path.is_file() and fingerprint(path) == (variant.sha256, variant.size_bytes)


def _check_directory(directory: Path, made: Manifest, *, own: bool) -> None:
    """Refuse a folder that holds anything but this model, pulled before or half of it.

    own: it is that of the store, where a broken manifest is mended; elsewhere it may be somebody's work.

    Raises:
        UsageError: it does.
    """
    if (directory / MANIFEST).is_file():
        try:
            old = _read(directory)
        except BundleError:
            if own:
                return
            old = None
        if old is None or old.name != made.name or not old.reference.address:
            raise UsageError(
                f"{directory} holds {old.name if old else 'another bundle'}, which was not pulled as {made.name}; "
                "choose another folder with -o, or remove it"
            )
        return
    check_room(directory, [variant.file for variant in made.variants])
