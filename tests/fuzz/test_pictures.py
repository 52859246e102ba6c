"""Damaged pictures and videos: a source yields frames or one of our own errors, and ends."""

from __future__ import annotations

import io
import os
import struct
import zlib
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from edgemass.clock import SystemClock
from edgemass.errors import SourceError
from edgemass.sources import CaptureOptions, images, video_file
from edgemass.sources._picture_size import is_cut_short, picture_size
from tests.fuzz.campaign import counts, hold, may_refuse
from tests.fuzz.mutations import mutated_bytes

KINDS = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm")
CLIPS = ("mp4", "matroska", "avi", "mpegts")


@cache
def picture(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    written, data = cv2.imencode(kind, noise)
    assert written
    return bytes(data)


@cache
def clip(kind: str) -> bytes:
    """Eight frames of 32x32."""
    held = io.BytesIO()
    with av.open(held, "w", format=kind) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for shade in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), shade * 30, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return held.getvalue()


@counts(150, 100_000)
def test_a_damaged_picture_is_read_or_refused(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "picture"

    def promise(content: bytes) -> None:
        path.write_bytes(content)
        with may_refuse(SourceError, naming=str(path)):
            image = images.read(path)
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            assert 0 < image.shape[0] * image.shape[1] <= images.MAX_PIXELS

    hold(promise, examples, content=st.sampled_from([picture(kind) for kind in KINDS]).flatmap(mutated_bytes))


@counts(150, 100_000)
def test_a_header_of_any_bytes_has_a_size_or_none(examples: int) -> None:
    starts = st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFFxxxxWEBP", b"II*\0", b"MM\0*", b"P6\n"]
    )

    def promise(start: bytes, rest: bytes) -> None:
        size = picture_size(start + rest)
        assert size is None or len(size) == 2
        is_cut_short(start + rest)

    hold(promise, examples, start=starts, rest=st.binary(max_size=200))


@pytest.mark.parametrize(
    "start",
    [
        b"\xff\xd8" + b"\xff",
        b"\xff\xd8\xff\xe0\x00\x02",
        b"P6" + b" ",
        b"P6" + b"#\n",
        b"P6 1" + b"0",
        b"II*\0\x08\0\0\0\xff\xff",
    ],
)
def test_a_header_of_megabytes_is_read_in_a_moment(start: bytes) -> None:
    """Quadratic time would not come to its end before the test's time is out."""
    for piece in (start[-1:], start[-4:], b"\xff\xe0\x00\x02"):
        data = start + piece * (1_000_000 // len(piece))
        picture_size(data)
        is_cut_short(data)


def bomb() -> bytes:
    """A PNG of 30,000 x 30,000 black pixels in a few kilobytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 9_000_000))
        + chunk(b"IEND", b"")
    )


def test_a_picture_that_unpacks_to_gigabytes_is_refused_undecoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    with pytest.raises(SourceError, match="30000 x 30000 pixels"):
        images.read(path)


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_picture_that_is_no_file_is_refused_without_waiting(kind: str, tmp_path: Path) -> None:
    path = Path("/dev/zero")
    if kind == "pipe":
        path = tmp_path / "picture.jpg"
        os.mkfifo(path)
    with pytest.raises(SourceError, match="no file"):
        images.read(path)


@counts(60, 50_000)
def test_a_damaged_video_plays_or_is_refused(tmp_path: Path, examples: int) -> None:
    path = tmp_path / "clip"
    good = [clip(kind) for kind in CLIPS]

    def promise(content: bytes) -> None:
        path.write_bytes(content)
        with may_refuse(SourceError):
            source = video_file.open(str(path), CaptureOptions(), SystemClock())
            for shown, frame in enumerate(source.frames()):
                with may_refuse(SourceError):
                    assert frame.image.shape == (frame.height, frame.width, 3)
                assert frame.mono_ns >= 0
                if shown > 100:
                    source.close()

    hold(promise, examples, content=st.sampled_from(good).flatmap(mutated_bytes))
