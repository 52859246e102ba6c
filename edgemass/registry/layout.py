"""A folder in OCI image layout as a registry: `oci-layout`, `index.json` and `blobs/sha256/`.

Tags are kept as `org.opencontainers.image.ref.name` = "<repository>:<tag>", so that one folder holds several models, as
a registry has several repositories. A manifest is in the folder when the index names it. A blob gets its name when all
of it is there and right, the index is written by `durable`, and two who push wait for each other. Symbolic links in the
folder are not followed: its content may come from elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgemass import durable, oci
from edgemass.errors import BundleError, DigestMismatchError, RegistryError, RegistryUnavailableError, UsageError
from edgemass.oci import Descriptor
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import fallback_tag, is_repository, is_tag

VERSION = b'{"imageLayoutVersion":"1.0.0"}'
LOCK_S = 30.0
_CHUNK_BYTES = 1 << 18
_MAX_INDEX_BYTES = 32 * 1024 * 1024


class Index(msgspec.Struct, rename="camel"):
    """index.json."""

    schema_version: int = 2
    media_type: str = oci.IMAGE_INDEX
    manifests: list[Descriptor] = msgspec.field(default_factory=list)


class _Document(msgspec.Struct, rename="camel"):
    """What the index has to be told of a manifest or an index."""

    media_type: str
    artifact_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


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
        """The manifest of a tag or a digest; in a folder of several repositories only of this one's tags.

        Raises:
            RegistryError: no repository was asked for, and several have this tag.
        """
        found: dict[str, Descriptor] = {}
        for item in self.index().manifests:
            name = item.annotations.get(oci.REF_NAME, "")
            repository, _, tag = name.rpartition(":")
            if reference == item.digest:
                return item
            if tag == reference and (not self._repository or repository in ("", self._repository)):
                found.setdefault(item.digest, item)
        if len(found) > 1 and not self._repository:
            names = ", ".join(sorted(item.annotations[oci.REF_NAME] for item in found.values())[:8])
            raise RegistryError(f"{self.folder} holds several models tagged {reference} ({names}); say which")
        return next(iter(found.values()), None)

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
            with self.open_blob(digest) as file:
                return os.fstat(file.fileno()).st_size
        except RegistryError:
            return None

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
        name = self.path(digest).name
        try:
            file = _open(self.folder, "blobs", "sha256", name)
        except OSError as error:
            raise RegistryError(f"{self._told}: no blob {digest} ({error.strerror})") from error
        with file:
            yield file

    def read(self, digest: str, most: int) -> bytes:
        """The whole of a small blob."""
        with self.open_blob(digest) as file:
            data = file.read(most + 1)
        if len(data) > most:
            raise RegistryError(f"{self._told}: {digest} is larger than {most} bytes")
        return data

    def names(self) -> list[str]:
        """<repository>:<tag> of all that can be pulled."""
        names = {item.annotations.get(oci.REF_NAME, "") for item in self.index().manifests}
        return sorted(name for name in names if name.rpartition(":")[0] and ":sha256-" not in name)

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
            with _open(self.folder, path.name) as file:
                data = file.read(_MAX_INDEX_BYTES + 1)
            if len(data) > _MAX_INDEX_BYTES:
                raise RegistryError(f"{path} is larger than {_MAX_INDEX_BYTES >> 20} MiB")
            return msgspec.json.decode(data, type=Index)
        except FileNotFoundError as error:
            raise RegistryError(
                f"{self.folder} is no OCI layout: it has no index.json; push a model into it with "
                f"`edgemass model push BUNDLE {self.folder}`"
            ) from error
        except OSError as error:
            raise RegistryUnavailableError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise RegistryError(f"{path} is no index of an OCI layout: {error}") from error

    # Writing.

    def put_blob(self, digest: str, size: int, source: Path | bytes) -> None:
        """Raises BundleError: the source has another content; nothing stays of it."""
        target = self.path(digest)
        with self._writing():
            self._make_folders()
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
            temporary = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    found, length = _copy(source, file, size)
                if (found, length) != (digest, size):
                    raise BundleError(
                        f"{digest} changed while it was pushed: wanted {size} bytes, found {length} with {found}; "
                        "try again"
                    )
                temporary.chmod(0o644)
                durable.move(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def put_manifest(self, data: bytes, tag: str | None) -> str:
        """Raises RegistryError: it is none, or what it names is not here."""
        if tag is not None and not is_tag(tag):
            raise RegistryError(f"{self._told}: {tag[:80]!r} is no tag")
        made, digest = self._document(data), oci.sha256(data)
        for part in (*([made.config] if made.config else []), *made.layers, *made.manifests):
            if self.size(part.digest) != part.size:
                raise RegistryError(f"{self._told}: {part.digest} has to be pushed before the manifest that names it")
        with self._writing():
            self.create()
            self.put_blob(digest, len(data), data)
            descriptor = Descriptor(made.media_type, digest, len(data), artifact_type=made.artifact_type)
            with self._locked():
                self._note(descriptor, self._name(made, tag) if tag else "")
                if made.subject is not None:
                    self._note_referrer(made.subject.digest, descriptor, made.annotations)
        return digest

    def _document(self, data: bytes) -> _Document:
        try:
            made = msgspec.json.decode(data[: oci.MAX_MANIFEST_BYTES + 1], type=_Document)
        except (ValueError, RecursionError) as error:
            raise RegistryError(f"{self._told}: what was pushed is no OCI manifest ({error})") from error
        if made.media_type not in (oci.IMAGE_MANIFEST, oci.IMAGE_INDEX):
            raise RegistryError(f"{self._told}: {made.media_type[:100]!r} is no OCI manifest")
        return made

    def _make_folders(self) -> None:
        """Raises OSError: one of them is a symbolic link, or cannot be made."""
        for folder in (self.folder, self.folder / "blobs", self.folder / "blobs" / "sha256"):
            if folder != self.folder and folder.is_symlink():
                raise OSError(errno.ELOOP, f"{folder} is a symbolic link")
            folder.mkdir(parents=folder == self.folder, exist_ok=True)

    def create(self) -> None:
        """Make it a layout, if it is none yet.

        Raises:
            UsageError: the folder holds something else.
        """
        if (self.folder / "oci-layout").is_file():
            return
        strangers = [item.name for item in self.folder.iterdir()] if self.folder.is_dir() else []
        ours = {"blobs", "trust", "index.json", "oci-layout", ".lock"}  # the last ones by who makes it at this moment
        strange = sorted(name for name in strangers if name not in ours and not name.endswith(".part"))
        if strange:
            raise UsageError(f"{self.folder} holds other things ({strange[0]}); choose an empty folder for a registry")
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if not (self.folder / "index.json").exists():
                durable.write_bytes(self.folder / "index.json", msgspec.json.encode(Index()))
            durable.write_bytes(self.folder / "oci-layout", VERSION)

    def _name(self, made: _Document, tag: str) -> str:
        """The repository that was asked for, else the bundle's own name."""
        if self._repository:
            return f"{self._repository}:{tag}"
        name: object = None
        with contextlib.suppress(RegistryError, ValueError, RecursionError):
            config = msgspec.json.decode(self.read(made.config.digest, oci.MAX_MANIFEST_BYTES)) if made.config else {}
            name = config.get("name") if isinstance(config, dict) else None
        return f"{name if isinstance(name, str) and is_repository(name) else 'model'}:{tag}"

    def _note(self, descriptor: Descriptor, name: str) -> None:
        """Put a manifest into the index, under a name or none; what had the name before stays, by its digest."""
        index = self.index()
        kept, replaced = [], []
        for item in index.manifests:
            named = item.annotations.get(oci.REF_NAME, "")
            if name and named == name:
                replaced.append(msgspec.structs.replace(item, annotations={}))
            elif named or item.digest != descriptor.digest:
                kept.append(item)
        if name or descriptor.digest not in {item.digest for item in kept}:
            annotations = {oci.REF_NAME: name} if name else {}
            kept.append(msgspec.structs.replace(descriptor, annotations=annotations))
        digests = {item.digest for item in kept}
        # of a list of referrers, nobody wants the old one
        kept += [item for item in replaced if item.digest not in digests and item.media_type != oci.IMAGE_INDEX]
        index.manifests = kept
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


def _open(folder: Path, *parts: str) -> BinaryIO:
    """A file in the folder, on a way without symbolic links.

    Raises:
        OSError: it is not there, or is no file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO would hold us up
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for place, part in enumerate(parts):
            inner = os.open(part, flags | (os.O_DIRECTORY if place < len(parts) - 1 else 0), dir_fd=at)
            os.close(at)
            at = inner
    except OSError:
        os.close(at)
        raise
    file = os.fdopen(at, "rb")
    if not stat.S_ISREG(os.fstat(at).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "no file")
    return file


def _copy(source: Path | bytes, file: BinaryIO, size: int) -> tuple[str, int]:
    """Copy, but not much more than `size` bytes; returns the digest of what was there and how much it was."""
    digest, length = hashlib.sha256(), 0
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as content:
        while length <= size and (chunk := content.read(_CHUNK_BYTES)):
            file.write(chunk)
            digest.update(chunk)
            length += len(chunk)
    return f"sha256:{digest.hexdigest()}", length
