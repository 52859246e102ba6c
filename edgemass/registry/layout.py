"""A folder in OCI image layout as a registry: `oci-layout`, `index.json` and `blobs/sha256/`.

Tags are kept as `org.opencontainers.image.ref.name` = "<repository>:<tag>", so that one folder holds several models, as
a registry has several repositories. A manifest is in the folder when the index names it; index and blobs are written by
`durable`, and two who push wait for each other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgemass import durable, oci
from edgemass.errors import BundleError, DigestMismatchError, RegistryError, RegistryUnavailableError, UsageError
from edgemass.oci import Descriptor
from edgemass.registry.part_file import PartFile

VERSION = b'{"imageLayoutVersion":"1.0.0"}'
LOCK_S = 30.0
_CHUNK_BYTES = 1 << 18
_MAX_INDEX_BYTES = 32 * 1024 * 1024


class Index(msgspec.Struct, rename="camel"):
    """index.json."""

    schema_version: int = 2
    media_type: str = oci.IMAGE_INDEX
    manifests: list[Descriptor] = msgspec.field(default_factory=list)


class Layout:
    """Implements `protocol.Registry`. repository: "" = any; what is pushed tells its own."""

    def __init__(self, folder: Path, repository: str = "") -> None:
        self.folder = folder
        self._repository = repository

    def close(self) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return f"Layout({self.folder})"

    # Reading.

    def manifest(self, reference: str) -> bytes:
        found = self.find(reference)
        if found is None:
            known = ", ".join(sorted(self.tags())[:8]) or "none"
            raise RegistryError(f"{self._told}: no {reference!r}; its tags are {known}")
        data = self.read(found.digest, oci.MAX_MANIFEST_BYTES)
        if oci.sha256(data) != found.digest:
            raise DigestMismatchError(f"{self._told}: manifest {reference}", found.digest, oci.sha256(data))
        return data

    def find(self, reference: str) -> Descriptor | None:
        """The manifest of a tag or a digest; in a folder of several repositories only of this one's tags."""
        index = self.index()
        for item in index.manifests:
            repository, _, tag = item.annotations.get(oci.REF_NAME, "").rpartition(":")
            ours = not self._repository or repository in ("", self._repository)
            if reference == item.digest or (ours and tag == reference):
                return item
        return None

    def referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        return tuple(
            item for item in self._referrers(digest) if not artifact_type or item.artifact_type == artifact_type
        )

    def _referrers(self, digest: str) -> list[Descriptor]:
        """As the index of the fallback tag tells."""
        found = self.find(fallback_tag(digest))
        if found is None:
            return []
        try:
            return msgspec.json.decode(self.read(found.digest, oci.MAX_MANIFEST_BYTES), type=Index).manifests
        except (msgspec.DecodeError, RegistryError):
            return []

    def read_blob(self, descriptor: Descriptor, part: PartFile, progress: Callable[[int], None]) -> None:
        if part.size > descriptor.size:
            part.restart()
        with self.open_blob(descriptor.digest) as file:
            file.seek(part.size)
            while part.size < descriptor.size and (chunk := file.read(min(_CHUNK_BYTES, descriptor.size - part.size))):
                part.append(chunk)
                progress(part.size)
        if part.size != descriptor.size or f"sha256:{part.sha256()}" != descriptor.digest:
            found = f"{part.size} bytes with sha256:{part.sha256()}"
            part.restart()
            raise DigestMismatchError(f"{self._told}: {descriptor.digest}", descriptor.digest, found)

    def has_blob(self, digest: str) -> bool:
        return self.size(digest) is not None

    def size(self, digest: str) -> int | None:
        """Bytes of a blob or manifest; None where it is not here."""
        try:
            status = self.path(digest).lstat()
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def path(self, digest: str) -> Path:
        """Where content of a digest lies.

        Raises:
            RegistryError: this is no digest.
        """
        if not oci.is_digest(digest):
            raise RegistryError(f"{self._told}: {digest[:80]!r} is no digest")
        return self.folder / "blobs" / "sha256" / digest.removeprefix("sha256:")

    @contextlib.contextmanager
    def open_blob(self, digest: str) -> Iterator[BinaryIO]:
        """A blob for reading; symbolic links are not followed.

        Raises:
            RegistryError: it is not here.
        """
        path = self.path(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise RegistryError(f"{self._told}: no blob {digest} ({error.strerror})") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise RegistryError(f"{self._told}: {path} is no file")
            yield file

    def read(self, digest: str, most: int) -> bytes:
        """The whole of a small blob."""
        with self.open_blob(digest) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise RegistryError(f"{self._told}: {digest} is larger than {most} bytes")
        return data

    def tags(self) -> tuple[str, ...]:
        names = (item.annotations.get(oci.REF_NAME, "").rpartition(":") for item in self.index().manifests)
        return tuple(
            dict.fromkeys(
                tag
                for repository, _, tag in names
                if tag and not tag.startswith("sha256-") and (not self._repository or repository == self._repository)
            )
        )

    def index(self) -> Index:
        """Raises RegistryError: the folder is no OCI layout."""
        path = self.folder / "index.json"
        try:
            if path.stat().st_size > _MAX_INDEX_BYTES:
                raise RegistryError(f"{path} is larger than {_MAX_INDEX_BYTES >> 20} MiB")
            return msgspec.json.decode(path.read_bytes(), type=Index)
        except FileNotFoundError as error:
            raise RegistryError(
                f"{self.folder} is no OCI layout: it has no index.json; push a model into it with "
                f"`edgemass model push BUNDLE {self.folder}`"
            ) from error
        except OSError as error:
            raise RegistryUnavailableError(f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise RegistryError(f"{path} is no index of an OCI layout: {error}") from error

    # Writing.

    def put_blob(self, digest: str, size: int, source: Path | bytes) -> None:
        target = self.path(digest)
        with self._writing():
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, bytes):
                durable.write_bytes(target, source)
            else:
                durable.copy(source, target)
            found, length = _sha256(target)
            if (found, length) != (digest, size):
                target.unlink(missing_ok=True)
                raise BundleError(f"{digest} changed while it was pushed: found {found}; try again")

    def put_manifest(self, data: bytes, tag: str | None) -> str:
        made = oci.parse(data, where="the manifest")
        digest = oci.sha256(data)
        with self._writing():
            self.create()
            self.put_blob(digest, len(data), data)
            descriptor = Descriptor(made.media_type, digest, len(data), artifact_type=made.artifact_type)
            with self._locked():
                self._note(descriptor, self._name(data, tag) if tag else "")
                if made.subject is not None:
                    self._note_referrer(made.subject.digest, descriptor, made.annotations)
        return digest

    def create(self) -> None:
        """Make it a layout, if it is none yet.

        Raises:
            UsageError: the folder holds something else.
        """
        if (self.folder / "oci-layout").is_file():
            return
        strangers = [item.name for item in self.folder.iterdir()] if self.folder.is_dir() else []
        strange = sorted(set(strangers) - {"blobs", "trust", "index.json", ".lock"})
        if strange:
            raise UsageError(f"{self.folder} holds other things ({strange[0]}); choose an empty folder for a registry")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not (self.folder / "index.json").exists():
                durable.write_bytes(self.folder / "index.json", msgspec.json.encode(Index()))
            durable.write_bytes(self.folder / "oci-layout", VERSION)

    def _name(self, data: bytes, tag: str) -> str:
        """The repository that was asked for, else the bundle's own name."""
        if self._repository:
            return f"{self._repository}:{tag}"
        made = oci.parse(data, where="the manifest")
        try:
            config = msgspec.json.decode(self.read(made.config.digest, oci.MAX_MANIFEST_BYTES))
        except (RegistryError, msgspec.DecodeError):
            config = None
        name = config.get("name") if isinstance(config, dict) else None
        return f"{name or 'model'}:{tag}"

    def _note(self, descriptor: Descriptor, name: str) -> None:
        """Name a manifest in the index, instead of what had that name before; that one stays, by its digest."""
        index = self.index()
        others = []
        for item in index.manifests:
            if name and item.annotations.get(oci.REF_NAME) == name:
                item = msgspec.structs.replace(item, annotations={})  # noqa: PLW2901
            if item.digest != descriptor.digest or item.annotations.get(oci.REF_NAME):
                others.append(item)
        annotations = {oci.REF_NAME: name} if name else {}
        unique = {(item.digest, item.annotations.get(oci.REF_NAME, "")): item for item in others}
        named = any(digest == descriptor.digest for digest, _ in unique)
        if name or not named:
            unique[descriptor.digest, name] = msgspec.structs.replace(descriptor, annotations=annotations)
        index.manifests = list(unique.values())
        durable.write_bytes(self.folder / "index.json", msgspec.json.encode(index))

    def _note_referrer(self, subject: str, descriptor: Descriptor, annotations: dict[str, str]) -> None:
        others = [item for item in self._referrers(subject) if item.digest != descriptor.digest]
        told = msgspec.structs.replace(descriptor, annotations=annotations)
        data = msgspec.json.encode(Index(manifests=[*others, told]))
        digest = oci.sha256(data)
        self.put_blob(digest, len(data), data)
        name = f"{self._repository or 'referrers'}:{fallback_tag(subject)}"
        self._note(Descriptor(oci.IMAGE_INDEX, digest, len(data)), name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among those who change the index.

        Raises:
            RegistryUnavailableError: another one has been at it for too long.
        """
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        ends = time.monotonic() + LOCK_S
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise RegistryUnavailableError(f"{self.folder} is being written by another process") from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UsageError(f"cannot write {self.folder}: {error.strerror}; choose another folder") from error

    @property
    def _told(self) -> str:
        return f"{self.folder}:{self._repository}" if self._repository else str(self.folder)


def fallback_tag(digest: str) -> str:
    """Under which the referrers of a manifest are listed where there is no API for them."""
    return digest.replace(":", "-", 1)


def _sha256(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return f"sha256:{digest.hexdigest()}", size
