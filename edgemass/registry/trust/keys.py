"""Private keys in files: Ed25519, PKCS8 as PEM, with a passphrase if wanted; readable by their owner alone."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from edgemass import durable
from edgemass.errors import UsageError

MODE = 0o600


def create(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """A new key in a new file; its public half lies beside it as .pub.

    Raises:
        UsageError: the file is there already.
    """
    if path.exists():
        raise UsageError(f"{path} is there already; a key is never overwritten")
    private = Ed25519PrivateKey.generate()
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    durable.write_bytes(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption), mode=MODE)
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    durable.write_bytes(path.with_suffix(".pub"), public)
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def load(path: Path, passphrase: bytes | None) -> CryptoSigner:
    """Read a private key.

    Raises:
        UsageError: it cannot be read, is none, others may read it too, or the passphrase is wrong.
    """
    data = _read(path)
    if path.stat().st_mode & 0o077 and path.stat().st_uid == os.geteuid():
        raise UsageError(f"{path} can be read by others; do `chmod 600 {path}`, and change the key if they may have")
    try:
        private = load_pem_private_key(data, passphrase)
    except TypeError as error:
        what = "is not encrypted, but a passphrase was given" if passphrase else "is encrypted; give --passphrase-file"
        raise UsageError(f"{path} {what}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: no private key as PEM, or another passphrase") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise UsageError(f"{path}: found another kind of key, wanted Ed25519")
    return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))


def load_public(path: Path) -> SSlibKey:
    """Read the public half, from a .pub file.

    Raises:
        UsageError: it is none.
    """
    try:
        public = load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: no public key as PEM; wanted the .pub file beside a private key") from error
    if not isinstance(public, Ed25519PublicKey):
        raise UsageError(f"{path}: found another kind of key, wanted Ed25519")
    return SSlibKey.from_crypto(public)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
