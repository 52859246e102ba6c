"""A bundle as an OCI artifact: the digest that names it everywhere, computed without a registry."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import msgspec

from edgemass import manifest as manifests
from edgemass.errors import RegistryError
from edgemass.manifest import Manifest

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_INDEX = "application/vnd.oci.image.index.v1+json"
# CNCF ModelPack (github.com/modelpack/model-spec); not its config type, whose document has other fields than ours.
ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
WEIGHTS = "application/vnd.cncf.model.weight.v1.raw"
DATASET = "application/vnd.cncf.model.dataset.v1.raw"
DOCUMENT = "application/vnd.cncf.model.doc.v1.raw"
FILE_PATH = "org.cncf.model.filepath"
CONFIG = "application/vnd.edgemass.manifest.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"

MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # what registries must take at least, says the distribution specification
MAX_BLOB_BYTES = 16 * 1024**3
_CHUNK_BYTES = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Descriptor(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Names content by its digest. size: bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    artifact_type: str = ""

    def __post_init__(self) -> None:
        if not is_digest(self.digest):
            raise ValueError(f"digest must be sha256: and 64 hexadecimal digits, found {self.digest[:80]!r}")
        if not 0 <= self.size <= MAX_BLOB_BYTES:
            raise ValueError(f"size must lie between 0 and {MAX_BLOB_BYTES}, found {self.size}")


class ImageManifest(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """subject: of a referrer, the manifest that it belongs to."""

    schema_version: int
    media_type: str
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


def oci_manifest(manifest: Manifest) -> bytes:
    """The OCI image manifest: config = the bundle's manifest as canonical JSON; layers = the variants' files in order,
    then the golden pictures and the documents.

    The same manifest always gives the same bytes.
    """
    config = manifests.to_json(manifest)
    layers = [_layer(WEIGHTS, variant.sha256, variant.size_bytes, variant.file) for variant in manifest.variants]
    layers += [_layer(DATASET, item.sha256, item.size_bytes, item.image) for item in manifest.golden if item.sha256]
    layers += [_layer(DOCUMENT, item.sha256, item.size_bytes, item.file) for item in manifest.documents]
    made = ImageManifest(
        schema_version=2,
        media_type=IMAGE_MANIFEST,
        artifact_type=ARTIFACT,
        config=Descriptor(CONFIG, sha256(config), len(config)),
        layers=tuple(layers),
    )
    return msgspec.json.encode(made, order="deterministic")


def _layer(media_type: str, hexadecimal: str, size_bytes: int, file: str) -> Descriptor:
    return Descriptor(media_type, f"sha256:{hexadecimal}", size_bytes, {FILE_PATH: file})


def parse(data: bytes, *, where: str) -> ImageManifest:
    """Read an image manifest that came from outside; fields that we do not know are passed over.

    where: what the error names.

    Raises:
        RegistryError: it is none, or is too large.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise RegistryError(f"{where}: a manifest of {len(data)} bytes, at most {MAX_MANIFEST_BYTES} are read")
    try:
        made = msgspec.json.decode(data, type=ImageManifest)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{where}: no OCI image manifest ({error}); is this the address of a model?") from error
    if made.schema_version != 2:
        raise RegistryError(f"{where}: schemaVersion {made.schema_version}, wanted 2")
    return made


def digest(manifest: Manifest) -> str:
    """sha256:... of the OCI manifest: the bundle's name in messages, the store and the registry."""
    return sha256(oci_manifest(manifest))


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def sha256_of(path: Path) -> str:
    """sha256:... of a file, "" where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return ""
    return f"sha256:{digest.hexdigest()}"


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None
