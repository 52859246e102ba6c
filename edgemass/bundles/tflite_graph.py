"""Reads what exporters append to a TFLite file: a zip with metadata and labels."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemass.bundles import labels
from edgemass.errors import BundleError

_METADATA_NAMES = ("metadata.json", "temp_meta.txt")  # Ultralytics, newer and older
_MAX_ARCHIVE_BYTES = 4 * 1024 * 1024
_MAX_MEMBERS = 64
_MAX_MEMBER_BYTES = 1024 * 1024
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what exporters use; LZMA may ask for any memory
# What the zipfile module raises for archives that are none: ValueError for bad UTF-8 and for seeking before the start,
# IndexError for a member without a name.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,  # NotImplementedError too
    ValueError,
)


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
        tail = _tail(path)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            texts = _texts(archive)
    except _DAMAGE:
        return Appendix({}, ())
    metadata: dict[str, str] = {}
    named: tuple[str, ...] = ()
    for name in _METADATA_NAMES:
        values = _mapping(texts.pop(name, ""))
        metadata |= {
            _clean(str(key)): _clean(value if isinstance(value, str) else repr(value)) for key, value in values.items()
        }
        named = named or labels.from_value(values.get("names"))
    for name, text in texts.items():
        if not named and name.lower().endswith(".txt") and "label" in name.lower():
            named = _lines(text)
    return Appendix(metadata, named)


def _tail(path: Path) -> bytes:
    """The end of the file, which holds the archive: its directory is read at once, and so must not be long."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _MAX_ARCHIVE_BYTES))
        return file.read(_MAX_ARCHIVE_BYTES)


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def _texts(archive: zipfile.ZipFile) -> dict[str, str]:
    """The members that are small texts; a member that unpacks to more than it says ends at the cap."""
    found: dict[str, str] = {}
    for member in archive.infolist()[:_MAX_MEMBERS]:
        try:
            if member.is_dir() or member.file_size > _MAX_MEMBER_BYTES or member.compress_type not in _METHODS:
                continue
            with archive.open(member) as file:
                data = file.read(_MAX_MEMBER_BYTES)
            found[Path(member.filename).name] = data.decode("utf-8-sig")
        except _DAMAGE:
            continue  # packed or encrypted in a way that no exporter uses: the model itself may still be fine
    return found


def _mapping(text: str) -> dict[object, object]:
    """A JSON object or a Python literal; {} for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = labels.literal(text)
    return value if isinstance(value, dict) else {}


def _lines(text: str) -> tuple[str, ...]:
    try:
        return labels.parse_text(text)
    except ValueError:
        return ()
