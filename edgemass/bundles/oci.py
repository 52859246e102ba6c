"""A bundle as an OCI artifact: the digest that names it everywhere, computed without a registry."""

from __future__ import annotations

import hashlib

import msgspec

from edgemass import manifest as manifests
from edgemass.manifest import Manifest

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# CNCF ModelPack (github.com/modelpack/model-spec); not its config type, whose document has other fields than ours.
ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
WEIGHTS = "application/vnd.cncf.model.weight.v1.raw"
FILE_PATH = "org.cncf.model.filepath"
CONFIG = "application/vnd.edgemass.manifest.v1+json"


class _Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}


class _ImageManifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str
    artifact_type: str
    config: _Descriptor
    layers: tuple[_Descriptor, ...]


def oci_manifest(manifest: Manifest) -> bytes:
    """The OCI image manifest: config = the bundle's manifest as canonical JSON, layers = the variants' files in order.

    The same manifest always gives the same bytes.
    """
    config = manifests.to_json(manifest)
    return msgspec.json.encode(
        _ImageManifest(
            schema_version=2,
            media_type=IMAGE_MANIFEST,
            artifact_type=ARTIFACT,
            config=_Descriptor(CONFIG, sha256(config), len(config)),
            layers=tuple(
                _Descriptor(WEIGHTS, f"sha256:{variant.sha256}", variant.size_bytes, {FILE_PATH: variant.file})
                for variant in manifest.variants
            ),
        ),
        order="deterministic",
    )


def digest(manifest: Manifest) -> str:
    """sha256:... of the OCI manifest: the bundle's name in messages, the store and the registry."""
    return sha256(oci_manifest(manifest))


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
