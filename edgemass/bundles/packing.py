"""A bundle as what travels: its OCI manifest, and its files by their digests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass import manifest, oci
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.folder import Bundle
from edgemass.errors import BundleError


@dataclass(frozen=True)
class Packed:
    """manifest: OCI's. blobs: digest -> content, or where it lies."""

    manifest: bytes
    blobs: Mapping[str, Path | bytes]

    @property
    def digest(self) -> str:
        return oci.sha256(self.manifest)


def pack(bundle: Bundle, *, whole: bool = True) -> Packed:
    """All files of a bundle, each checked.

    whole: also with the variants and pictures that a device has not fetched; else with what is there.

    Raises:
        BundleError: a file is missing, or not the one that the manifest speaks of.
    """
    made = bundle.manifest
    config = manifest.to_json(made)
    blobs: dict[str, Path | bytes] = {oci.sha256(config): config}
    for variant in made.variants:
        if whole or bundle.has(variant):
            blobs[f"sha256:{variant.sha256}"] = bundle.path(variant)
    beside = [(item.image, item.sha256, item.size_bytes) for item in made.golden if item.sha256]
    beside += [(item.file, item.sha256, item.size_bytes) for item in made.documents]
    for name, sha256, size_bytes in beside:
        path = bundle.file(name, sha256)
        if not path.is_file() and not whole:
            continue
        if not path.is_file() or fingerprint(path) != (sha256, size_bytes):
            raise BundleError(
                f"{path} is missing or was changed since the manifest was written; write the manifest anew with "
                f"`edgemass model pack {bundle.folder} --seal`"
            )
        blobs[f"sha256:{sha256}"] = path
    return Packed(oci.oci_manifest(made), blobs)
