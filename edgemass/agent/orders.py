"""Orders for a slot: what the fleet sends over MQTT, and what a person leaves as a local file."""

from __future__ import annotations

import base64
import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edgemass import durable
from edgemass.clock import Clock, rfc3339
from edgemass.messages import Desired, to_json
from edgemass.store import ModelStore

MAX_BYTES = 65536
FOLDER = "desired"
_LOCAL_NS = 10 * 365 * 86400 * 1_000_000_000  # nobody takes a local order for an old one

Origin = Literal["fleet", "local"]


@dataclass(frozen=True)
class Order:
    """document: a DSSE envelope of the fleet, whose signature is not checked yet, or a plain `Desired` of a local file.

    claimed: what the document says, to tell it from others; believe it only where the origin is local.
    """

    origin: Origin
    document: bytes
    claimed: Desired


class _Envelope(msgspec.Struct, frozen=True):
    payload: str


def read(document: bytes, *, local: bool) -> Order:
    """Tell what a document orders.

    local: it came by a file, whose writer owns the board: no signature is needed. An envelope in it still needs one.

    Raises:
        ValueError: it orders nothing that can be read.
    """
    if len(document) > MAX_BYTES:
        raise ValueError(f"an order of {len(document)} bytes, at most {MAX_BYTES} are read")
    try:
        if local:
            return Order("local", document, msgspec.json.decode(document, type=Desired))
    except msgspec.ValidationError as error:
        if b'"payload"' not in document:
            raise ValueError(f"no order: {error}") from error
    payload = base64.b64decode(msgspec.json.decode(document, type=_Envelope).payload, validate=True)
    return Order("fleet", document, msgspec.json.decode(payload, type=Desired))


def leave(state: Path, store: ModelStore, *, device: str, slot: str, name: str, digest: str, clock: Clock) -> int:
    """Leave a local order, which the daemon follows as soon as it sees it, or when it next starts; its sequence.

    state: the device's state folder.

    Raises:
        OSError: it cannot be written.
    """
    path = state / FOLDER / f"{slot}.json"
    sequence = store.slot(slot).sequences.get("local", 0)
    with contextlib.suppress(OSError, ValueError):
        waiting = read(path.read_bytes(), local=True)
        sequence = max(sequence, waiting.claimed.sequence if waiting.origin == "local" else 0)
    now_ns = clock.time_ns()
    desired = Desired(
        device=device,
        slot=slot,
        sequence=sequence + 1,
        issued=rfc3339(now_ns),
        expires=rfc3339(now_ns + _LOCAL_NS),
        name=name,
        digest=digest,
    )
    durable.make_folder(path.parent, mode=0o700)
    durable.write_bytes(path, to_json(desired))
    return desired.sequence


class Inbox:
    """Holds the newest order of each origin until it is taken. For any thread.

    The same document again is no new order: a broker sends what it retains on every connect.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[Origin, Order] = {}
        self._seen: dict[Origin, bytes] = {}
        self.filled = threading.Event()

    def put(self, order: Order) -> None:
        with self._lock:
            if self._seen.get(order.origin) == order.document:
                return
            self._seen[order.origin] = order.document
            self._waiting[order.origin] = order
            self.filled.set()

    def take(self) -> Order | None:
        """An order that nobody has taken; the fleet's first, since a local one stays in its file."""
        with self._lock:
            order = self._waiting.pop("fleet", None) or self._waiting.pop("local", None)
            if not self._waiting:
                self.filled.clear()
            return order

    def waiting(self) -> tuple[Order, ...]:
        """All that nobody has taken."""
        with self._lock:
            return tuple(self._waiting.values())


class LocalFile:
    """A file that is looked at now and then; `document` gives its content once after every change."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: tuple[int, ...] = ()

    def changed(self) -> bytes | None:
        """What the file holds, where it is another one than at the last call.

        Raises:
            OSError: it is there and cannot be read.
        """
        try:
            status = self.path.stat()
            told = (status.st_ino, status.st_mtime_ns, status.st_size)
            if told == self._known:
                return None
            with self.path.open("rb") as file:
                document = file.read(MAX_BYTES + 1)
            self._known = told
            return document
        except FileNotFoundError:
            self._known = ()
            return None
