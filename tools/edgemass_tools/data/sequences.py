"""What sequence nets learn from: small grey pictures read row by row, or texts, each with a label."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np

from edgemass.errors import SourceError, UsageError
from edgemass.frame import Image
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec, Resize
from edgemass.sources.images import find, read
from edgemass.tensors import AnyArray
from edgemass.texts import read_labelled

TRUTH = "truth.csv"
HELD_EVERY = 5
"""Where nothing is given to measure with, every fifth item of a class, or column of a sheet, is held out."""

SHEET_COLUMNS, SHEET_ROWS = 100, 50
SHEET_CELL, SHEET_EDGE = 20, 4  # pixels; the black edge makes MNIST's 28x28 of 20x20

Item = TypeVar("Item")


@dataclass(frozen=True)
class Labelled(Generic[Item]):
    """items: pictures (side, side) of uint8, light on dark, or texts as UTF-8. class_id: of each, into the labels."""

    items: Sequence[Item]
    class_id: Sequence[int]


@dataclass(frozen=True)
class Data(Generic[Item]):
    """train: learnt from. held: measured with. description: one line for the card."""

    train: Labelled[Item]
    held: Labelled[Item]
    labels: tuple[str, ...]
    description: str


def texts(data: Path, val: Path | None) -> Data[bytes]:
    """Texts of one CSV (text,label), or of two.

    Raises:
        UsageError: see texts.read_labelled; or a label to measure with that nothing is learnt of, or only one label.
    """
    rows = [(text.encode(), label) for text, label in read_labelled(data)]
    held = None if val is None else [(text.encode(), label) for text, label in read_labelled(val)]
    return _data(rows, held, str(data.name), "texts")


def pictures(data: Path, val: Path | None, side: int) -> Data[AnyArray]:
    """Pictures of a folder with one folder a class, or of two such; or a sheet of 5,000 digits as OpenCV's digits.png.

    Raises:
        UsageError: no folders in it, a sheet of another size, or a label to measure with that nothing is learnt of.
        SourceError: a picture cannot be read.
    """
    if data.is_file():
        return sheet(data, side)
    rows = _folders(data, side)
    held = None if val is None else _folders(val, side)
    return _data(rows, held, str(data.name), "pictures")


def sheet(path: Path, side: int = SHEET_CELL + 2 * SHEET_EDGE) -> Data[AnyArray]:
    """The cells of a sheet of handwritten digits, five rows of a hundred for each; every fifth column is held out.

    Raises:
        UsageError: it is no such sheet.
    """
    size = (SHEET_ROWS * SHEET_CELL, SHEET_COLUMNS * SHEET_CELL)
    try:
        image = read(path)
    except SourceError as error:
        raise UsageError(f"{error}; wanted a sheet of digits or a folder with one folder a class") from error
    if image.shape[:2] != size or side != SHEET_CELL + 2 * SHEET_EDGE:
        found = f"{image.shape[1]}x{image.shape[0]}"
        raise UsageError(
            f"{path} has {found} pixels, a sheet of 5,000 digits has {size[1]}x{size[0]} and makes pictures of 28x28; "
            "give one, or a folder with one folder a class"
        )
    cells = image[:, :, 0].reshape(SHEET_ROWS, SHEET_CELL, SHEET_COLUMNS, SHEET_CELL).swapaxes(1, 2)
    cells = np.pad(cells, ((0, 0), (0, 0), (SHEET_EDGE, SHEET_EDGE), (SHEET_EDGE, SHEET_EDGE)))
    digit = np.arange(SHEET_ROWS) * 10 // SHEET_ROWS
    parts = []
    held_columns = np.arange(SHEET_COLUMNS) % HELD_EVERY == HELD_EVERY - 1
    for columns in (~held_columns, held_columns):
        chosen = cells[:, columns].reshape(-1, side, side)
        parts.append(Labelled(list(chosen), np.repeat(digit, int(columns.sum())).tolist()))
    return Data(
        parts[0],
        parts[1],
        tuple("0123456789"),
        f"{path.name}: {len(parts[0].items)} digits, {len(parts[1].items)} more held out (columns 5, 10, ... of 100)",
    )


def _folders(folder: Path, side: int) -> list[tuple[AnyArray, str]]:
    """Pictures (side, side) of uint8 as a device would make them, with the names of their folders."""
    spec = InputSpec(
        name="", layout="NHW", dtype="uint8", width=side, height=side, color="GRAY", resize=Resize(interpolation="area")
    )
    prepare = Preprocessor(spec)
    classes = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not classes:
        raise UsageError(f"{folder} holds no folders; wanted one folder of pictures for each class")
    return [(_grey(prepare, read(path)), place.name) for place in classes for path in find(str(place))]


def _grey(prepare: Preprocessor, image: Image) -> AnyArray:
    grey: AnyArray = prepare(image)[0][0].copy()
    return grey


def _data(rows: list[tuple[Item, str]], held: list[tuple[Item, str]] | None, name: str, what: str) -> Data[Item]:
    """Held-out items are given, or every fifth of each class."""
    if held is None:
        rows, held = _split(rows)
    labels = tuple(sorted({label for _, label in rows}))
    strange = sorted({label for _, label in held} - set(labels))
    if strange:
        raise UsageError(f"{name}: nothing to learn of {strange[0]!r}, which is measured with; give it examples")
    if len(labels) < 2:
        raise UsageError(f"{name}: only the class {', '.join(labels)}; wanted two or more")
    ids = {label: number for number, label in enumerate(labels)}
    train, kept = (Labelled([item for item, _ in part], [ids[label] for _, label in part]) for part in (rows, held))
    return Data(train, kept, labels, f"{name}: {len(rows)} {what} of {len(labels)} classes, {len(held)} more held out")


def _split(rows: list[tuple[Item, str]]) -> tuple[list[tuple[Item, str]], list[tuple[Item, str]]]:
    seen: dict[str, int] = {}
    parts: tuple[list[tuple[Item, str]], list[tuple[Item, str]]] = ([], [])
    for row in rows:
        seen[row[1]] = seen.get(row[1], 0) + 1
        parts[seen[row[1]] % HELD_EVERY == 0].append(row)
    return parts


def write_held(data: Data[Any], folder: Path) -> Path:
    """Held-out items as `edgemass eval` reads them; returns the CSV: text,label, or file,label of pictures beside it.

    Raises:
        UsageError: the folder cannot be written.
    """
    names = [data.labels[class_id] for class_id in data.held.class_id]
    rows = [("text" if isinstance(data.held.items[0], bytes) else "file", "label")]
    truth = folder / TRUTH
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (item, name) in enumerate(zip(data.held.items, names, strict=True)):
            if isinstance(item, bytes):
                rows.append((item.decode(), name))
                continue
            rows.append((f"{number:05d}.png", name))
            (folder / rows[-1][0]).write_bytes(cv2.imencode(".png", item)[1].tobytes())
        with truth.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}; choose another folder with -o") from error
    return truth
