"""Layers in fewer bytes: compressed by zstd, or as what changed since a layer that the device has (zstd's patch-from).

They are published as referrers of the new bundle: one manifest of ARTIFACT type for each base, whose layers say by
annotations which layer they give (TO) and from which one (FROM; none = from nothing). What counts is the digest of what
comes out: a delta needs no trust.

Measured for 12 MB of fp32 weights whose last layers were trained anew: 10.5 MB compressed, 0.16 MB as a delta.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from edgemass import oci
from edgemass.errors import BundleError, ConfigError, DigestMismatchError, RegistryError
from edgemass.oci import Descriptor, ImageManifest
from edgemass.registry.protocol import Registry, content

try:
    import zstandard
except ImportError as error:
    raise ConfigError("deltas need zstandard: pip install 'edgemass[update]'") from error

logger = logging.getLogger(__name__)

ARTIFACT = "application/vnd.edgemass.delta.v1"
PATCH = "application/vnd.edgemass.delta.v1.patch+zstd"
TO, FROM = "edgemass.delta.to", "edgemass.delta.from"
NOTHING = "nothing"
"""What a referrer begins from whose layers are only compressed; others name the manifest of their base."""
EMPTY_CONFIG = b"{}"
EMPTY = "application/vnd.oci.empty.v1+json"

LEVEL = 19
WORTH = 0.95
"""A delta that is not smaller than so much of the layer is not published."""
MOST_REFERRERS = 32
MOST_REFERRER_BYTES = 64 * 1024
MOST_BYTES = 256 * 1024 * 1024
"""Larger files come whole: base and target lie in memory while a delta is made or applied."""
PLAIN_WINDOW_LOG = 23
"""8 MiB: what the device needs to unpack a layer that comes compressed, however large it is."""
_CHUNK_BYTES = 1 << 18
_MOST_HEADER_BYTES = 18  # of a zstd frame, RFC 8878 section 3.1.1


class Offer(msgspec.Struct, frozen=True):
    """One way to get a layer. base: digest that it begins from; None = nothing. descriptor: of the patch."""

    target: str
    base: str | None
    descriptor: Descriptor


def offers(registry: Registry, digest: str) -> tuple[list[Offer], int]:
    """What is published for a bundle, and the bytes that were read to know it; what cannot be read is left out.

    Raises:
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    found: list[Offer] = []
    read = 0
    told = [item for item in registry.referrers(digest, ARTIFACT) if item.size <= MOST_REFERRER_BYTES]
    for referrer in told[-MOST_REFERRERS:]:
        try:
            data = registry.manifest(referrer.digest)
            read += len(data)
            found += _offered(oci.parse(data, where=referrer.digest), digest)
        except (RegistryError, DigestMismatchError) as error:
            logger.info("a delta is left out: %s", error, extra={"referrer": referrer.digest})
    return found, read


def _offered(made: ImageManifest, digest: str) -> list[Offer]:
    """Of one referrer; none where it is not of this bundle."""
    if made.artifact_type != ARTIFACT or made.subject is None or made.subject.digest != digest:
        return []
    offered = [Offer(layer.annotations.get(TO, ""), layer.annotations.get(FROM), layer) for layer in made.layers]
    return [item for item in offered if oci.is_digest(item.target) and (item.base is None or oci.is_digest(item.base))]


def apply(patch: Path, base: Path | None, target: Path, *, size: int, digest: str) -> None:
    """Write `target` from a patch and what it begins from; not a byte more than it should have.

    Raises:
        BundleError: the patch is damaged, is for another base, or wants more memory than the files justify.
        DigestMismatchError: something else came out; it is not kept.
        OSError: the disk.
    """
    reach = size + (base.stat().st_size if base is not None else 0)
    if max(size, reach - size) > MOST_BYTES:
        raise BundleError(
            f"{patch.name}: a delta between {reach - size} and {size} bytes, at most {MOST_BYTES} are taken"
        )
    try:
        with patch.open("rb") as source:
            _check_header(source, size, patch.name)
            unpacker = zstandard.ZstdDecompressor(
                dict_data=_dictionary(base.read_bytes() if base is not None else b""),
                max_window_size=1 << _window_log(reach),
            )
            with target.open("wb") as file:
                written, found = _unpack(unpacker.stream_reader(source), file, size, patch.name)
        if written != size or found != digest:
            raise DigestMismatchError(patch.name, digest, f"{written} bytes with {found}")
    except zstandard.ZstdError as error:
        target.unlink(missing_ok=True)
        raise BundleError(f"{patch.name}: the delta is damaged or for another file ({error})") from error
    except (BundleError, OSError):
        target.unlink(missing_ok=True)
        raise


def _check_header(source: BinaryIO, size: int, told: str) -> None:
    """Before memory is taken for it.

    Raises:
        BundleError: the frame announces another size than is wanted.
    """
    announced = zstandard.get_frame_parameters(source.read(_MOST_HEADER_BYTES)).content_size
    source.seek(0)
    if announced not in (size, zstandard.CONTENTSIZE_UNKNOWN):
        raise BundleError(f"{told}: the delta announces {announced} bytes, wanted {size}")


