from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.sinks._serial_framing import LAST_NUMBER, Damage, Request, Splitter, crc16, length, seal, unseal
from tests.simulators.serial_device import closed, crc16_bitwise, opened

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "serial.md"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
REQUESTS = st.builds(
    Request,
    n=st.integers(0, LAST_NUMBER),
    k=st.text(min_size=1, max_size=20),
    c=st.text(max_size=20),
    v=st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=20),
)


def line_of(request: Request) -> bytes:
    return closed({"n": request.n, "k": request.k, "c": request.c, "v": request.v})


def test_the_crc_is_the_published_one() -> None:
    assert crc16(b"123456789") == 0x29B1  # the check value of CRC-16/CCITT-FALSE


@given(st.binary(max_size=300))
def test_the_crc_is_that_of_another_implementation(data: bytes) -> None:
    assert crc16(data) == crc16_bitwise(data)


@given(st.integers(1, LAST_NUMBER), st.dictionaries(st.sampled_from(["k", "c", "d", "x"]), VALUES))
def test_what_is_sealed_is_one_line_of_ascii_that_another_implementation_opens(
    number: int, body: dict[str, object]
) -> None:
    line = seal(number, body)
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert opened(line) == {"n": number, **body}
    assert len(line) <= length(body)


def test_a_line_begins_with_its_number_and_its_kind() -> None:
    assert seal(17, {"k": "det", "c": "door"}).startswith(b'{"n":17,"k":"det",')


@given(REQUESTS)
def test_a_request_of_another_implementation_is_read(request: Request) -> None:
    assert unseal(line_of(request).rstrip(b"\r\n")) == request


@given(REQUESTS, st.data())
def test_a_request_with_any_bit_wrong_is_damaged_or_the_same(request: Request, data: st.DataObject) -> None:
    line = bytearray(line_of(request).rstrip(b"\r\n"))
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    read = unseal(bytes(line))
    assert isinstance(read, Damage) or read == request  # the same: a digit of the CRC may be in either case


@given(st.binary(max_size=600))
def test_anything_at_all_is_read_or_refused(data: bytes) -> None:
    unseal(data)


@pytest.mark.parametrize(
    ("text", "damage"),
    [
        (b'{"n":1,"k":"snapshot"}', Damage.CRC),
        (b"hello from the console", Damage.CRC),
        (b"*29B1", Damage.CRC),
        (bytes(range(128, 160)), Damage.GARBAGE),
        (b"123456789*29B1", Damage.JSON),
        (closed({"n": 70_000, "k": "snapshot"}).strip(), Damage.JSON),
        (closed({"n": 1}).strip(), Damage.JSON),
        (closed({"n": 1, "k": ""}).strip(), Damage.JSON),
        (closed({"n": 1, "k": "a", "v": [1]}).strip(), Damage.JSON),
    ],
)
def test_what_is_no_request_is_refused_with_its_reason(text: bytes, damage: Damage) -> None:
    assert unseal(text) is damage


def test_brackets_without_end_are_refused() -> None:
    text = b"[" * 8000
    assert unseal(text + b"*%04X" % crc16(text)) is Damage.JSON


@given(st.lists(REQUESTS, max_size=5), st.data())
def test_lines_are_found_however_their_bytes_arrive(requests: list[Request], data: st.DataObject) -> None:
    stream = b"\r\n" + b"".join(map(line_of, requests))
    splitter = Splitter(512)
    read: list[bytes | Damage] = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        read += splitter.feed(stream[:size])
        stream = stream[size:]
    assert read == [line_of(request).strip(b"\r\n") for request in requests]


@given(st.lists(st.binary(max_size=700), max_size=30))
def test_the_splitter_holds_one_line_at_most_and_gives_none_that_is_longer(pieces: list[bytes]) -> None:
    splitter = Splitter(100)
    for piece in pieces:
        for line in splitter.feed(piece):
            assert line is Damage.LONG or (isinstance(line, bytes) and len(line) <= 100)
        assert len(splitter._held) <= 100


def test_a_line_that_is_too_long_is_said_at_once_and_the_next_one_is_read() -> None:
    splitter = Splitter(100)
    assert list(splitter.feed(b"x" * 101)) == [Damage.LONG]
    assert list(splitter.feed(b"x" * 1000)) == [Damage.LONG] * 10  # an endless one is not one trouble only
    assert list(splitter.feed(b"x\nnext\n")) == [b"next"]


def test_numbers_fit_into_sixteen_bits_and_the_length_is_that_of_the_longest() -> None:
    body = {"k": "det", "c": "door", "d": []}
    assert len(seal(LAST_NUMBER, body)) == length(body)
    assert json.loads(seal(1, body).rpartition(b"*")[0])["n"] == 1


def test_the_lines_of_the_guide_have_the_right_crc() -> None:
    lines = re.findall(rb'^ *(\{"n":.*\*[0-9A-F]{4})$', GUIDE.read_bytes(), re.MULTILINE)
    assert len(lines) >= 6
    assert all(opened(line) for line in lines)
