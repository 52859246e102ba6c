"""A bundle into a registry or a layout folder: what is not there yet, then its manifest, then its tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edgemass import oci
from edgemass.errors import BundleError
from edgemass.progress import Progress, untold
from edgemass.registry.protocol import Registry


class Pushed(msgspec.Struct, frozen=True):
    """digest: of the manifest. sent: files that were not there yet, `sent_bytes` in all. there: files that were.

    deltas: digest of each bundle that deltas begin from -> their bytes.
    """

    digest: str
    sent: int
    there: int
    sent_bytes: int
    deltas: dict[str, int] = {}


def push(
    manifest: bytes,
    blobs: Mapping[str, Path | bytes],
    registry: Registry,
    tags: Sequence[str],
    progress: Progress = untold,
    *,
    delta_from: Sequence[bytes] | None = None,
) -> Pushed:
    """Send a manifest with all that it names; nothing is visible before all of it is there, its deltas too.

    blobs: digest -> where the content is; more than the manifest names may be there. tags: none = by its digest only.
    progress: (bytes that are there, bytes in all), after each blob.
    delta_from: manifests of bundles that are there and that devices may have; None = nothing is compressed either.

    Raises:
        BundleError: a blob is missing here, or changed.
        ConfigError: zstandard is missing and deltas are wanted.
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    made = oci.parse(manifest, where="the bundle")
    wanted = {descriptor.digest: descriptor for descriptor in (made.config, *made.layers)}
    total = sum(descriptor.size for descriptor in wanted.values())
    done = sent = sent_bytes = 0
    for digest, descriptor in wanted.items():
        if not registry.has_blob(digest):
            source = blobs.get(digest)
            if source is None:
                name = descriptor.annotations.get(oci.FILE_PATH, digest)
                raise BundleError(f"{name} is not here, and the registry has it not; pull the whole bundle first")
            registry.put_blob(digest, descriptor.size, source)
            sent, sent_bytes = sent + 1, sent_bytes + descriptor.size
        done += descriptor.size
        progress(done, total)
    digest = registry.put_manifest(manifest, None)
    saving: dict[str, int] = {}
    if delta_from is not None:
        from edgemass.registry import deltas  # noqa: PLC0415 (needs the extra `update`)

        saving = deltas.publish(registry, manifest, blobs, delta_from)
    for tag in tags:
        registry.put_manifest(manifest, tag)
    return Pushed(digest, sent, len(wanted) - sent, sent_bytes, saving)
