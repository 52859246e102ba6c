"""Bundles as folders: manifest.toml and the files of its variants."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemass import durable, manifest
from edgemass.bundles.fingerprint import fingerprint
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Document, Golden, Manifest, Variant
from edgemass.oci import digest
from edgemass.registry import part_file

logger = logging.getLogger(__name__)

MANIFEST = manifest.FILE
CARD = "card.md"
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Bundle:
    """A manifest and the folder that holds its files.

    A bare model file is a bundle too: its manifest is only in memory, its folder is the one it lies in.
    derived: variants that this device made itself, whose files lie in `derived_folder`; the digest is without them.
    blobs: of a bundle in the store: its files lie in this folder, each named by the hexadecimal digits of its sha256,
        and those that this board cannot use are not there.
    """

    manifest: Manifest
    folder: Path
    derived: tuple[Variant, ...] = ()
    derived_folder: Path | None = None
    blobs: Path | None = None

    @property
    def variants(self) -> tuple[Variant, ...]:
        """All that can be loaded, the reference first."""
        return (*self.manifest.variants, *self.derived)

    def variant(self, name: str) -> Variant:
        """The variant of that name.

        Raises:
            UsageError: there is none.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise UsageError(
            f"{self.manifest.name} has no variant {name!r}, it has {', '.join(item.name for item in self.variants)}"
        )

    @property
    def digest(self) -> str:
        """Of the OCI manifest."""
        return digest(self.manifest)

    def has(self, variant: Variant) -> bool:
        """Whether the variant's file is there; its content is checked when it is loaded."""
        return self._place(variant).is_file()

    def _place(self, variant: Variant) -> Path:
        own = self.derived_folder is not None and variant in self.derived
        if own and self.derived_folder:
            return self.derived_folder / variant.file
        return self.file(variant.file, variant.sha256)

    def file(self, name: str, sha256: str) -> Path:
        """Where a file of the bundle lies, if it is there."""
        return self.folder / name if self.blobs is None else self.blobs / sha256

    def path(self, variant: Variant) -> Path:
        """The variant's file, checked against the manifest every time (10 ms for 12 MB).

        Raises:
            BundleError: it is missing, or not the file that the manifest speaks of.
        """
        path = self._place(variant)
        if self.blobs is not None and path.is_symlink():
            raise BundleError(f"{path} is a symbolic link; the store follows none: fetch the model again")
        if not path.is_file():
            origin = f" (it comes from {self.manifest.source})" if self.manifest.source else ""
            raise BundleError(
                f"{self.manifest.name}: {path} is missing{origin}; put it there or import the model again"
            )
        size = path.stat().st_size
        found = fingerprint(path)[0] if size == variant.size_bytes else None
        if found != variant.sha256:
            digest = "another sha256" if found is None else f"sha256 {found[:12]}..."
            raise BundleError(
                f"{path} is not the file of the manifest: found {size} bytes with {digest}, wanted "
                f"{variant.size_bytes} with {variant.sha256[:12]}...; import the model again"
            )
        return path


def load_bundle(directory: Path) -> Bundle:
    """Read a bundle folder; the stock file has to be there. The content of a file is checked when it is loaded.

    Raises:
        BundleError: no manifest, a wrong one, or the stock file is missing.
    """
    path = directory / MANIFEST
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"{path} is no file; wanted a manifest")
        if status.st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} is larger than {_MAX_MANIFEST_BYTES >> 20} MiB; wanted a manifest")
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise BundleError(
            f"{directory} is no bundle: it has no {MANIFEST}; make one with `edgemass model import`"
        ) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    bundle = Bundle(manifest.from_toml(text, where=str(path)), directory)
    if not bundle.has(bundle.manifest.reference):
        bundle.path(bundle.manifest.reference)  # tells which file, and what to do
    return bundle


def write_bundle(made: Manifest, model_file: Path, directory: Path) -> Bundle:
    """Write a bundle folder: all of it or nothing.

    A folder that already is a bundle of the same model file keeps its other files and gets the new manifest, with the
    variants of the old one where it takes and gives the same as before.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
        BundleError: the model file changed since it was imported.
    """
    variant = made.reference
    if fingerprint(model_file) != (variant.sha256, variant.size_bytes):
        raise BundleError(f"{model_file} changed while it was imported; import it again")
    try:
        old = _bundle_of(variant, directory)
        if old is not None:
            _write_manifest(_with_variants_of(old.manifest, made), directory)
        else:
            _write_whole(made, {variant.file: model_file}, directory)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(directory)


def write_new(made: Manifest, files: Mapping[str, Path], directory: Path) -> Bundle:
    """Write a bundle of these files, name -> where it lies now, into a folder that is new or empty: all or nothing.

    Raises:
        UsageError: the folder holds something, or cannot be written.
    """
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise UsageError(f"{directory} is not empty; choose another folder with -o, or remove it")
    try:
        _write_whole(made, files, directory)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(directory)


def _with_variants_of(old: Manifest, made: Manifest) -> Manifest:
    others = old.variants[1:]
    if others and (old.input, old.output) != (made.input, made.output):
        logger.warning("left out, since they were made for another input or output: %s", [item.name for item in others])
        return made
    return msgspec.structs.replace(made, variants=(made.reference, *others))


