"""Bundles as folders: manifest.toml and the files of its variants."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgemass import durable, manifest
from edgemass.bundles.fingerprint import fingerprint
from edgemass.bundles.oci import digest
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Manifest, Variant

MANIFEST = "manifest.toml"
_MAX_MANIFEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Bundle:
    """A manifest and the folder that holds its files.

    A bare model file is a bundle too: its manifest is only in memory, its folder is the one it lies in.
    derived: variants that this device made itself, whose files lie in `derived_folder`; the digest is without them.
    """

    manifest: Manifest
    folder: Path
    derived: tuple[Variant, ...] = ()
    derived_folder: Path | None = None

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
        return (self.derived_folder if own and self.derived_folder else self.folder) / variant.file

    def path(self, variant: Variant) -> Path:
        """The variant's file, checked against the manifest every time (10 ms for 12 MB).

        Raises:
            BundleError: it is missing, or not the file that the manifest speaks of.
        """
        path = self._place(variant)
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

    A folder that already is a bundle of the same model file keeps its other files and gets the new manifest.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
        BundleError: the model file changed since it was imported.
    """
    variant = made.reference
    if fingerprint(model_file) != (variant.sha256, variant.size_bytes):
        raise BundleError(f"{model_file} changed while it was imported; import it again")
    try:
        if _is_same_bundle(directory, variant):
            durable.write_bytes(directory / MANIFEST, manifest.to_toml(made))
        else:
            _write_new(made, model_file, directory)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(directory)


def add_variant(bundle: Bundle, variant: Variant, file: Path, directory: Path | None = None) -> Bundle:
    """Add a variant to a bundle folder, or replace the one of that name; the manifest is written last.

    file: of the variant, wherever it lies. directory: write the whole bundle there instead, all of it or nothing.

    Raises:
        UsageError: the folder cannot be written, or holds something else.
        BundleError: the variant does not fit the bundle, or a file of it is missing.
    """
    others = tuple(item for item in bundle.manifest.variants if item.name != variant.name)
    try:
        made = msgspec.structs.replace(bundle.manifest, variants=(*others, variant))
    except ValueError as error:
        raise BundleError(f"{bundle.manifest.name}: variant {variant.name} does not fit it: {error}") from error
    target = directory or bundle.folder
    try:
        if target.resolve() == bundle.folder.resolve() and (target / MANIFEST).is_file():
            _copy(file, target / variant.file)
            durable.write_bytes(target / MANIFEST, manifest.to_toml(made))
        else:
            _check_free(target)
            sources = {item.file: bundle.path(item) for item in others}
            _write_whole(made, {**sources, variant.file: file}, target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(target)


def _check_free(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is not empty; choose another folder with -o, or remove it")


def _copy(source: Path, target: Path) -> None:
    """All of it or nothing, on the disk."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _is_same_bundle(directory: Path, variant: Variant) -> bool:
    """Whether the folder is a bundle of the same model file; False where it is empty or not there.

    Raises:
        UsageError: it holds something else.
    """
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file, wanted a folder for the bundle; choose another one with -o")
    try:
        old = load_bundle(directory).manifest.reference
    except BundleError:
        old = None
    if old is None or (old.file, old.sha256) != (variant.file, variant.sha256):
        raise UsageError(
            f"{directory} is not empty and no bundle of {variant.file}; choose another folder with -o, or remove it"
        )
    return True


def _write_new(made: Manifest, model_file: Path, directory: Path) -> None:
    _write_whole(made, {made.reference.file: model_file}, directory)


def _write_whole(made: Manifest, files: Mapping[str, Path], directory: Path) -> None:
    """A new folder of these files, name -> where it lies now; it takes the place of an empty one."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for name, source in files.items():
            _copy(source, temporary / name)
        durable.write_bytes(temporary / MANIFEST, manifest.to_toml(made))
        temporary.rename(directory)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    durable.sync_folder(directory.parent)
