"""What a segment file is made of: records that tell whether they are whole. Rules only.

A record: MARK, kind (u8), length of the body (u32), CRC-32 (u32) of kind, length and body, body (MessagePack). The CRC
begins with the number of the segment, so that what a file system digs up of an older file is no record of this one.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from edgemass.spool.accounts import Run

MARK = b"\xff\xfeES"
"""No UTF-8 text holds it, so that reading finds its way again behind something damaged."""
MAX_BODY = 8 << 20

_HEAD = struct.Struct("<4sBII")
_CHECKED = struct.Struct("<BI")
_DOCUMENT, _STATE = 1, 2


class Document(msgspec.Struct, frozen=True, array_like=True):
    """One event in the queue.

    index: its place; grows by one for every document, over all runs. camera, seq, run_id, boot_id: as in the event.
    mono_ns, time_ns, synced: when it came, by the boot's clock and as Unix time, and whether that could be believed.
    """

    index: int
    run_id: str
    boot_id: str
    camera: str
    seq: int
    mono_ns: int
    time_ns: int
    synced: bool
    payload: bytes


class State(msgspec.Struct, frozen=True, array_like=True):
    """Where the queue stands: it replaces all that was told of that before.

    settled: every document below this index has been delivered or dropped. next_index: of the next one.
    told: runs whose final account is kept by the broker, oldest first.
    day_bytes: written of what may be written a day; day_ns: when that was, on the clock of boot_id.
    """

    settled: int
    next_index: int
    runs: dict[str, Run]
    told: tuple[str, ...] = ()
    day_bytes: float = 0.0
    day_ns: int = 0
    boot_id: str = ""


Record = Document | State

_encoder = msgspec.msgpack.Encoder()
_DECODERS: dict[int, msgspec.msgpack.Decoder[Document] | msgspec.msgpack.Decoder[State]] = {
    _DOCUMENT: msgspec.msgpack.Decoder(Document),
    _STATE: msgspec.msgpack.Decoder(State),
}
_FORMER_FIELDS = len(Document.__struct_fields__) + 1


def encode(record: Record, segment: int) -> bytes:
    """The record as it lies in the segment of this number.

    Raises:
        ValueError: it is larger than MAX_BODY.
    """
    body = _encoder.encode(record)
    if len(body) > MAX_BODY:
        raise ValueError(f"a record must have at most {MAX_BODY} bytes, got {len(body)}")
    kind = _DOCUMENT if isinstance(record, Document) else _STATE
    return _HEAD.pack(MARK, kind, len(body), _crc(segment, kind, body)) + body


def decode(data: bytes, segment: int) -> Iterator[Record | None]:
    """Every record in order; None for each stretch that is none: damaged, or the torn end of a file."""
    place, lost = 0, False
    while place < len(data):
        found = _record_at(data, place, segment)
        if found is not None:
            record, place = found
            lost = False
            yield record
            continue
        if not lost:
            lost = True
            yield None
        after = data.find(MARK, place + 1)
        place = len(data) if after < 0 else after


def _record_at(data: bytes, place: int, segment: int) -> tuple[Record, int] | None:
    """The record that begins here and where it ends; None where there is none."""
    start = place + _HEAD.size
    if start > len(data):
        return None
    mark, kind, length, crc = _HEAD.unpack_from(data, place)
    end = start + length
    if mark != MARK or length > MAX_BODY or end > len(data):
        return None
    body = data[start:end]
    if kind not in _DECODERS or crc != _crc(segment, kind, body):
        return None
    try:
        return _DECODERS[kind].decode(body), end
    except msgspec.DecodeError:
        former = _former(body) if kind == _DOCUMENT else None
        return (former, end) if former is not None else None


def _former(body: bytes) -> Document | None:
    """A document of an earlier build, which had its topic before the payload; None where it is none."""
    try:
        fields = msgspec.msgpack.decode(body, type=list)
        return msgspec.convert([*fields[:-2], fields[-1]], Document) if len(fields) == _FORMER_FIELDS else None
    except msgspec.DecodeError:
        return None


def _crc(segment: int, kind: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(_CHECKED.pack(kind, len(body)), segment & 0xFFFFFFFF))
