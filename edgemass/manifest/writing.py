"""Manifests as TOML, which people write, and as the canonical JSON that digests are made of."""

from __future__ import annotations

import re

import msgspec

from edgemass.errors import BundleError
from edgemass.manifest.manifest import Manifest

_MAX_DEPTH = 64
# A key of many parts; tomllib takes quadratic time for them, and no manifest nests as deep.
_DEEP_KEY = re.compile(
    rb"""(?:(?:(?<![A-Za-z0-9_-])[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){%d}""" % _MAX_DEPTH
)


def from_toml(text: bytes, *, where: str) -> Manifest:
    """Parse `manifest.toml`.

    where: what the error names, usually the file's path.

    Raises:
        BundleError: not TOML, an unknown or missing key, or fields that contradict each other.
    """
    if _DEEP_KEY.search(text):
        raise BundleError(f"{where}: a key has more than {_MAX_DEPTH} parts; wanted a manifest")
    try:
        return msgspec.toml.decode(text, type=Manifest)
    except RecursionError as error:
        raise BundleError(f"{where}: it is nested too deeply; wanted a manifest") from error
    except ValueError as error:  # msgspec's errors, UTF-8's, and Python's about a number of thousands of digits
        raise BundleError(f"{where}: {error}; compare with the manifest that `edgemass model import` writes") from error


def to_json(manifest: Manifest) -> bytes:
    """Canonical JSON: keys sorted, no spaces, so that equal manifests have equal digests."""
    return msgspec.json.encode(manifest, order="deterministic")


def from_json(data: bytes, *, where: str) -> Manifest:
    """Parse the canonical JSON.

    Raises:
        BundleError: as `from_toml`.
    """
    try:
        return msgspec.json.decode(data, type=Manifest)
    except RecursionError as error:
        raise BundleError(f"{where}: it is nested too deeply; wanted a manifest") from error
    except ValueError as error:
        raise BundleError(f"{where}: {error}") from error


def to_toml(manifest: Manifest) -> bytes:
    """The manifest as a person edits it."""
    return msgspec.toml.encode(manifest)
