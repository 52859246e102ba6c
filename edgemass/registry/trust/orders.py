"""The fleet's orders: DSSE envelopes, signed with Ed25519."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import msgspec
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SignatureError
from securesystemslib.signer import Key, Signer, SSlibKey

from edgemass.errors import TrustError
from edgemass.messages import Desired, to_json

PAYLOAD_TYPE = "application/vnd.edgemass.desired.v1+json"
SLACK_S = 3600.0
"""By which the fleet's clock may be ahead of this board's."""
_MOST_SIGNATURES = 8


def sign(desired: Desired, signer: Signer) -> bytes:
    """The envelope that a device follows."""
    envelope = Envelope(to_json(desired), PAYLOAD_TYPE, {})
    envelope.sign(signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()


def verify(envelope: bytes, key: Callable[[str], str | None]) -> Desired:
    """The order in an envelope that at least one known key signed.

    key: the public Ed25519 key, hexadecimal, of a key id; None = it is no key of the fleet.

    Raises:
        TrustError: it is no envelope, or nobody who may has signed it.
    """
    try:
        found = Envelope.from_dict(json.loads(envelope))
        keyids = list(found.signatures)[:_MOST_SIGNATURES]
        keys: list[Key] = [_public(keyid, value) for keyid in keyids if (value := key(keyid)) is not None]
        if found.payload_type != PAYLOAD_TYPE:
            raise TrustError(f"the order has type {found.payload_type!r}, wanted {PAYLOAD_TYPE}")
        if not keys:
            raise TrustError(f"the order is signed by {', '.join(keyids) or 'nobody'}, which is no key of the fleet")
        found.verify(keys, 1)
        return msgspec.json.decode(found.payload, type=Desired)
    except SignatureError as error:
        raise TrustError(f"the signature of the order is wrong: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError(f"the order is no signed envelope: {error}") from error


def _public(keyid: str, hexadecimal: str) -> SSlibKey:
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": hexadecimal})


def check(desired: Desired, *, device: str, slot: str, last_sequence: int, now_s: float) -> None:
    """Whether a signed order is for this slot, newer than the last, and still holds.

    An order with the sequence of the last one is the same order again, and nothing new.

    Raises:
        TrustError: it is not to be followed.
    """
    if (desired.device, desired.slot) != (device, slot):
        raise TrustError(f"the order is for slot {desired.slot} of device {desired.device}, this is {slot} of {device}")
    if desired.sequence < last_sequence:
        raise TrustError(f"the order has sequence {desired.sequence}, one with {last_sequence} was followed already")
    if _unix(desired.expires) <= now_s:
        raise TrustError(f"the order has expired at {desired.expires}")
    if _unix(desired.issued) > now_s + SLACK_S:
        raise TrustError(f"the order was issued at {desired.issued}, which is yet to come")


def _unix(time: str) -> float:
    try:
        return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
    except ValueError as error:
        raise TrustError(f"the order names a time that is none: {time}") from error
