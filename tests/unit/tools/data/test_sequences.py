from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.sources.images import read
from edgemass_tools.data import sequences


def write(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def test_without_anything_to_measure_with_every_fifth_of_a_class_is_held_out(tmp_path: Path) -> None:
    rows = [(f"{label}{number}", label) for number in range(10) for label in ("a", "b")]
    data = sequences.texts(write(tmp_path, rows), None)
    assert data.labels == ("a", "b")
    assert data.held.items == [b"a4", b"b4", b"a9", b"b9"]
    assert data.held.class_id == [0, 1, 0, 1]
    assert len(data.train.items) == 16


def test_what_was_held_out_is_read_again_as_it_was(tmp_path: Path) -> None:
    rows = [(f'"{label}",\n{number}', label) for number in range(5) for label in ("ä", "b")]
    data = sequences.texts(write(tmp_path, rows), None)
    again = sequences.texts(sequences.write_held(data, tmp_path / "held"), None)
    assert [*again.train.items, *again.held.items] == data.held.items


def test_a_sheet_of_another_size_is_refused_with_the_wanted_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((20, 40, 3), np.uint8))
    with pytest.raises(UsageError, match="40x20 pixels, a sheet of 5,000 digits has 2000x1000"):
        sequences.pictures(tmp_path / "small.png", None, 28)


@pytest.mark.assets
def test_the_sheet_of_digits_gives_4000_to_learn_from_and_1000_others(assets: Path, tmp_path: Path) -> None:
    data = sequences.sheet(assets / "pictures" / "digits.png")
    assert (len(data.train.items), len(data.held.items)) == (4000, 1000)
    assert np.bincount(data.train.class_id).tolist() == [400] * 10
    assert np.bincount(data.held.class_id).tolist() == [100] * 10
    whole = read(assets / "pictures" / "digits.png")[:, :, 0]
    assert np.array_equal(data.held.items[0][4:24, 4:24], whole[:20, 80:100])  # the fifth column
    truth = sequences.write_held(data, tmp_path)
    assert len(truth.read_text().splitlines()) == 1001
    assert np.array_equal(read(tmp_path / "00999.png")[:, :, 0], data.held.items[999])
