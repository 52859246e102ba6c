"""Records in a segment: torn at any byte, damaged at any bit, and never read as another."""

from __future__ import annotations

import random
import struct
import zlib

import msgspec
import pytest

from edgemass.messages import to_json
from edgemass.spool.accounts import Run
from edgemass.spool.records import MARK, MAX_BODY, Document, Record, State, decode, encode
from tests.documents import event
from tests.unit.spool.queues import BOOT

SEGMENT = 7
STATE = State(3, 9, {"a": Run(BOOT, {"door": 9}, 9, 3, {"full": 2}, closed=True)}, ("z",), 1.5, 2, BOOT)


def document(index: int) -> Document:
    return Document(index, "a", BOOT, "door", index + 1, 1, 2, synced=True, payload=to_json(event(index + 1)))


RECORDS: list[Record] = [STATE, *(document(index) for index in range(4))]
DATA = b"".join(encode(record, SEGMENT) for record in RECORDS)


def test_what_was_written_is_read() -> None:
    assert list(decode(DATA, SEGMENT)) == RECORDS


def test_a_document_of_an_earlier_build_is_read_without_its_topic() -> None:
    new = document(1)
    *head, payload = msgspec.structs.astuple(new)
    body = msgspec.msgpack.encode([*head, "edgemass/v1/pi-7f3a/camera/door/events", payload])
    start = struct.pack("<BI", 1, len(body))
    former = MARK + start + struct.pack("<I", zlib.crc32(body, zlib.crc32(start, SEGMENT))) + body
    assert list(decode(former + encode(new, SEGMENT), SEGMENT)) == [new, new]


def test_a_file_torn_at_any_byte_gives_the_records_before() -> None:
    ends = [sum(len(encode(record, SEGMENT)) for record in RECORDS[: count + 1]) for count in range(len(RECORDS))]
    for length in range(len(DATA)):
        whole = sum(end <= length for end in ends)
        torn = length not in (0, *ends)
        assert list(decode(DATA[:length], SEGMENT)) == [*RECORDS[:whole], *([None] if torn else [])]


def test_damage_at_any_byte_costs_one_record_and_is_told() -> None:
    for place in range(len(DATA)):
        damaged = bytearray(DATA)
        damaged[place] ^= 1 << place % 8
        found = list(decode(bytes(damaged), SEGMENT))
        assert None in found
        rest = [record for record in found if record is not None]
        assert len(rest) == len(RECORDS) - 1
        assert all(record in RECORDS for record in rest)


def test_rubbish_between_records_is_passed_over() -> None:
    rubbish = random.Random(0).randbytes(5000)
    data = encode(document(0), SEGMENT) + rubbish + encode(document(1), SEGMENT)
    assert [record for record in decode(data, SEGMENT) if record is not None] == [document(0), document(1)]


def test_a_record_of_an_older_file_is_none_of_this_one() -> None:
    assert list(decode(encode(document(0), SEGMENT), SEGMENT + 1)) == [None]


def test_zeros_as_a_power_cut_leaves_them_are_no_records() -> None:
    assert list(decode(DATA + bytes(4096), SEGMENT)) == [*RECORDS, None]


def test_a_record_too_large_to_be_read_is_not_written() -> None:
    huge = Document(0, "a", BOOT, "door", 1, 1, 2, synced=True, payload=bytes(MAX_BODY))
    with pytest.raises(ValueError, match="at most"):
        encode(huge, SEGMENT)
