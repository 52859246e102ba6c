r"""Lines as they travel over a serial port, both ways: JSON, `*`, and a CRC in four hexadecimal digits. Rules only.

    {"n":17,"k":"det","c":"door","d":[["person",91,120,300,250,880]]}*7806\n

ASCII only. The CRC is CRC-16/CCITT-FALSE (polynomial 0x1021, start 0xFFFF; of "123456789" it is 0x29B1) of the bytes
before the `*`. docs/serial.md is for who writes the other end.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any

import msgspec

LAST_NUMBER = 65_535
"""Lines are numbered from 1 to this, then from 1 again: it fits into 16 bits."""

_TAIL = re.compile(rb"\*([0-9A-Fa-f]{4})\Z")
_FRAME_BYTES = len(f'"n":{LAST_NUMBER},') + len("*0000\n")


class Damage(Enum):
    """Why a line cannot be used; the value is what a `nak` says. GARBAGE: not even text, as at a wrong baud rate."""

    CRC = "crc"
    LONG = "long"
    JSON = "json"
    GARBAGE = "bytes"


class Request(msgspec.Struct, frozen=True):
    """A line of the other end. n: its number, k: what is asked for, c: the camera, v: a value."""

    n: Annotated[int, msgspec.Meta(ge=0, le=LAST_NUMBER)]
    k: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    c: Annotated[str, msgspec.Meta(max_length=128)] = ""
    v: str | int | float | bool | None = None


def crc16(data: bytes) -> int:
    return binascii.crc_hqx(data, 0xFFFF)


def seal(number: int, body: Mapping[str, Any]) -> bytes:
    """A whole line, with its newline; `number` comes first."""
    text = json.dumps({"n": number, **body}, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"%s*%04X\n" % (text, crc16(text))


def length(body: Mapping[str, Any]) -> int:
    """Bytes of its line, newline and all, under the longest number."""
    return len(json.dumps(body, separators=(",", ":"), allow_nan=False)) + _FRAME_BYTES


def unseal(line: bytes) -> Request | Damage:
    """Read a line, given without its newline."""
    tail = _TAIL.search(line)
    text = line[: -len(tail[0])] if tail else b""
    if tail is None or crc16(text) != int(tail[1], 16):
        printable = sum(32 <= byte < 127 or byte == 9 for byte in line)
        return Damage.CRC if printable >= 0.8 * len(line) else Damage.GARBAGE
    try:
        return msgspec.json.decode(text, type=Request)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return Damage.JSON


class Splitter:
    """Cuts what arrives into lines, and never holds more than one line of the longest."""

    def __init__(self, max_line: int) -> None:
        self._max = max_line
        self._held = bytearray()
        self._passed: int | None = None
        """Bytes of a line that is too long, since it was last said; None = this line is not."""

    def feed(self, data: bytes) -> Iterator[bytes | Damage]:
        """Lines that are whole now, without their ends; Damage.LONG for each `max_line` bytes without an end."""
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield from self._take(data[start:end])
            start = end + 1
            line = bytes(self._held).strip(b"\r \0")
            self._held.clear()
            if line and self._passed is None:
                yield line
            self._passed = None
        yield from self._take(data[start:])

    def _take(self, piece: bytes) -> Iterator[Damage]:
        if self._passed is None and len(self._held) + len(piece) <= self._max:
            self._held += piece
            return
        if self._passed is None:
            self._passed = len(self._held) - self._max
            self._held.clear()
            yield Damage.LONG
        self._passed += len(piece)
        while self._passed > self._max:
            self._passed -= self._max
            yield Damage.LONG
