"""What is remembered of a slot, and how it is written: one line of JSON under its own checksum."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Origin = Literal["", "fleet", "local"]
What = Literal["trial", "confirmed", "rolled_back", "refused", "unusable", "rebuilt", "interrupted"]

MOST_REFUSED = 200
MOST_HISTORY = 100


class Kept(msgspec.Struct, frozen=True):
    """A model that was confirmed. since: RFC 3339; "" where that is only supposed, see `rules.rebuilt`."""

    digest: str
    since: str = ""


class Trial(msgspec.Struct, frozen=True):
    """A model that has still to show itself.

    tries: starts of it so far, counted before it is loaded. boot_id: of the last of them; "" where that process has
    ended well since, so that a further start says nothing against the model.
    """

    digest: str
    tries: int
    boot_id: str
    since: str = ""
    sequence: int = 0
    origin: Origin = ""


class Happened(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a slot's history. at: RFC 3339."""

    at: str
    what: What
    digest: str = ""
    reason: str = ""


class SlotState(msgspec.Struct, frozen=True):
    """confirmed: newest first; the first is what runs where nothing is on trial.

    sequences: origin -> the newest order that was followed. refused: digest -> why it is not tried again.
    """

    confirmed: tuple[Kept, ...] = ()
    trial: Trial | None = None
    sequences: dict[str, int] = {}
    refused: dict[str, str] = {}
    history: tuple[Happened, ...] = ()

    @property
    def running(self) -> str | None:
        """Digest of what is to run; None where there is nothing."""
        if self.trial is not None:
            return self.trial.digest
        return self.confirmed[0].digest if self.confirmed else None


class Start(msgspec.Struct, frozen=True):
    """What a process is to load.

    digest: None = whatever the board came with. reason: what happened before, "" = nothing.
    """

    digest: str | None
    trial: bool = False
    reason: str = ""


def encode(state: SlotState) -> bytes:
    body = msgspec.json.encode(state)
    return hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"


def decode(data: bytes) -> SlotState | None:
    """None where it is torn or was changed."""
    checksum, _, body = data.rstrip(b"\n").partition(b" ")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        return None
    try:
        return msgspec.json.decode(body, type=SlotState)
    except msgspec.DecodeError:
        return None
