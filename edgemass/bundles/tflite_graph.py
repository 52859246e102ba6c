"""Reads what exporters append to a TFLite file: a zip with metadata and labels."""

from __future__ import annotations

import ast
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass.bundles import labels
from edgemass.errors import BundleError

_METADATA_NAMES = ("metadata.json", "temp_meta.txt")  # Ultralytics, newer and older
_MAX_MEMBERS = 64
_MAX_MEMBER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Appendix:
    """metadata: the exporter's own key-value texts; labels: one name per class, or ()."""

    metadata: Mapping[str, str]
    labels: tuple[str, ...]


def read(path: Path) -> Appendix:
    """What is appended to the model; empty where nothing is, or nothing that can be read.

    Raises:
        BundleError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = _texts(archive)
    except zipfile.BadZipFile:
        return Appendix({}, ())
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    metadata: dict[str, str] = {}
    named: tuple[str, ...] = ()
    for name in _METADATA_NAMES:
        values = _mapping(texts.pop(name, ""))
        metadata |= {str(key): value if isinstance(value, str) else repr(value) for key, value in values.items()}
        named = named or labels.from_value(values.get("names"))
    for name, text in texts.items():
        if not named and name.lower().endswith(".txt") and "label" in name.lower():
            named = _lines(text)
    return Appendix(metadata, named)


def _texts(archive: zipfile.ZipFile) -> dict[str, str]:
    """The members that are small texts; a member that unpacks to more than it says ends at the cap."""
    found: dict[str, str] = {}
    for member in archive.infolist()[:_MAX_MEMBERS]:
        if member.is_dir() or member.file_size > _MAX_MEMBER_BYTES:
            continue
        try:
            with archive.open(member) as file:
                data = file.read(_MAX_MEMBER_BYTES)
            found[Path(member.filename).name] = data.decode("utf-8-sig")
        except (UnicodeDecodeError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
            continue  # packed or encrypted in a way that no exporter uses: the model itself may still be fine
    return found


def _mapping(text: str) -> dict[object, object]:
    """A JSON object or a Python literal; {} for anything else."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def _lines(text: str) -> tuple[str, ...]:
    try:
        return labels.parse_text(text)
    except ValueError:
        return ()
