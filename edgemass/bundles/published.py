"""Bundles to and from registries, as whole folders; a device's own updates go into its store instead."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from edgemass import durable, manifest, oci
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.folder import MANIFEST, Bundle, check_room, load_bundle
from edgemass.bundles.packing import pack
from edgemass.errors import BundleError, RegistryError, UsageError
from edgemass.manifest import Manifest
from edgemass.oci import Descriptor
from edgemass.progress import Progress
from edgemass.registry import protocol, pushing
from edgemass.registry.part_file import PartFile
from edgemass.registry.protocol import Registry
from edgemass.registry.pushing import Pushed


def pull(registry: Registry, reference: str, directory: Path, progress: Progress) -> Bundle:
    """Fetch a bundle with all its files into a folder; what a cut left there is where the next call goes on.

    reference: a tag or a digest. directory: new, empty, or one that this very bundle was being pulled into.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
        BundleError: what the registry has is no bundle, or a damaged one; DigestMismatchError of a file.
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    data = registry.manifest(reference)
    made, files = _read(registry, data, reference)
    _check_directory(directory, made, files)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _fetch(registry, files, directory, progress)
        durable.write_bytes(directory / MANIFEST, manifest.to_toml(made))
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    finally:
        with contextlib.suppress(OSError):
            directory.rmdir()  # if nothing came
    return load_bundle(directory)


def _read(registry: Registry, data: bytes, reference: str) -> tuple[Manifest, dict[str, Descriptor]]:
    """The bundle's manifest and its files by name.

    Raises:
        BundleError: it is none, or one that this version cannot write as it was.
    """
    image = oci.parse(data, where=reference)
    if image.artifact_type != oci.ARTIFACT or image.config.media_type != oci.CONFIG:
        kind = image.artifact_type or image.config.media_type
        raise BundleError(f"{reference}: found {kind[:100]!r}, wanted a bundle that `edgemass model push` sent")
    if image.config.size > oci.MAX_MANIFEST_BYTES:
        raise BundleError(f"{reference}: its manifest has {image.config.size} bytes, wanted a model's")
    made = manifest.from_json(protocol.content(registry, image.config), where=reference)
    if oci.oci_manifest(made) != data:
        raise BundleError(f"{reference}: its files are not those of its manifest; it was made by another version")
    return made, {layer.annotations[oci.FILE_PATH]: layer for layer in image.layers}


def look(registry: Registry, reference: str) -> tuple[bytes, Manifest]:
    """The OCI manifest of a published bundle, and its own. Raises as `pull`."""
    data = registry.manifest(reference)
    return data, _read(registry, data, reference)[0]


def _check_directory(directory: Path, made: Manifest, files: Collection[str]) -> None:
    """Refuse a folder that holds anything but this very bundle, or half of it.

    Raises:
        UsageError: it does.
    """
    path = directory / MANIFEST
    if path.is_file():
        try:
            if manifest.from_toml(path.read_bytes(), where=str(path)) == made:
                return
        except BundleError as error:
            raise UsageError(f"{directory} holds something else ({error}); choose another folder with -o") from error
        raise UsageError(f"{directory} holds another bundle; choose another folder with -o, or remove it")
    check_room(directory, files)


def _fetch(registry: Registry, files: Mapping[str, Descriptor], directory: Path, progress: Progress) -> None:
    total = sum(descriptor.size for descriptor in files.values())
    before = 0
    for name, descriptor in files.items():
        path = directory / name
        if not (path.is_file() and fingerprint(path) == (_hexadecimal(descriptor), descriptor.size)):
            with PartFile(path) as part:
                part.make_room(descriptor.size)
                registry.read_blob(descriptor, part, functools.partial(_forward, progress, before, total))
                part.finish()
        before += descriptor.size
        progress(before, total)


def _forward(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)


def _hexadecimal(descriptor: Descriptor) -> str:
    return descriptor.digest.partition(":")[2]


def push(
    bundle: Bundle,
    registry: Registry,
    tags: Sequence[str],
    progress: Progress,
    *,
    delta_from: Sequence[str] | None = None,
) -> Pushed:
    """Send a bundle with its golden pictures and its card.

    delta_from: tags or digests of bundles that devices may have; a bundle that has one of `tags` so far is one, too.
        None = no deltas.

    Raises:
        ConfigError: zstandard is missing and deltas are wanted.
        BundleError: a file of it is missing, or not the one that its manifest speaks of.
        RegistryError, RegistryUnavailableError: see protocol.Registry.
    """
    packed = pack(bundle)
    bases = None if delta_from is None else _bases(registry, tags, delta_from)
    return pushing.push(packed.manifest, packed.blobs, registry, tags, progress, delta_from=bases)


def _bases(registry: Registry, tags: Sequence[str], further: Sequence[str]) -> list[bytes]:
    """Manifests of what has one of these tags, and of `further`, which have to be there."""
    manifests = [registry.manifest(reference) for reference in further]
    for tag in tags:
        with contextlib.suppress(RegistryError):  # nothing has the tag yet, or something else than a bundle
            data = registry.manifest(tag)
            if oci.parse(data, where=tag).artifact_type == oci.ARTIFACT:
                manifests.append(data)
    return manifests
