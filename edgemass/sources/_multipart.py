"""The pictures of a multipart/x-mixed-replace body (RFC 2046, and what cameras make of it)."""

from __future__ import annotations

import re
from collections.abc import Callable

from edgemass.sources._picture_size import is_cut_short

MAX_PART_BYTES = 16_000_000  # JPEGs of 33 megapixels (8K) at high quality stay below
MAX_PREAMBLE_BYTES = 65_536
MAX_HEAD_BYTES = 16_384
LINE_END_BYTES = 8  # dashes, blanks and line end behind a delimiter; more blanks are nobody's

_JPEG_END = b"\xff\xd9"
_FIRST_LINE = re.compile(rb"(?:^|\n)(--[^\r\n]{0,200}?)[ \t]*\r?\n")
_HEAD_END = re.compile(rb"^\r?\n|\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,12})[ \t]*\r?$")


class MalformedError(ValueError):
    """The body is no multipart stream, or a part of it is larger than any picture; says what was found and wanted."""


class Parts:
    """Cuts a body that arrives in pieces of any size into whole JPEGs.

    The delimiter is what the first line that begins with `--` says: what cameras announce as the boundary differs from
    what they send in dashes and quotes. A Content-Length is believed where a whole JPEG is as long; where it once was
    wrong, or is missing, a part ends with its JPEG or at the next delimiter.

    broken: parts so far that held no whole JPEG.
    ended: the closing delimiter has come.
    """

    def __init__(self) -> None:
        self.broken = 0
        self.ended = False
        self._buffer = bytearray()
        self._delimiter: re.Pattern[bytes] | None = None
        self._line = b""
        self._step: Callable[[list[bytes]], bool] = self._find_first
        self._length: int | None = None
        self._lengths_are_right = True
        self._searched = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The pictures that this piece completes, in order, each from SOI to EOI at least.

        Raises:
            MalformedError: no delimiter, no end of a part's head, or no end of a part.
        """
        self._buffer += data
        pictures: list[bytes] = []
        while not self.ended and self._step(pictures):
            pass
        return pictures

    # Each step takes what it can from the buffer; False when it needs more data.

    def _find_first(self, _pictures: list[bytes]) -> bool:
        match = _FIRST_LINE.search(self._buffer)
        if match is None:
            if len(self._buffer) > MAX_PREAMBLE_BYTES:
                raise MalformedError(f"found no line that begins with -- in {MAX_PREAMBLE_BYTES // 1024} KiB")
            return False
        text = bytes(match[1])
        self._delimiter = re.compile(rb"(?:\r?\n)?" + re.escape(text) + rb"(?:(--)|[ \t]*\r?\n)")
        self._line = b"\n" + text
        return self._go_on(match.end(), self._read_head)

    def _find_next(self, _pictures: list[bytes]) -> bool:
        match = self._search_delimiter()
        if match is None:
            self._forbid_more_than_a_part()
            return False
        return self._begin_part(match)

    def _read_head(self, _pictures: list[bytes]) -> bool:
        match = _HEAD_END.search(self._buffer)
        if match is None or match.end() > MAX_HEAD_BYTES:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise MalformedError(f"found a part whose head has over {MAX_HEAD_BYTES // 1024} KiB")
            return False
        length = _LENGTH.search(self._buffer, 0, match.end())
        self._length = int(length[1]) if length and self._lengths_are_right else None
        if self._length is not None and self._length > MAX_PART_BYTES:
            raise MalformedError(f"found a part of {self._length} bytes, at most {MAX_PART_BYTES} are taken")
        return self._go_on(match.end(), self._read_body if self._length else self._read_body_of_unknown_length)

    def _read_body(self, pictures: list[bytes]) -> bool:
        assert self._length is not None
        if len(self._buffer) < self._length:
            return False
        body = bytes(self._buffer[: self._length])
        if not is_whole_jpeg(body) or self._line in body:
            self._lengths_are_right = not body.startswith(b"\xff\xd8") and self._lengths_are_right
            return self._go_on(0, self._read_body_of_unknown_length)
        pictures.append(body)
        return self._go_on(self._length, self._find_next)

    def _read_body_of_unknown_length(self, pictures: list[bytes]) -> bool:
        searched = self._searched
        match = self._search_delimiter()
        if match is not None:
            body = bytes(self._buffer[: match.start()]).lstrip(b"\r\n")
            if is_whole_jpeg(body):
                pictures.append(body)
            else:
                self.broken += 1
            return self._begin_part(match)
        end = self._buffer.rfind(_JPEG_END, max(searched - 1, 0))
        if end >= 0:  # not waiting for the delimiter spares the lag of one picture
            body = bytes(self._buffer[: end + 2]).lstrip(b"\r\n")
            if is_whole_jpeg(body):
                pictures.append(body)
                return self._go_on(end + 2, self._find_next)
        self._forbid_more_than_a_part()
        return False

    def _search_delimiter(self) -> re.Match[bytes] | None:
        """The next delimiter that is there whole; what was searched is not searched again, but for its last line."""
        assert self._delimiter is not None
        begin = max(self._searched - len(self._line) - LINE_END_BYTES, 0)
        self._searched = len(self._buffer)
        if begin == 0 and (match := self._delimiter.match(self._buffer)):
            return match
        place = self._buffer.find(self._line, begin)  # ten times as fast as a search with the pattern
        while place >= 0:
            first = place - 1 if self._buffer[place - 1 : place] == b"\r" else place
            if match := self._delimiter.match(self._buffer, first):
                return match
            place = self._buffer.find(self._line, place + 1)
        return None

    def _begin_part(self, match: re.Match[bytes]) -> bool:
        self.ended = match[1] is not None
        return self._go_on(match.end(), self._read_head)

    def _go_on(self, taken: int, step: Callable[[list[bytes]], bool]) -> bool:
        del self._buffer[:taken]
        self._searched = 0
        self._step = step
        return True

    def _forbid_more_than_a_part(self) -> None:
        if len(self._buffer) > MAX_PART_BYTES:
            raise MalformedError(f"found a part without an end in {MAX_PART_BYTES} bytes")


def is_whole_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8") and not is_cut_short(data)
