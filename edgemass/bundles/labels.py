"""Names of classes: the lists that published exports share, and label files."""

from __future__ import annotations

import ast
import json
import re
import stat
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgemass.errors import BundleError

UNUSED = "???"
"""Stands for a class that a model has room for and that was never trained, as in TensorFlow's label maps."""

MAX_FILE_BYTES = 8 * 1024 * 1024


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


# The 90 ids of COCO's categories in order (Lin et al. 2014, "Microsoft COCO"); 10 of them were never annotated.
_COCO90 = _names(
    """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, ???, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, ???, backpack, umbrella,
    ???, ???, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove,
    skateboard, surfboard, tennis racket, bottle, ???, wine glass, cup, fork, knife, spoon, bowl, banana, apple,
    sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, ???, dining table,
    ???, ???, toilet, ???, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink,
    refrigerator, ???, book, clock, vase, scissors, teddy bear, hair drier, toothbrush
    """
)

NAMED: Mapping[str, tuple[str, ...]] = {
    "coco80": tuple(name for name in _COCO90 if name != UNUSED),
    "coco90": _COCO90,
    "coco91": (UNUSED, *_COCO90),  # the position is the category's id
    # Alphabetical, as in the development kit of the PASCAL VOC challenge 2007.
    "voc20": _names(
        "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse, motorbike, "
        "person, pottedplant, sheep, sofa, train, tvmonitor"
    ),
    "face": ("face",),
    "palm": ("palm",),  # of MediaPipe, like person
    "person": ("person",),
    "digits": tuple("0123456789"),
}

KEYS = ("names", "labels", "class_names", "classes")
"""Of a file's metadata, under which exporters write them."""

MAX_LITERAL = 512 * 1024
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_INDEXED = re.compile(r"(?P<index>\d+)(?:\s*[:,]\s*|\s+)(?P<name>\S.*)")


def read_file(path: Path) -> tuple[str, ...]:
    """Labels from a file: one a line, lines that all begin with their number ("0 person", "0: person"), or JSON.

    JSON is a list of names or an object from number to name.

    Raises:
        BundleError: the file cannot be read, is no text, or names no class.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BundleError(f"labels: {path} is no file; give a file with one label a line")
        data = path.read_bytes() if status.st_size <= MAX_FILE_BYTES else None
    except OSError as error:
        raise BundleError(f"labels: cannot read {path}: {error.strerror}; give a file with one label a line") from error
    if data is None:
        raise BundleError(f"labels: {path} is larger than {MAX_FILE_BYTES >> 20} MiB; give one label a line")
    try:
        labels = parse_text(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError) as error:
        raise BundleError(f"labels: {path} is no list of labels ({error}); give one label a line") from error
    if not labels:
        raise BundleError(f"labels: {path} is empty; give one label a line")
    return labels


def parse_text(text: str) -> tuple[str, ...]:
    """The labels of a file's text, which `read_file` describes.

    Raises:
        ValueError: JSON that is no list of names, an empty line between labels, or numbers with gaps.
    """
    stripped = text.strip()
    if stripped.startswith(("[", "{")):
        return _from_json(stripped)
    if "\0" in stripped:
        raise ValueError("it holds binary data")
    lines = [line.strip() for line in stripped.splitlines()]
    numbered = [_INDEXED.fullmatch(line) for line in lines]
    if len(lines) > 1 and all(numbered):
        pairs = {int(match["index"]): match["name"] for match in numbered if match}
        if len(pairs) == len(lines) and min(pairs) in (0, 1):
            return _in_order(pairs)
    if "" in lines:
        raise ValueError(f"line {lines.index('') + 1} is empty")
    return tuple(lines)


def _from_json(text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it looks like JSON, but {error}") from error
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    labels = from_value(value)
    if not labels:
        raise ValueError("the JSON is neither a list of names nor an object from number to name")
    return labels


def from_literal(text: str) -> tuple[str, ...]:
    """Labels from a value in a file's metadata: "{0: 'person', 1: 'bicycle'}" as Ultralytics writes it, JSON, a list.

    Returns () for anything else: metadata is whatever an exporter put there.
    """
    found = from_value(literal(text))
    if found:
        return found
    try:
        return from_value(json.loads(text))
    except (ValueError, RecursionError):
        return ()


def literal(text: str) -> object:
    """The value of a Python literal; None for anything else, and for a text too long to be parsed in a moment."""
    if len(text) > MAX_LITERAL:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are none
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, ArithmeticError, MemoryError, RecursionError):
        return None


def from_value(value: object) -> tuple[str, ...]:
    """Labels from a list of names or a mapping from number to name; () for anything else."""
    if isinstance(value, (list, tuple)):
        return tuple(value) if all(map(_is_name, value)) else ()
    if not isinstance(value, dict):
        return ()
    try:
        pairs = {int(index): name for index, name in value.items()}
        return _in_order(pairs) if len(pairs) == len(value) and all(map(_is_name, pairs.values())) else ()
    except (ValueError, TypeError, ArithmeticError):
        return ()


def _is_name(value: object) -> bool:
    """A text that can be written to a file: halves of surrogate pairs cannot."""
    return isinstance(value, str) and value != "" and not _HALF_PAIR.search(value)


def _in_order(pairs: Mapping[int, str]) -> tuple[str, ...]:
    """The names by number; the first number is 0 or 1.

    Raises:
        ValueError: numbers with gaps.
    """
    if not pairs:
        return ()
    first = min(pairs)
    if first not in (0, 1) or max(pairs) - first + 1 != len(pairs):
        raise ValueError(f"the numbers run from {first} to {max(pairs)}, but there are {len(pairs)} names")
    return tuple(pairs[index] for index in sorted(pairs))


def generic(count: int) -> tuple[str, ...]:
    """Names for classes that nobody named."""
    return tuple(f"class_{index}" for index in range(count))


def counted(labels: Sequence[str]) -> int:
    """How many classes were really trained."""
    return sum(label != UNUSED for label in labels)
