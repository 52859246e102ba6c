"""Width and height of a picture file from its header, so that a picture too large for the board is never decoded."""

from __future__ import annotations

import re
import struct

_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})  # TEM, RST0..7, SOI
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0..15 without DHT, JPG and DAC
_JPEG_SCAN = 0xDA
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SHORT = 256, 257, 3


def picture_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as stored, before any rotation; None for a format that is not known or a header that is broken.

    data: the whole file, or enough of its beginning. JPEG, PNG, BMP, WebP, TIFF, PNM.
    """
    for magic, read in _FORMATS.items():
        if data.startswith(magic):
            try:
                return read(data)
            except (struct.error, ValueError, IndexError, KeyError):
                return None
    return None


def is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG ends before its end mark: decoders fill the rest with gray."""
    if data.startswith(b"\xff\xd8"):
        # Coded data cannot hold FF D9 (every FF is stuffed), and a thumbnail's own stands before the first scan.
        scan = _jpeg_segment(data, frozenset({_JPEG_SCAN}))
        return scan is None or data.find(b"\xff\xd9", scan) < 0
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _unpack(layout: str, data: bytes, offset: int) -> tuple[int, int]:
    width, height = struct.unpack_from(layout, data, offset)
    return int(width), int(height)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    frame = _jpeg_segment(data, _JPEG_FRAMES)
    if frame is None:
        return None
    height, width = _unpack(">HH", data, frame + 5)
    return width, height


def _jpeg_segment(data: bytes, markers: frozenset[int]) -> int | None:
    """Offset of the first segment with one of these markers, by walking them as ITU-T T.81, annex B, lays them out."""
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker in markers:
            return offset
        if marker == 0xFF:  # a fill byte
            offset += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            offset += 2
        else:
            offset += 2 + int(struct.unpack_from(">H", data, offset + 2)[0])
    return None


def _png(data: bytes) -> tuple[int, int]:
    return _unpack(">II", data, 16)


def _bmp(data: bytes) -> tuple[int, int]:
    header_bytes = struct.unpack_from("<I", data, 14)[0]
    width, height = _unpack("<HH" if header_bytes == 12 else "<ii", data, 18)
    return width, abs(height)  # negative: rows from the top


def _webp(data: bytes) -> tuple[int, int] | None:
    """RFC 9649: the lossy, the lossless and the extended layout."""
    kind = data[12:16] if data[8:12] == b"WEBP" else b""  # RIFF holds sound and video too
    if kind == b"VP8 ":
        width, height = _unpack("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    return None


def _tiff(data: bytes) -> tuple[int, int]:
    """TIFF 6.0: the tags of the first directory."""
    order = "<" if data.startswith(b"II") else ">"
    offset = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, offset)[0]
    found: dict[int, int] = {}
    for entry in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT):
            found[tag] = struct.unpack_from(order + ("H" if kind == _TIFF_SHORT else "I"), data, entry + 8)[0]
    return found[_TIFF_WIDTH], found[_TIFF_HEIGHT]


def _pnm(data: bytes) -> tuple[int, int] | None:
    match = _PNM.match(data[:4096])
    return (int(match[1]), int(match[2])) if match else None


_FORMATS = {  # how a file begins -> who reads its header
    b"\xff\xd8": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"BM": _bmp,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    **dict.fromkeys((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), _pnm),
}
