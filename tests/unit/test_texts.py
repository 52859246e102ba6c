from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgemass.errors import UsageError
from edgemass.texts import MAX_TEXT_BYTES, as_image, read_labelled


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "truth.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_text_travels_as_a_row_of_its_bytes() -> None:
    image = as_image("né".encode())
    assert image.shape == (1, 3, 3)
    assert image.dtype == np.uint8
    assert bytes(image[0, :, 0]) == "né".encode()


def test_columns_are_found_by_name_and_others_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufefflabel,source,text\ngood,web,"a, ""b""\nc"\nbad,mail,d\n')
    assert read_labelled(path) == [('a, "b"\nc', "good"), ("d", "bad")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "no column 'text'.*nothing"),
        ("text,label\n", "no rows"),
        ("file,label\na.png,1\n", "no column 'text'.*file, label"),
        ("text,class\nhello,1\n", "no column 'label'.*text, class"),
        ("text,label\nhello\n", "line 2: no label"),
        ("text,label\n,good\n", "line 2: no text"),
        (b"text,label\n\xff\xfe,good\n", "not UTF-8"),
        (f"text,label\n{'é' * (MAX_TEXT_BYTES // 2 + 1)},good\n", f"line 2: the text has {MAX_TEXT_BYTES + 2} bytes"),
        (f"text,label\n{'a' * (MAX_TEXT_BYTES + 1)},good\n", "field larger than"),
        ('text,label\n"open,good\n', "not CSV"),
    ],
)
def test_what_is_no_table_of_texts_is_refused_in_words(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(UsageError, match=f"(?s)truth.csv.*{told}"):
        read_labelled(write(tmp_path, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.csv: No such file"):
        read_labelled(tmp_path / "nothing.csv")
