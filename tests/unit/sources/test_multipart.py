from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.sources import _multipart
from edgemass.sources._multipart import MalformedError, Parts


def jpeg(gray: int, size: int = 16) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((size, size, 3), gray, np.uint8))
    assert done
    return bytes(data)


ONE, TWO, THREE = (jpeg(gray) for gray in (40, 120, 200))


def part(picture: bytes, *, length: int | None = None, line: bytes = b"--frame", end: bytes = b"\r\n") -> bytes:
    """length: what Content-Length says; None leaves it out."""
    head = b"Content-Type: image/jpeg" + end
    if length is not None:
        head += b"content-LENGTH:%d" % length + end
    return line + end + head + end + picture + end


def stream(*parts: bytes, last: bytes = b"--frame--\r\n") -> bytes:
    return b"".join(parts) + last


def fed(body: bytes, *sizes: int) -> tuple[list[bytes], Parts]:
    """All pictures of a body that comes in pieces of these sizes, then all the rest."""
    parts, pictures, place = Parts(), [], 0
    for size in [*sizes, len(body)]:
        pictures += parts.feed(body[place : place + size])
        place += size
    return pictures, parts


WITH_LENGTHS = stream(*(part(picture, length=len(picture)) for picture in (ONE, TWO, THREE)))
WITHOUT_LENGTHS = stream(part(ONE), part(TWO), part(THREE))
LENGTHS_TOO_LARGE = stream(*(part(picture, length=len(picture) + 90) for picture in (ONE, TWO, THREE)), last=b"\n" * 99)
LENGTHS_TOO_SMALL = stream(*(part(picture, length=len(picture) - 90) for picture in (ONE, TWO, THREE)))
LINE_FEEDS_ONLY = stream(*(part(picture, length=len(picture), end=b"\n") for picture in (ONE, TWO, THREE)))
NO_HEADS = b"".join(b"--frame\r\n\r\n" + picture + b"\r\n" for picture in (ONE, TWO, THREE)) + b"--frame--"
BLANK_LINE_TOO_MANY = stream(*(part(b"\r\n" + picture, length=len(picture)) for picture in (ONE, TWO, THREE)))
NOTHING_BETWEEN = stream(*(part(picture, length=len(picture))[:-2] for picture in (ONE, TWO, THREE)))
A_PREAMBLE = b"a word before\r\n\r\n" + WITH_LENGTHS
BODIES = {
    "with lengths": WITH_LENGTHS,
    "without lengths": WITHOUT_LENGTHS,
    "lengths too large": LENGTHS_TOO_LARGE,
    "lengths too small": LENGTHS_TOO_SMALL,
    "line feeds only": LINE_FEEDS_ONLY,
    "no heads": NO_HEADS,
    "a blank line too many": BLANK_LINE_TOO_MANY,
    "nothing between the parts": NOTHING_BETWEEN,
    "a preamble": A_PREAMBLE,
}


@pytest.mark.parametrize("kind", BODIES)
def test_every_way_to_write_a_stream_gives_the_same_pictures(kind: str) -> None:
    pictures, parts = fed(BODIES[kind])
    assert pictures == [ONE, TWO, THREE]
    assert parts.broken == 0


@given(st.sampled_from(sorted(BODIES)), st.lists(st.integers(1, 200), max_size=60))
def test_the_sizes_of_the_pieces_do_not_matter(kind: str, sizes: Sequence[int]) -> None:
    assert fed(BODIES[kind], *sizes)[0] == [ONE, TWO, THREE]


@pytest.mark.parametrize("line", [b"--frame", b"----foo=", b"--", b'--"quoted"', b"--a.b*c(d)"])
def test_the_delimiter_is_what_is_sent_whatever_was_announced(line: bytes) -> None:
    body = stream(*(part(picture, line=line) for picture in (ONE, TWO)), last=line + b"--")
    assert fed(body)[0] == [ONE, TWO]


@pytest.mark.parametrize("length", [None, len(ONE)])
def test_a_picture_is_given_when_it_is_whole_not_when_the_next_one_begins(length: int | None) -> None:
    body = part(ONE, length=length)[:-2]
    parts = Parts()
    assert parts.feed(body[:-1]) == []
    assert parts.feed(body[-1:]) == [ONE]


def test_a_thumbnail_inside_does_not_end_a_picture() -> None:
    thumbnail = jpeg(10, 8)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    picture = ONE[:2] + segment + ONE[2:]
    assert fed(stream(part(picture), part(TWO)), *[1] * len(picture))[0] == [picture, TWO]


@pytest.mark.parametrize("bad", [ONE[:-40], b"", b"\x89PNG\r\n\x1a\n", b"a text about --frames", ONE[:3]])
@pytest.mark.parametrize("with_length", [True, False])
def test_a_part_without_a_whole_jpeg_is_counted_and_the_next_one_is_taken(bad: bytes, with_length: bool) -> None:
    body = stream(*(part(data, length=len(data) if with_length else None) for data in (ONE, bad, TWO)))
    pictures, parts = fed(body)
    assert pictures == [ONE, TWO]
    assert parts.broken == 1


def test_the_closing_delimiter_ends_the_stream() -> None:
    pictures, parts = fed(WITH_LENGTHS + part(ONE))
    assert len(pictures) == 3
    assert parts.ended


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"x" * (_multipart.MAX_PREAMBLE_BYTES + 1), "no line that begins with --"),
        (b"--f\r\nX: " + b"y" * _multipart.MAX_HEAD_BYTES, "a part whose head has over"),
        (b"--f\r\nContent-Length: 999999999\r\n\r\n", "a part of 999999999 bytes"),
        (b"--f\r\n\r\n" + b"\xff\xd8" + b"z" * _multipart.MAX_PART_BYTES, "a part without an end"),
        (part(ONE, length=len(ONE)) + b"z" * (_multipart.MAX_PART_BYTES + 1), "a part without an end"),
    ],
)
def test_what_never_becomes_a_picture_is_refused_and_not_stored(body: bytes, found: str) -> None:
    with pytest.raises(MalformedError, match=found):
        Parts().feed(body)


@given(st.lists(st.sampled_from([b"--f", b"\r\n", b"\n", b"--", ONE, ONE[:9], b"Content-Length: 7\r\n", b"\0"])))
def test_any_mixture_gives_whole_pictures_or_none(pieces: Sequence[bytes]) -> None:
    parts = Parts()
    for piece in pieces:
        assert all(picture.startswith(b"\xff\xd8") and b"\xff\xd9" in picture for picture in parts.feed(piece))
