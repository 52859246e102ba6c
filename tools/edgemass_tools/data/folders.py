"""Classification data: a folder with one folder of pictures for each class."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemass import durable, evaluate
from edgemass.errors import SourceError, UsageError
from edgemass.sources import images

LEAST_CLASSES = 2
HELD_SHARE = 0.2
"""Of each class, where nothing is given to measure with."""


@dataclass(frozen=True)
class ClassData:
    """paths, class_id: of each picture. labels: by class id. folder: that holds the classes' folders."""

    paths: tuple[Path, ...]
    class_id: tuple[int, ...]
    labels: tuple[str, ...]
    folder: Path

    def take(self, rows: Sequence[int]) -> ClassData:
        """Some of the pictures, by number."""
        paths, class_id = (tuple(column[row] for row in rows) for column in (self.paths, self.class_id))
        return ClassData(paths, class_id, self.labels, self.folder)  # type: ignore[arg-type]

    @property
    def description(self) -> str:
        """One line for the card."""
        return f"{self.folder.name}: {len(self.paths)} pictures of {', '.join(self.labels)}"


def read(folder: Path, labels: Sequence[str] = ()) -> ClassData:
    """Find the pictures of each class; folders whose name begins with a dot do not count.

    labels: the classes that count, in this order; none = all folders, by name.

    Raises:
        UsageError: no such folder, fewer than two classes, one without a folder or pictures, or two of one name.
    """
    wanted = "wanted a folder with one folder of pictures for each class"
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; {wanted}")
    there = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    chosen = tuple(labels) or tuple(there)
    unknown = [label for label in chosen if label not in there]
    if unknown:
        raise UsageError(f"{folder} has no folder {', '.join(unknown)}; it has {', '.join(there[:10]) or 'none'}")
    if len(chosen) < LEAST_CLASSES:
        raise UsageError(f"{folder} holds {len(chosen)} folders, which leaves nothing to tell apart; {wanted}")
    keys = [evaluate.label_key(label) for label in chosen]
    twice = [label for label, key in zip(chosen, keys, strict=True) if not key or keys.count(key) > 1]
    if twice:
        raise UsageError(f"{folder}: {', '.join(twice)} cannot be told apart by letters and digits; rename the folders")
    paths: list[Path] = []
    class_id: list[int] = []
    for number, label in enumerate(chosen):
        try:
            found = images.find(str(folder / label))
        except SourceError as error:
            raise UsageError(f"class {label!r} is empty ({error}); give it pictures or take the folder away") from error
        paths += found
        class_id += [number] * len(found)
    return ClassData(tuple(paths), tuple(class_id), chosen, folder)


def split(data: ClassData, seed: int) -> tuple[ClassData, ClassData]:
    """To learn from and to measure with: a fifth of each class, by chance.

    Raises:
        UsageError: a class has a single picture.
    """
    rng = random.Random(seed)  # noqa: S311 (a choice that can be repeated, no secret)
    learnt, held = [], []
    for number, label in enumerate(data.labels):
        rows = [row for row, class_id in enumerate(data.class_id) if class_id == number]
        if len(rows) < 2:
            raise UsageError(f"class {label!r} has one picture, so none to measure with; give more, or --val-folders")
        rng.shuffle(rows)
        count = max(1, round(len(rows) * HELD_SHARE))
        held += rows[:count]
        learnt += rows[count:]
    return data.take(sorted(learnt)), data.take(sorted(held))


def write_truth(data: ClassData, path: Path) -> None:
    """The CSV that `edgemass eval --labels` reads, with files relative to the data's folder.

    Raises:
        UsageError: it cannot be written.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("file", "label"))
    for file, class_id in zip(data.paths, data.class_id, strict=True):
        rows.writerow((file.relative_to(data.folder).as_posix(), data.labels[class_id]))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        durable.write_bytes(path, text.getvalue().encode())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; choose another folder with -o") from error
