"""Bundles on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemass.bundles.folder import load_bundle, write_bundle
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Manifest


def test_what_was_written_is_loaded_again(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    written = write_bundle(manifest, model_file, tmp_path / "deep" / "bundle")
    loaded = load_bundle(tmp_path / "deep" / "bundle")
    assert loaded.manifest == manifest
    assert loaded.digest == written.digest
    assert loaded.path(manifest.reference).read_bytes() == model_file.read_bytes()
    assert sorted(path.name for path in loaded.folder.iterdir()) == ["manifest.toml", "tiny.onnx"]


def test_an_empty_folder_is_taken(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    (tmp_path / "bundle").mkdir()
    assert write_bundle(manifest, model_file, tmp_path / "bundle").manifest == manifest


def test_a_folder_with_anything_else_in_it_is_left_alone(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        write_bundle(manifest, model_file, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_importing_again_renews_the_manifest_and_keeps_what_lies_beside_it(
    tmp_path: Path, manifest: Manifest, model_file: Path
) -> None:
    write_bundle(manifest, model_file, tmp_path / "bundle")
    (tmp_path / "bundle" / "card.md").write_text("notes")
    again = write_bundle(msgspec.structs.replace(manifest, version="2"), model_file, tmp_path / "bundle")
    assert again.manifest.version == "2"
    assert (tmp_path / "bundle" / "card.md").read_text() == "notes"


def test_a_bundle_of_another_model_is_not_overwritten(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "bundle")
    other = tmp_path / "other.onnx"
    other.write_bytes(model_file.read_bytes())
    variant = msgspec.structs.replace(manifest.reference, file="other.onnx")
    with pytest.raises(UsageError, match=r"no bundle of other\.onnx"):
        write_bundle(msgspec.structs.replace(manifest, variants=(variant,)), other, tmp_path / "bundle")
    assert load_bundle(tmp_path / "bundle").manifest == manifest


def test_a_place_that_cannot_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, manifest: Manifest, model_file: Path
) -> None:
    with pytest.raises(UsageError, match="cannot write") as caught:
        write_bundle(manifest, model_file, model_file / "bundle")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, manifest: Manifest, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, target: Path) -> None:
        target.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgemass.bundles.folder.shutil.copyfile", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_bundle(manifest, model_file, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_model_that_changed_since_the_import_is_not_written(
    tmp_path: Path, manifest: Manifest, model_file: Path
) -> None:
    model_file.write_bytes(b"something else")
    with pytest.raises(BundleError, match="changed while it was imported"):
        write_bundle(manifest, model_file, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("damage", [b"not really a modeL", b"not really", b""])
def test_a_damaged_file_is_never_loaded(tmp_path: Path, manifest: Manifest, model_file: Path, damage: bytes) -> None:
    bundle = write_bundle(manifest, model_file, tmp_path / "bundle")
    (bundle.folder / "tiny.onnx").write_bytes(damage)
    with pytest.raises(BundleError, match="is not the file of the manifest"):
        load_bundle(bundle.folder).path(manifest.reference)


def test_a_missing_file_is_named_at_once(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    bundle = write_bundle(manifest, model_file, tmp_path / "bundle")
    (bundle.folder / "tiny.onnx").unlink()
    with pytest.raises(BundleError, match=r"tiny\.onnx is missing"):
        load_bundle(bundle.folder)


def test_a_folder_without_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="edgemass model import"):
        load_bundle(tmp_path)


def test_a_manifest_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.toml").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(BundleError, match="is larger than 4 MiB"):
        load_bundle(tmp_path)