def _unpack(reader: zstandard.ZstdDecompressionReader, file: BinaryIO, size: int, told: str) -> tuple[int, str]:
    """Write what comes out; returns how much it was and its digest.

    Raises:
        BundleError: it is more than it should be.
    """
    found, written = hashlib.sha256(), 0
    while chunk := reader.read(_CHUNK_BYTES):
        written += len(chunk)
        if written > size:
            raise BundleError(f"{told}: the delta gives more than the {size} bytes that it should")
        found.update(chunk)
        file.write(chunk)
    return written, f"sha256:{found.hexdigest()}"


def make(base: bytes | None, target: bytes) -> bytes:
    """What gives `target` from `base`; from nothing, the target compressed."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        source_size=len(target),
        window_log=min(_window_log(len(target)), PLAIN_WINDOW_LOG)
        if base is None
        else _window_log(len(base) + len(target)),
        enable_ldm=base is not None,
        write_content_size=True,
    )
    return zstandard.ZstdCompressor(compression_params=parameters, dict_data=_dictionary(base or b"")).compress(target)


def publish(
    registry: Registry, manifest: bytes, blobs: Mapping[str, Path | bytes], bases: Iterable[bytes]
) -> dict[str, int]:
    """Make and send what saves bytes: one referrer from nothing, and one from each base; what is there is left alone.

    manifest, blobs: of the new bundle, which is there already. bases: manifests of bundles in the same registry that
        devices may have.

    Returns:
        Digest of each base that something begins from -> the bytes of all its deltas.

    Raises:
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    new = oci.parse(manifest, where="the bundle")
    subject = Descriptor(oci.IMAGE_MANIFEST, oci.sha256(manifest), len(manifest), artifact_type=new.artifact_type)
    known = {item.annotations.get(FROM) for item in registry.referrers(subject.digest, ARTIFACT)}
    olds = {oci.sha256(base): oci.parse(base, where="the base") for base in bases}
    olds = {digest: old for digest, old in olds.items() if digest not in known and digest != subject.digest}
    if NOTHING in known and not olds:
        return {}
    plain = {
        layer.digest: make(None, _read(blobs[layer.digest]))
        for layer in new.layers
        if layer.digest in blobs and layer.size <= MOST_BYTES
    }
    if NOTHING not in known:
        sizes = {layer.digest: layer.size for layer in new.layers}
        parts = [_Part(digest, None, patch) for digest, patch in plain.items() if len(patch) < WORTH * sizes[digest]]
        _send(registry, subject, parts, NOTHING)
    sent = {}
    for digest, old in olds.items():
        parts = list(_patches(registry, new, old, blobs, plain))
        if parts:
            _send(registry, subject, parts, digest)
            sent[digest] = sum(len(part.patch) for part in parts)
    return sent


@dataclass(frozen=True)
class _Part:
    """base: None = nothing."""

    target: str
    base: str | None
    patch: bytes


def _patches(
    registry: Registry,
    new: ImageManifest,
    old: ImageManifest,
    blobs: Mapping[str, Path | bytes],
    plain: Mapping[str, bytes],
) -> Iterator[_Part]:
    """Deltas between layers of the same file name, where they are worth it."""
    names = {layer.annotations.get(oci.FILE_PATH): layer for layer in old.layers}
    known = {layer.digest for layer in old.layers}
    for layer in new.layers:
        base = names.get(layer.annotations.get(oci.FILE_PATH))
        if base is None or base.size > MOST_BYTES or layer.digest in known or layer.digest not in plain:
            continue
        patch = make(content(registry, base), _read(blobs[layer.digest]))
        if len(patch) < WORTH * min(layer.size, len(plain[layer.digest])):
            yield _Part(layer.digest, base.digest, patch)


def _send(registry: Registry, subject: Descriptor, parts: Iterable[_Part], origin: str) -> None:
    layers = []
    for part in parts:
        digest = oci.sha256(part.patch)
        if not registry.has_blob(digest):
            registry.put_blob(digest, len(part.patch), part.patch)
        annotations = {TO: part.target} if part.base is None else {TO: part.target, FROM: part.base}
        layers.append(Descriptor(PATCH, digest, len(part.patch), annotations))
    config = Descriptor(EMPTY, oci.sha256(EMPTY_CONFIG), len(EMPTY_CONFIG))
    if not registry.has_blob(config.digest):
        registry.put_blob(config.digest, config.size, EMPTY_CONFIG)
    made = ImageManifest(
        schema_version=2,
        media_type=oci.IMAGE_MANIFEST,
        artifact_type=ARTIFACT,
        config=config,
        layers=tuple(layers),
        subject=subject,
        annotations={FROM: origin},
    )
    registry.put_manifest(msgspec.json.encode(made, order="deterministic"), None)


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict | None:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if base else None


def _window_log(reach: int) -> int:
    """Of the least window that reaches over `reach` bytes; zstd has none below 1 KiB."""
    return max((reach - 1).bit_length(), 10)


def _read(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()
