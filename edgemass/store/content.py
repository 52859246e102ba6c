"""The bundles of the store: files by their digests, and the manifests that name them."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from edgemass import durable, oci
from edgemass import manifest as manifests
from edgemass.errors import BundleError, DigestMismatchError, RegistryError, StoreBusyError, StoreError
from edgemass.manifest import Manifest
from edgemass.store import files

logger = logging.getLogger(__name__)

FILE_MODE, FOLDER_MODE = 0o600, 0o700
LEFT_OVER_S = 7 * 86400.0
"""Parts of downloads that nobody went on with go after so long."""
FRESH_S = 3600.0
"""What was just added, and is to be ordered next, is no rubbish."""
LOCK_S = 60.0
"""Others who add hold the content for as long as it takes to copy a bundle."""
_LOOK_S = 0.05


class StoredBundle(msgspec.Struct, frozen=True):
    """One bundle of the store. size_bytes: of what of it is here. added_s: Unix time."""

    digest: str
    manifest: Manifest
    size_bytes: int
    added_s: float


class Content:
    """See the package's `store`. Any number of processes may read and add at a time.

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
        self._now_ns = now_ns
        with files.told(root):
            self._make(self.blob_folder.parent, self.blob_folder, self.incoming, self._bundles)

    def _make(self, *folders: Path) -> None:
        for folder in folders:
            durable.make_folder(folder, mode=FOLDER_MODE)
            if folder.is_symlink():
                raise StoreError(f"{folder} is a symbolic link; the store follows none")

    def blob(self, digest: str) -> Path | None:
        """A file of that digest, where there is one; its content is checked by who reads it."""
        path = self.blob_folder / hexadecimal(digest)
        return path if files.is_file(path) else None

    def intact(self, digest: str) -> Path | None:
        """The same, read and found to be what its name says."""
        path = self.blob(digest)
        return path if path is not None and oci.sha256_of(path) == digest else None

    def document(self, digest: str) -> bytes | None:
        """A manifest, OCI's or edgemass's own, checked; None where it is not here or damaged."""
        for path in (self._bundles / hexadecimal(digest), self.blob_folder / hexadecimal(digest)):
            data = files.read(path, oci.MAX_MANIFEST_BYTES)
            if data is not None and oci.sha256(data) == digest:
                return data
        return None

    def add(self, manifest: bytes, given: Mapping[str, Path | bytes]) -> str:
        """Take a bundle in; files that are here already need not be given. Returns its digest.

        given: digest -> content, or where the file lies now; one in `incoming` is moved, others are copied. A file that
            the manifest does not name is passed over.

        Raises:
            RegistryError: this is no manifest.
            DigestMismatchError: a file is not what its digest says.
            StoreError: the bundle's own manifest is missing. NoRoomError: the disk is full. StoreBusyError: others add,
                for longer than LOCK_S.
        """
        made = oci.parse(manifest, where="the model")
        wanted = {made.config.digest, *(layer.digest for layer in made.layers)}
        digest = oci.sha256(manifest)
        with files.told(self.root), self._alone(LOCK_S):
            for item in sorted(wanted & given.keys()):
                self._take(item, given[item])
            if self.document(made.config.digest) is None:
                raise StoreError(f"the manifest {made.config.digest} of the bundle was not given; fetch it again")
            durable.write_bytes(self._bundles / hexadecimal(digest), manifest, mode=FILE_MODE)
        return digest

    def _take(self, digest: str, source: Path | bytes) -> None:
        if self.intact(digest) is not None:
            return
        found = oci.sha256(source) if isinstance(source, bytes) else oci.sha256_of(source)
        if found != digest:
            raise DigestMismatchError("the manifest" if isinstance(source, bytes) else source.name, digest, found)
        target = self.blob_folder / hexadecimal(digest)
        if isinstance(source, bytes):
            durable.write_bytes(target, source, mode=FILE_MODE)
        elif source.parent == self.incoming and not source.is_symlink():
            durable.move(source, target)
        else:
            durable.copy(source, target)

    def digests(self) -> tuple[str, ...]:
        """Of all bundles that are named, damaged ones too."""
        return tuple(sorted(f"sha256:{path.name}" for path in self._bundles.iterdir() if _is_named(path)))

    def bundles(self) -> tuple[StoredBundle, ...]:
        """All that are whole enough to be read, the newest first."""
        found = [bundle for digest in self.digests() if (bundle := self._bundle(digest)) is not None]
        return tuple(sorted(found, key=lambda item: -item.added_s))

    def _bundle(self, digest: str) -> StoredBundle | None:
        path = self._bundles / hexadecimal(digest)
        try:
            data = self.document(digest)
            made = oci.parse(data, where=digest) if data is not None else None
            config = self.document(made.config.digest) if made is not None else None
            if data is None or made is None or config is None:
                return None
            manifest = manifests.from_json(config, where=digest)
            places = [self.blob_folder / hexadecimal(item.digest) for item in (made.config, *made.layers)]
            size = sum(place.stat().st_size for place in dict.fromkeys(places) if files.is_file(place))
            return StoredBundle(digest, manifest, size + len(data), path.stat().st_mtime)
        except (RegistryError, OSError, BundleError) as error:
            logger.debug("%s is left out: %s", path, error)
            return None

    def damaged(self, digest: str) -> tuple[str, ...]:
        """What of a bundle is here and is not what it should be, one sentence each; () where it is sound.

        A variant that is not here is no damage, as a board fetches only what it can use; but one has to be.

        Raises:
            StoreError: there is no such bundle.
        """
        path = self._bundles / hexadecimal(digest)
        if not os.path.lexists(path):
            raise StoreError(f"{digest} is not in the store {self.root}; see `edgemass model list`")
        data = self.document(digest)
        if data is None:
            return (f"{path}: the manifest is damaged",)
        made = oci.parse(data, where=digest)
        wrong = []
        for item in (made.config, *made.layers):
            blob = self.blob_folder / hexadecimal(item.digest)
            name = item.annotations.get(oci.FILE_PATH, "the bundle's manifest")
            if files.is_file(blob):
                if oci.sha256_of(blob) != item.digest:
                    wrong.append(f"{blob} ({name}): another content than its name says")
            elif os.path.lexists(blob):
                wrong.append(f"{blob} ({name}): no file of its own; the store follows no links")
            elif item is made.config:
                wrong.append(f"{blob}: the bundle's manifest is missing")
        weights = [item for item in made.layers if item.media_type == oci.WEIGHTS]
        if weights and not any(self.blob(item.digest) for item in weights):
            wrong.append("none of its variants is here")
        return tuple(wrong)

    def _remove(self, digests: Collection[str]) -> None:
        """The names first: a bundle that is named is whole. Then the files that no other bundle has."""
        layers: set[str] = set()
        for digest in digests:
            layers |= self._files_of(self._bundles / hexadecimal(digest))
            (self._bundles / hexadecimal(digest)).unlink(missing_ok=True)
        durable.sync_folder(self._bundles)
        for name in layers - self._named():
            (self.blob_folder / name).unlink(missing_ok=True)

    def _named(self) -> set[str]:
        """Hexadecimal digests of all files that any bundle names."""
        return {name for path in self._bundles.iterdir() for name in self._files_of(path)}

    def _files_of(self, path: Path) -> set[str]:
        data = files.read(path, oci.MAX_MANIFEST_BYTES)
        try:
            made = oci.parse(data or b"", where=str(path))
        except RegistryError:
            return set()
        return {hexadecimal(item.digest) for item in (made.config, *made.layers)}

    def _sweep(self) -> None:
        """Clear away what a power cut or a killed process left; nobody may be adding."""
        now_s = self._now_ns() / 1e9
        named = self._named()
        for path in self.incoming.iterdir():
            files.remove_old(path, now_s, LEFT_OVER_S)
        for path in self._bundles.iterdir():
            if not _is_named(path):
                files.remove_old(path, now_s, 0.0)
        for path in self.blob_folder.iterdir():
            if path.name not in named:
                files.remove_old(path, now_s, FRESH_S)

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.root).free

    @contextlib.contextmanager
    def _alone(self, patience_s: float) -> Iterator[None]:
        """Nobody else adds or removes content until the end of the block.

        Raises:
            StoreBusyError: somebody else does, for longer than `patience_s`.
        """
        ends = time.monotonic() + patience_s
        while True:
            with durable.alone(self.root / "content.lock") as alone:
                if alone:
                    yield
                    return
            if time.monotonic() >= ends:
                raise StoreBusyError(f"another edgemass is putting a model into the store {self.root}; try again later")
            threading.Event().wait(_LOOK_S)


def hexadecimal(digest: str) -> str:
    """The name of a digest's file.

    Raises:
        StoreError: it is no digest.
    """
    if not oci.is_digest(digest):
        raise StoreError(f"{digest[:80]!r} is no digest; wanted sha256: and 64 hexadecimal digits")
    return digest.removeprefix("sha256:")


def _is_named(path: Path) -> bool:
    return oci.is_digest(f"sha256:{path.name}")
