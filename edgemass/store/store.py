"""The store on disk.

    blobs/sha256/<hex>    files of bundles, each named by its content
    bundles/<hex>         the OCI manifest of a bundle; written last, so that a bundle that is named is whole
    slots/<slot>.json     what runs in a slot, what is on trial, what was confirmed and refused; .before: the last one
    incoming/             what is being fetched
    lock                  held by the daemon, which alone changes slots

Everything is written by `durable`: after a power cut at any byte the old or the new is there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from edgemass import durable, oci
from edgemass import manifest as manifests
from edgemass.clock import rfc3339
from edgemass.config import is_name
from edgemass.errors import BundleError, DigestMismatchError, NoRoomError, RegistryError, StoreBusyError, StoreError
from edgemass.manifest import Manifest
from edgemass.store import rules
from edgemass.store.state import Origin, SlotState, Start, decode, encode

logger = logging.getLogger(__name__)

FILE_MODE, FOLDER_MODE = 0o600, 0o700
LEFT_OVER_S = 7 * 86400.0
"""Parts of downloads that nobody went on with, and blobs that belong to nothing, go after so long."""
FRESH_S = 3600.0
"""Blobs of a bundle that is being added belong to nothing yet."""
_CHUNK_BYTES = 1 << 20
_MAX_STATE_BYTES = 4 * 1024 * 1024


class StoredBundle(msgspec.Struct, frozen=True):
    """One bundle of the store. size_bytes: of what of it is here."""

    digest: str
    manifest: Manifest
    size_bytes: int
    added_s: float


class ModelStore:
    """See the module. Many may read and add at a time; `hold` it before a slot is changed.

    incoming: folder on the same file system, for what is fetched.
    """

    def __init__(self, root: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Open or make it.

        Raises:
            StoreError: the folder cannot be made or read.
        """
        self.root = root
        self.blob_folder = root / "blobs" / "sha256"
        self.incoming = root / "incoming"
        self._bundles = root / "bundles"
        self._slots = root / "slots"
        self._now_ns = now_ns
        self._lock: int | None = None
        with self._told():
            for folder in (self.blob_folder, self.incoming, self._bundles, self._slots):
                folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                if folder.is_symlink():
                    raise StoreError(f"{folder} is a symbolic link; the store follows none")

    def hold(self) -> None:
        """Be the one process that changes slots, until `close`; what others left half done is cleared away.

        Raises:
            StoreError: another process is, or the store cannot be written.
        """
        with self._told():
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise StoreBusyError(
                    f"the store {self.root} is in use by another edgemass; stop it, or give --state another folder"
                ) from None
            self._lock = descriptor
            self._sweep()

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # Content.

    def blob(self, digest: str) -> Path | None:
        """A file of that digest, where there is one; its content is checked by who reads it."""
        path = self.blob_folder / _hex(digest)
        return path if _is_file(path) else None

    def intact(self, digest: str) -> Path | None:
        """The same, read and found to be what its name says."""
        path = self.blob(digest)
        return path if path is not None and _sha256(path) == digest else None

    def document(self, digest: str) -> bytes | None:
        """A manifest, OCI's or edgemass's own, checked; None where it is not here or damaged."""
        for path in (self._bundles / _hex(digest), self.blob_folder / _hex(digest)):
            data = _read(path, oci.MAX_MANIFEST_BYTES)
            if data is not None and oci.sha256(data) == digest:
                return data
        return None

    def add(self, manifest: bytes, files: Mapping[str, Path | bytes]) -> str:
        """Take a bundle in; files that are here already need not be given. Returns its digest.

        files: digest -> content, or where the file lies now; one in `incoming` is moved, others are copied. A file that
            the manifest does not name is passed over.

        Raises:
            RegistryError: this is no manifest.
            DigestMismatchError: a file is not what its digest says.
            StoreError: the bundle's own manifest is missing; NoRoomError: the disk is full.
        """
        made = oci.parse(manifest, where="the model")
        wanted = {made.config.digest, *(layer.digest for layer in made.layers)}
        with self._told():
            for digest in sorted(wanted & files.keys()):
                self._take(digest, files[digest])
            if self.document(made.config.digest) is None:
                raise StoreError(f"the manifest {made.config.digest} of the bundle was not given; fetch it again")
            digest = oci.sha256(manifest)
            durable.write_bytes(self._bundles / _hex(digest), manifest, mode=FILE_MODE)
        return digest

    def _take(self, digest: str, source: Path | bytes) -> None:
        if self.intact(digest) is not None:
            return
        found = oci.sha256(source) if isinstance(source, bytes) else _sha256(source)
        if found != digest:
            raise DigestMismatchError("the manifest" if isinstance(source, bytes) else source.name, digest, found)
        target = self.blob_folder / _hex(digest)
        if isinstance(source, bytes):
            durable.write_bytes(target, source, mode=FILE_MODE)
        elif source.parent == self.incoming and not source.is_symlink():
            durable.move(source, target)
        else:
            durable.copy(source, target)

    def bundles(self) -> tuple[StoredBundle, ...]:
        """All that are whole enough to be read, the newest first."""
        found = []
        for path in self._bundles.iterdir():
            digest = f"sha256:{path.name}"
            bundle = self._bundle(digest, path) if oci.is_digest(digest) else None
            if bundle is not None:
                found.append(bundle)
        return tuple(sorted(found, key=lambda item: -item.added_s))

    def _bundle(self, digest: str, path: Path) -> StoredBundle | None:
        try:
            data = self.document(digest)
            made = oci.parse(data, where=digest) if data is not None else None
            config = self.document(made.config.digest) if made is not None else None
            if made is None or config is None:
                return None
            manifest = manifests.from_json(config, where=digest)
            places = [self.blob_folder / _hex(item.digest) for item in (made.config, *made.layers)]
            size = sum(place.stat().st_size for place in dict.fromkeys(places) if _is_file(place))
            return StoredBundle(digest, manifest, size + len(data or b""), path.stat().st_mtime)
        except (RegistryError, OSError, BundleError) as error:
            logger.debug("%s is left out: %s", path, error)
            return None

    def damaged(self, digest: str) -> tuple[str, ...]:
        """What of a bundle is here and is not what it should be, one sentence each; () where it is sound.

        Raises:
            StoreError: there is no such bundle.
        """
        path = self._bundles / _hex(digest)
        if not path.exists():
            raise StoreError(f"{digest} is not in the store {self.root}; see `edgemass model list`")
        data = self.document(digest)
        if data is None:
            return (f"{path}: the manifest is damaged",)
        made = oci.parse(data, where=digest)
        wrong = []
        for item in (made.config, *made.layers):
            blob = self.blob(item.digest)
            name = item.annotations.get(oci.FILE_PATH, "the bundle's manifest")
            if blob is not None and _sha256(blob) != item.digest:
                wrong.append(f"{blob} ({name}): another content than its name says")
        if self.document(made.config.digest) is None and not wrong:
            wrong.append(f"{made.config.digest}: the bundle's manifest is missing")
        return tuple(wrong)

    # Slots.

    def slot(self, name: str) -> SlotState:
        """Where a slot stands. A file that is damaged is made from the one before, or from the models that are here."""
        path = self._slot_path(name)
        states = (_read(path, _MAX_STATE_BYTES), _read(_before(path), _MAX_STATE_BYTES))
        for data in states:
            state = decode(data) if data is not None else None
            if state is not None:
                return state
        if states == (None, None) and not os.path.lexists(path):
            return SlotState()
        whole = [item.digest for item in self.bundles() if not self.damaged(item.digest)]
        logger.error("what was known of slot %s is lost; it is made anew from the models in the store", name)
        return rules.rebuilt(tuple(whole), "the file of the slot was damaged", self._now())

    def start(self, slot: str, boot_id: str) -> Start:
        """What this process is to load, with the try counted; once, before anything is loaded."""
        state, answer = rules.start(self.slot(slot), boot_id, self._now())
        self._write(slot, state)
        return answer

    def begin_trial(self, slot: str, digest: str, *, sequence: int, origin: Origin, boot_id: str) -> None:
        """Before it is loaded."""
        state = self.slot(slot)
        self._write(
            slot,
            rules.begin_trial(state, digest, sequence=sequence, origin=origin, boot_id=boot_id, now=self._now()),
        )

    def end_cleanly(self, slot: str) -> None:
        self._change(slot, rules.end_cleanly)

    def confirm(self, slot: str) -> None:
        self._change(slot, lambda state: rules.confirm(state, self._now()))

    def roll_back(self, slot: str, reason: str) -> None:
        """Before the model before is loaded."""
        self._change(slot, lambda state: rules.roll_back(state, reason, self._now()))

    def refuse(self, slot: str, digest: str, reason: str, sequence: int, origin: Origin) -> None:
        """Put into quarantine."""
        self._change(
            slot,
            lambda state: rules.refuse(state, digest, reason, sequence=sequence, origin=origin, now=self._now()),
        )

    def forgive(self, slot: str, digest: str) -> None:
        """Let it out of quarantine."""
        self._change(slot, lambda state: rules.forgive(state, digest))

    def unusable(self, slot: str, digest: str, reason: str) -> Start:
        """It does not load; what is to be loaded instead."""
        self._change(slot, lambda state: rules.unusable(state, digest, reason, self._now()))
        return Start(self.slot(slot).running)

    def note_sequence(self, slot: str, origin: Origin, sequence: int) -> None:
        self._change(slot, lambda state: rules.note_sequence(state, origin, sequence))

    def slots(self) -> dict[str, SlotState]:
        """All slots that anything is known of."""
        names = {path.name.removesuffix(".before").removesuffix(".json") for path in self._slots.iterdir()}
        return {name: self.slot(name) for name in sorted(names) if is_name(name)}

    def _slot_path(self, name: str) -> Path:
        if not is_name(name):
            raise StoreError(f"{name!r} is no name of a slot")
        return self._slots / f"{name}.json"

    def _change(self, slot: str, rule: Callable[[SlotState], SlotState]) -> None:
        old = self.slot(slot)
        new = rule(old)
        if new != old:
            self._write(slot, new)

    def _write(self, slot: str, state: SlotState) -> None:
        path = self._slot_path(slot)
        if self._lock is None:
            raise StoreError(f"the store {self.root} is not held by this process")
        with self._told():
            data = encode(state)
            old = _read(path, _MAX_STATE_BYTES)
            if old == data:
                return
            if old is not None and decode(old) is not None:
                durable.keep_before(path, _before(path))
            durable.write_bytes(path, data, mode=FILE_MODE)

    # Room.

    def prune(self, keep: int = 2, *, free_bytes: int = 0) -> tuple[str, ...]:
        """Remove bundles that nothing needs; returns their digests.

        keep: confirmed ones that stay for each slot. What was never taken into use goes only where `free_bytes` are
        wanted on the disk and not there, the oldest first.

        Raises:
            StoreError: this process does not hold the store.
        """
        if self._lock is None:
            raise StoreError(f"the store {self.root} is not held by this process")
        states = self.slots()
        stays = rules.needed(states, keep)
        used = {kept.digest for state in states.values() for kept in state.confirmed}
        used.update(digest for state in states.values() for digest in state.refused)
        gone = []
        with self._told():
            for bundle in reversed(self.bundles()):
                short = bool(free_bytes) and shutil.disk_usage(self.root).free < free_bytes
                if bundle.digest not in stays and (bundle.digest in used or short):
                    self._remove(bundle.digest)
                    gone.append(bundle.digest)
            for name, state in states.items():
                self._change(name, lambda _, state=state: rules.pruned(state, set(gone)))  # type: ignore[misc]
            self._sweep()
        return tuple(gone)

    def _remove(self, digest: str) -> None:
        """The name first: a bundle that is named is whole. Its files go where no other bundle has them."""
        data = self.document(digest)
        (self._bundles / _hex(digest)).unlink(missing_ok=True)
        durable.sync_folder(self._bundles)
        made = oci.parse(data, where=digest) if data is not None else None
        shared = self._named()
        for item in (made.config, *made.layers) if made is not None else ():
            if _hex(item.digest) not in shared:
                (self.blob_folder / _hex(item.digest)).unlink(missing_ok=True)

    def _named(self) -> set[str]:
        """Hexadecimal digests of all files that any bundle names."""
        named: set[str] = set()
        for path in self._bundles.iterdir():
            data = _read(path, oci.MAX_MANIFEST_BYTES)
            with contextlib.suppress(RegistryError):
                made = oci.parse(data or b"", where=str(path))
                named.update(_hex(item.digest) for item in (made.config, *made.layers))
        return named

    def _sweep(self) -> None:
        """Clear away what a power cut or a killed process left."""
        now_s = self._now_ns() / 1e9
        named = self._named()
        for folder, after_s in ((self.incoming, LEFT_OVER_S), (self._bundles, 0.0), (self._slots, 0.0)):
            for path in folder.iterdir():
                unfinished = path.name.startswith(".") or folder == self.incoming
                if unfinished and now_s - path.lstat().st_mtime > after_s:
                    path.unlink(missing_ok=True)
        for path in self.blob_folder.iterdir():
            if path.name not in named and now_s - path.lstat().st_mtime > FRESH_S:
                path.unlink(missing_ok=True)

    def _now(self) -> str:
        return rfc3339(self._now_ns())

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Translate what the disk says."""
        try:
            yield
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise NoRoomError(f"the disk of {self.root} is full; free some room") from error
            raise StoreError(f"the store {self.root}: {error.strerror}; see that its folder can be written") from error


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")


def _hex(digest: str) -> str:
    if not oci.is_digest(digest):
        raise StoreError(f"{digest[:80]!r} is no digest; wanted sha256: and 64 hexadecimal digits")
    return digest.removeprefix("sha256:")


def _is_file(path: Path) -> bool:
    """A file of its own; symbolic links are not followed."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _read(path: Path, most: int) -> bytes | None:
    """What a file of the store holds; None where it is none, or larger than `most`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(most + 1)
    return data if len(data) <= most else None


def _sha256(path: Path) -> str:
    """sha256:... of a file, "" where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return ""
    return f"sha256:{digest.hexdigest()}"
