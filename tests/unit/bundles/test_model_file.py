"""Telling a model file by its first bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemass.bundles.model_file import MAX_MODEL_BYTES, format_of
from edgemass.errors import BundleError


def write(folder: Path, content: bytes) -> Path:
    path = folder / "file.bin"
    path.write_bytes(content)
    return path


def test_tflite_is_told_by_its_mark_whatever_the_name(tmp_path: Path) -> None:
    assert format_of(write(tmp_path, b"\x1c\0\0\0TFL3\x14\0")) == "tflite"


def test_onnx_is_what_begins_like_a_protobuf(tmp_path: Path) -> None:
    assert format_of(write(tmp_path, b"\x08\x07\x12\x07pytorch")) == "onnx"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"\n\n <html>", "is a web page"),
        (b"<?xml version='1.0'?><net/>", "is XML"),
        (b'{"error": "not found"}', r"is text \('{\"error\": \"not found\"}'\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer.*git lfs pull"),
        (b"PK\x03\x04\x14\0", "zip archive"),
        (b"\x80\x02}q", "Python pickle"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\0\0\0ORTM", r"\.ort"),
        (b"\x89PNG\r\n\x1a\n", "PNG picture"),
        (bytes(5000), "zeros only"),
        ("Fehlermeldung: größer".encode(), "is text"),
    ],
)
def test_what_is_no_model_is_named_in_one_line_with_what_was_wanted(tmp_path: Path, content: bytes, found: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(BundleError, match=found) as caught:
        format_of(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "; " in str(caught.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not exist"):
        format_of(tmp_path / "nothing.onnx")
    with pytest.raises(BundleError, match=r"is a folder without manifest\.toml"):
        format_of(tmp_path)


def test_a_file_larger_than_protobuf_can_hold_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(MAX_MODEL_BYTES + 1)  # sparse: takes no disk
    with pytest.raises(BundleError, match="wanted at most"):
        format_of(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_says_why(tmp_path: Path) -> None:
    path = write(tmp_path, b"\x08\x07")
    path.chmod(0)
    with pytest.raises(BundleError, match="Permission denied"):
        format_of(path)
