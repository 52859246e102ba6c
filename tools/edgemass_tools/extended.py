"""A bundle folder with one more variant: all of it, or what was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from edgemass import durable
from edgemass import manifest as manifests
from edgemass.bundles import Bundle, load_bundle
from edgemass.bundles.folder import MANIFEST
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Manifest


def check_folder(bundle: Bundle, directory: Path) -> None:
    """Before hours of work: whether the bundle may be written there.

    Raises:
        UsageError: the folder holds something else than this bundle.
    """
    _is_ours(bundle, directory)


def write(bundle: Bundle, manifest: Manifest, new: Mapping[str, Path], directory: Path) -> Bundle:
    """Write the manifest with all the files of its variants.

    bundle: where the files lie that are not new. new: file name -> where it lies now.
    directory: not there, empty, or this bundle already: then files come first and the manifest last.

    Raises:
        UsageError: the folder holds something else, or cannot be written.
    """
    files = {
        variant.file: new.get(variant.file) or bundle.path(bundle.variant(variant.name))
        for variant in manifest.variants
    }
    try:
        if _is_ours(bundle, directory):
            _add(manifest, files, directory)
        else:
            _write_anew(manifest, files, directory)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}; choose another folder with -o") from error
    return load_bundle(directory)


def _is_ours(bundle: Bundle, directory: Path) -> bool:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return False
    if not directory.is_dir():
        raise UsageError(f"{directory} is a file, wanted a folder for the bundle; choose another one with -o")
    try:
        old = load_bundle(directory).manifest.reference
    except BundleError:
        old = None
    wanted = bundle.manifest.reference
    if old is None or (old.file, old.sha256) != (wanted.file, wanted.sha256):
        raise UsageError(
            f"{directory} is not empty and no bundle of {wanted.file}; choose another folder with -o, or remove it"
        )
    return True


def _add(manifest: Manifest, files: Mapping[str, Path], directory: Path) -> None:
    for name, source in files.items():
        if source.resolve() != (directory / name).resolve():
            durable.write_bytes(directory / name, source.read_bytes())
    durable.write_bytes(directory / MANIFEST, manifests.to_toml(manifest))


def _write_anew(manifest: Manifest, files: Mapping[str, Path], directory: Path) -> None:
    directory = directory.absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        _add(manifest, files, temporary)
        temporary.rename(directory)  # takes the place of an empty folder
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    durable.sync_folder(directory.parent)
