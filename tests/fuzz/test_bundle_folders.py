"""Bundle folders that somebody else filled: a bundle, or a BundleError, and nothing outside the folder is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from edgemass import manifest
from edgemass.bundles import load_bundle
from edgemass.bundles.folder import MANIFEST, write_bundle
from edgemass.errors import BundleError, UsageError
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.models import MODELS
from tests.fuzz.mutations import mutated_texts


def write(folder: Path, text: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_bytes(text)
    return folder


@counts(150, 30_000)
def test_a_folder_with_a_damaged_manifest_is_loaded_or_refused(tmp_path: Path, examples: int) -> None:
    folder = tmp_path / "bundle"

    def promise(text: bytes) -> None:
        write(folder, text)
        with may_refuse(BundleError):
            assert all(path.parent == folder for path in checked(folder))

    good = manifest.to_toml(MODELS["yolo_v8"].manifest)
    (write(folder, good) / "model.onnx").write_bytes(b"x")
    hold(promise, examples, text=mutated_texts(good))


@pytest.mark.parametrize(
    "name", ["../model.onnx", "/etc/passwd", "a/b", "..", ".", "", "model.onnx\0", "x" * 300, "manifest.toml/"]
)
def test_a_variant_never_lies_outside_the_folder(name: str, tmp_path: Path) -> None:
    text = manifest.to_toml(MODELS["yolo_v8"].manifest).replace(
        b'"model.onnx"', b'"%s"' % name.replace("\0", "\\u0000").encode()
    )
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(BundleError):
        load_bundle(write(tmp_path / "bundle", text))


def checked(folder: Path) -> list[Path]:
    """The files of a folder's bundle, held against their digests."""
    bundle = load_bundle(folder)
    return [bundle.path(variant) for variant in bundle.manifest.variants]


@pytest.mark.parametrize("what", ["/dev/zero", "/dev/tty", "pipe", "folder", "itself", "nothing", "gigabytes"])
@pytest.mark.parametrize("place", [MANIFEST, "model.onnx"])
def test_what_is_no_ordinary_file_is_refused_unread(what: str, place: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "bundle", manifest.to_toml(MODELS["yolo_v8"].manifest))
    path = folder / place
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "gigabytes":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        path.symlink_to({"itself": path, "nothing": folder / "none"}.get(what, Path(what)))
    with pytest.raises(BundleError):
        checked(folder)


def test_a_link_out_of_the_folder_is_only_read_when_it_is_the_file_of_the_manifest(tmp_path: Path) -> None:
    """A bundle may be made of links; what they lead to is held against its digest like any file."""
    folder = write(tmp_path / "bundle", manifest.to_toml(MODELS["yolo_v8"].manifest))
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "model.onnx").symlink_to(tmp_path / "secret")
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match="is not the file of the manifest"):
        bundle.path(bundle.manifest.reference)


@counts(100, 20_000)
def test_a_bundle_is_written_to_any_folder_or_refused(tmp_path: Path, examples: int) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    text = manifest.to_toml(MODELS["yolo_v8"].manifest).replace(b"0" * 64, digest.encode())
    made = manifest.from_toml(text.replace(b"size_bytes = 1", b"size_bytes = 0"), where="fuzz")

    def promise(name: str) -> None:
        with may_refuse(UsageError, BundleError):
            folder = tmp_path / "out" / name
            bundle = write_bundle(made, model, folder)
            assert bundle.manifest == made

    names = st.one_of(st.text("ab/. \né", max_size=8).filter(lambda name: ".." not in name), st.just("x" * 300))
    hold(promise, examples, name=names.map(lambda name: name.lstrip("/")))
