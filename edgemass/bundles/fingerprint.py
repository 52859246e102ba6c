"""What a manifest knows a model file by."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgemass.errors import BundleError

_CHUNK_BYTES = 1 << 20


def fingerprint(path: Path) -> tuple[str, int]:
    """Hexadecimal SHA-256 and size in bytes of a file.

    Raises:
        BundleError: it cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest(), size