def add_variant(bundle: Bundle, variant: Variant, file: Path, directory: Path) -> Bundle:
    """Write the bundle with one more variant, or with another one of that name; see `extend_bundle`.

    file: of the variant, wherever it lies.
    """
    others = tuple(item for item in bundle.manifest.variants if item.name != variant.name)
    try:
        made = msgspec.structs.replace(bundle.manifest, variants=(*others, variant))
    except ValueError as error:
        raise BundleError(f"{bundle.manifest.name}: variant {variant.name} does not fit it: {error}") from error
    return extend_bundle(bundle, made, {variant.file: file}, directory)


def extend_bundle(
    bundle: Bundle, made: Manifest, new: Mapping[str, Path], directory: Path, drop: Collection[str] = ()
) -> Bundle:
    """Write a manifest with all the files of its variants.

    made: of the bundle, with more variants. new: file name -> where it lies now; the others are the bundle's own.
    directory: not there, empty, or this very bundle already: then files come first and the manifest last, and variants
        that only it has are kept. drop: names of variants that are not kept.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
        BundleError: a file of the bundle is missing.
    """
    files = {
        variant.file: new.get(variant.file) or bundle.path(bundle.variant(variant.name)) for variant in made.variants
    }
    for name in (CARD, *(sample.image for sample in made.golden)):
        if name in new or (bundle.folder / name).is_file():
            files[name] = new.get(name) or bundle.folder / name
    try:
        old = check_target(bundle, directory)
        if old is None:
            _write_whole(made, files, directory)
        else:
            names = {variant.name for variant in made.variants}.union(drop)
            kept = [variant for variant in old.manifest.variants if variant.name not in names]
            _add(msgspec.structs.replace(made, variants=(*made.variants, *kept)), files, directory)
            for variant in old.manifest.variants:
                if variant.name in drop and variant.file not in files:
                    (directory / variant.file).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(directory)


def check_target(bundle: Bundle, directory: Path) -> Bundle | None:
    """The same bundle where the folder holds it, None where it is not there or empty.

    Raises:
        UsageError: it holds something else, or the same model with another manifest, which would be lost.
    """
    old = _bundle_of(bundle.manifest.reference, directory)
    if old is not None and _without_variants(old.manifest) != _without_variants(bundle.manifest):
        raise UsageError(
            f"{directory} is a bundle of the same model file with other labels or settings; give {directory} itself as "
            "the model, or choose another folder with -o"
        )
    return old


def _without_variants(made: Manifest) -> Manifest:
    """All that a variant is made for; what is said of its accuracy and making may grow."""
    golden = tuple(msgspec.structs.replace(sample, sha256="", size_bytes=0) for sample in made.golden)
    return msgspec.structs.replace(
        made, variants=(made.reference,), accuracy=(), assumed=(), source="", golden=golden, documents=()
    )


def _bundle_of(reference: Variant, directory: Path) -> Bundle | None:
    """The bundle of this stock file that a folder holds; None where the folder is not there or empty.

    Raises:
        UsageError: it holds something else.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return None
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file, wanted a folder for the bundle; choose another one with -o")
    try:
        old = load_bundle(directory)
    except BundleError:
        old = None
    if old is None or (old.manifest.reference.file, old.manifest.reference.sha256) != (
        reference.file,
        reference.sha256,
    ):
        raise UsageError(
            f"{directory} is not empty and no bundle of {reference.file}; choose another folder with -o, or remove it"
        )
    return old


def check_room(directory: Path, files: Collection[str]) -> None:
    """Refuse a folder that holds anything but some of these files, whole or half fetched.

    Raises:
        UsageError: it does.
    """
    if not directory.exists():
        return
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file, wanted a folder for the bundle; choose another one with -o")
    ours = set(files) | {part_file.name(Path(name)).name for name in files}
    strangers = sorted(item.name for item in directory.iterdir() if item.name not in ours)
    if strangers:
        raise UsageError(f"{directory} is not empty ({strangers[0]}); choose another folder with -o")


def _add(made: Manifest, files: Mapping[str, Path], directory: Path) -> None:
    """Files first, the manifest last: what it names is there at any instant."""
    for name, source in files.items():
        if source.resolve() != (directory / name).resolve():
            durable.copy(source, directory / name)
    _write_manifest(made, directory)


def seal(bundle: Bundle) -> Bundle:
    """Write the manifest anew with the digests of its pictures and its card, after these were edited.

    Raises:
        OSError: it cannot be written.
    """
    _write_manifest(bundle.manifest, bundle.folder)
    return load_bundle(bundle.folder)


def _write_manifest(made: Manifest, directory: Path) -> None:
    """With the digests of all that lies beside it and is published with it."""
    golden = tuple(_sealed(sample, directory) for sample in made.golden)
    documents: tuple[Document, ...] = ()
    if (directory / CARD).is_file():
        sha256, size = fingerprint(directory / CARD)
        documents = (Document(file=CARD, sha256=sha256, size_bytes=size),)
    made = msgspec.structs.replace(made, golden=golden, documents=documents)
    durable.write_bytes(directory / MANIFEST, manifest.to_toml(made))


def _sealed(sample: Golden, directory: Path) -> Golden:
    if not sample.image or not (directory / sample.image).is_file():
        return msgspec.structs.replace(sample, sha256="", size_bytes=0)
    sha256, size = fingerprint(directory / sample.image)
    return msgspec.structs.replace(sample, sha256=sha256, size_bytes=size)


def _write_whole(made: Manifest, files: Mapping[str, Path], directory: Path) -> None:
    """A new folder of these files, name -> where it lies now; it takes the place of an empty one."""
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        _add(made, files, temporary)
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    durable.sync_folder(directory.parent)
