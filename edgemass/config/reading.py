"""Reading tables strictly: what is wrong is said with its place and the nearest word that would do."""

from __future__ import annotations

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edgemass.config.explaining import explain
from edgemass.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 4 * 1024 * 1024


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(_text(path))
    except ValueError as error:  # TOML's errors, UTF-8's, and Python's about a number of thousands of digits
        raise ConfigError(f"{path} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is not TOML: it is nested too deeply") from error


def _text(path: Path) -> str:
    """The text of a file, at most MAX_BYTES.

    Raises:
        ConfigError: it cannot be read, is no file, or is larger.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is no file; wanted TOML")
        if status.st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB; wanted a configuration")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f'cannot read {path}: {error.strerror}; name the right file, or write one: model = "MODEL", and a table '
            '[cameras.NAME] with source = "SOURCE" for each camera, are enough'
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def join(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables as one, those in them too; where both have a value, that of `above` counts."""
    joined = dict(below)
    for key, value in above.items():
        before: Any = joined.get(key)
        inner = isinstance(value, Mapping) and isinstance(before, Mapping)
        joined[key] = join(before, value) if inner else value
    return joined


_T = TypeVar("_T", bound=msgspec.Struct)


def convert(table: Mapping[str, Any], kind: type[_T], where: str) -> _T:
    """A table as a typed value.

    where: what an error begins with: file and camera.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a missing one, or a value that does not fit.
    """
    try:
        return msgspec.convert(dict(table), kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {explain(str(error), kind)}") from error
