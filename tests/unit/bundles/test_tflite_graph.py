"""What exporters append to TFLite files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from edgemass.bundles import tflite_graph


def model_with(folder: Path, members: dict[str, str], *, compression: int = zipfile.ZIP_STORED) -> Path:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, text in members.items():
            file.writestr(name, text)
    path = folder / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(1000) + archive.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("temp_meta.txt", "{'task': 'detect', 'imgsz': [640, 640], 'names': {0: 'person', 1: 'bicycle'}}"),
        (
            "metadata.json",
            '{\n  "task": "detect",\n  "imgsz": [640, 640],\n  "names": {"0": "person", "1": "bicycle"}\n}',
        ),
    ],
)
def test_ultralytics_metadata_gives_labels_and_texts(tmp_path: Path, name: str, text: str) -> None:
    appendix = tflite_graph.read(model_with(tmp_path, {name: text}))
    assert appendix.labels == ("person", "bicycle")
    assert appendix.metadata["task"] == "detect"
    assert appendix.metadata["imgsz"] == "[640, 640]"


def test_an_associated_label_file_gives_labels(tmp_path: Path) -> None:
    appendix = tflite_graph.read(model_with(tmp_path, {"readme.txt": "hello", "labelmap.txt": "cat\ndog\n"}))
    assert appendix.labels == ("cat", "dog")


def test_a_file_without_appendix_has_none(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(1000))
    assert tflite_graph.read(path) == tflite_graph.Appendix({}, ())


def test_metadata_is_read_as_values_and_never_run(tmp_path: Path) -> None:
    target = tmp_path / "proof"
    appendix = tflite_graph.read(model_with(tmp_path, {"temp_meta.txt": f"open({str(target)!r}, 'w')"}))
    assert appendix == tflite_graph.Appendix({}, ())
    assert not target.exists()


def test_a_member_that_unpacks_to_gigabytes_is_left_alone(tmp_path: Path) -> None:
    bomb = "0" * (tflite_graph._MAX_MEMBER_BYTES + 1)
    path = model_with(tmp_path, {"labels.txt": bomb, "labelmap.txt": "cat"}, compression=zipfile.ZIP_DEFLATED)
    assert tflite_graph.read(path).labels == ("cat",)
