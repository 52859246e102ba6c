"""Texts: how they travel as frames, and tables of texts with their labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgemass.errors import UsageError
from edgemass.frame import Image

MAX_TEXT_BYTES = 131_072
"""Of one text: a line of a log is far shorter, and Python's csv refuses longer fields too."""

COLUMNS = ("text", "label")


def as_image(text: bytes) -> Image:
    """A text on its way through a camera's line: a picture of one row, (1, bytes, 3), with a byte for each pixel."""
    return np.broadcast_to(np.frombuffer(text, np.uint8)[None, :, None], (1, len(text), 3))


def read_labelled(path: Path) -> list[tuple[str, str]]:
    """Rows of (text, label) of a CSV with a header that names these two columns; others are left out.

    Raises:
        UsageError: it cannot be read, lacks a column, has no rows, or a row without text, without label, or with a text
            of more than MAX_TEXT_BYTES.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(csv.DictReader(file, strict=True), path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; wanted CSV with the columns text,label") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 (byte {error.start}); wanted CSV in UTF-8") from error
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV: {error}; wanted the columns text,label") from error
    if not rows:
        raise UsageError(f"{path} has no rows of text,label")
    return rows


def _rows(table: csv.DictReader[str], path: Path) -> Iterator[tuple[str, str]]:
    missing = [column for column in COLUMNS if column not in (table.fieldnames or ())]
    if missing:
        found = ", ".join(table.fieldnames or ()) or "nothing"
        raise UsageError(f"{path} has no column {missing[0]!r}, its first line names {found[:200]}; wanted text,label")
    for row in table:
        text, label = row["text"], row["label"]
        if not text or not label:
            raise UsageError(
                f"{path}, line {table.line_num}: no {'label' if text else 'text'}; give both or leave it out"
            )
        size_bytes = len(text.encode())
        if size_bytes > MAX_TEXT_BYTES:
            raise UsageError(
                f"{path}, line {table.line_num}: the text has {size_bytes} bytes, at most {MAX_TEXT_BYTES} are read"
            )
        yield text, label.strip()
