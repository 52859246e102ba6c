"""What a registry over HTTP and an OCI layout folder both are."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from edgemass.oci import Descriptor
from edgemass.registry.part_file import PartFile


class Registry(Protocol):
    """One repository; for one thread at a time.

    Every method may raise RegistryUnavailableError (try again later) and RegistryError (it refuses, or is none).
    """

    def manifest(self, reference: str) -> bytes:
        """The bytes of a manifest or an index, at most `oci.MAX_MANIFEST_BYTES`.

        reference: a tag or a digest.

        Raises:
            DigestMismatchError: they are not those of the digest.
        """

    def referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        """Manifests of that type whose subject is the manifest of that digest; none where nobody knows of any."""

    def read_blob(self, descriptor: Descriptor, part: PartFile, progress: Callable[[int], None]) -> None:
        """Append to `part` from where it ends until it is whole; never more than `descriptor.size` bytes in all.

        What came before an error stays in it, unless it is wrong for sure.
        progress: called with the bytes that are there now.

        Raises:
            DigestMismatchError: another content came; the part is empty again.
        """

    def has_blob(self, digest: str) -> bool: ...

    def put_blob(self, digest: str, size: int, source: Path | bytes) -> None:
        """Send content of `size` bytes whose digest is known; it is read as often as it has to be sent."""

    def put_manifest(self, data: bytes, tag: str | None) -> str:
        """Send a manifest, all of whose blobs are there, and return its digest.

        One with a subject is also noted under the tag `sha256-<hexadecimal digits of the subject>`, for registries and
        clients without the referrers API.
        """

    def tags(self) -> tuple[str, ...]: ...

    def close(self) -> None: ...


def content(registry: Registry, descriptor: Descriptor) -> bytes:
    """Content that is needed before there is a folder for it, and small enough for memory. Raises as `read_blob`."""
    with tempfile.TemporaryDirectory(prefix="edgemass-") as folder:
        path = Path(folder, "content")
        with PartFile(path) as part:
            registry.read_blob(descriptor, part, lambda _done: None)
            part.finish()
        return path.read_bytes()
