"""Label lists and label files."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass.bundles import labels
from edgemass.errors import BundleError


def test_the_named_lists_have_the_published_lengths() -> None:
    lengths = {name: len(names) for name, names in labels.NAMED.items()}
    one = dict.fromkeys(("face", "palm", "person"), 1)
    assert lengths == {"coco80": 80, "coco90": 90, "coco91": 91, "voc20": 20, "digits": 10, **one}


def test_the_position_in_coco91_is_the_category_id() -> None:
    # Ids of COCO's own annotation files.
    by_id = {1: "person", 18: "dog", 44: "bottle", 70: "toilet", 90: "toothbrush"}
    assert {index: labels.NAMED["coco91"][index] for index in by_id} == by_id
    assert labels.counted(labels.NAMED["coco91"]) == 80


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeffcat\r\ndog\r\n\r\n\n", ("cat", "dog")),
        ("  cat \n traffic light  ", ("cat", "traffic light")),
        ("crane\nmaillot\ncrane\n", ("crane", "maillot", "crane")),
        ("0 cat\n1 traffic light\n", ("cat", "traffic light")),
        ("1: traffic light\n0: cat\n", ("cat", "traffic light")),
        ("1 cat\n2 dog\n", ("cat", "dog")),
        ("0\n1\n2\n", ("0", "1", "2")),
        ("3 musketeers\n3 musketeers\n", ("3 musketeers", "3 musketeers")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ("background\n???\ncat", ("background", "???", "cat")),
        ("tench, Tinca tinca\ngoldfish", ("tench, Tinca tinca", "goldfish")),
    ],
)
def test_the_usual_forms_of_label_files_are_read(tmp_path: Path, text: str, wanted: tuple[str, ...]) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(text.encode())
    assert labels.read_file(path) == wanted


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"cat\n\ndog\n", "line 2 is empty"),
        (b"\xff\xfe\x00cat", "no list of labels"),
        (b"TFL3\x00\x01\x00", "binary data"),
        (b'["cat", 3]', "neither a list of names"),
        (b'{"0": "cat", "2": "dog"}', "neither a list of names"),
        (b'{"0": "cat", ', "it looks like JSON, but"),
        (b"[" * 100_000, "no list of labels"),
        (b"0 cat\n2 dog\n", "the numbers run from 0 to 2, but there are 2 names"),
    ],
)
def test_what_is_no_list_of_labels_is_refused_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=found) as caught:
        labels.read_file(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_label_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot read .*nothing\.txt: No such file"):
        labels.read_file(tmp_path / "nothing.txt")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{0: 'person', 1: 'bicycle'}", ("person", "bicycle")),
        ("['person', 'bicycle']", ("person", "bicycle")),
        ('{"0": "person", "1": "bicycle"}', ("person", "bicycle")),
        ('["person"]', ("person",)),
        ("", ()),
        ("{0: 'a', 5: 'b'}", ()),
        ("__import__('os').getcwd()", ()),
        ("{0: 1}", ()),
        ("person,bicycle", ()),
        ("(" * 10_000, ()),
    ],
)
def test_names_in_metadata_are_read_as_values_and_never_run(text: str, wanted: tuple[str, ...]) -> None:
    assert labels.from_literal(text) == wanted
