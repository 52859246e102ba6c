from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemass.sources._picture_size import is_cut_short, picture_size

ENCODERS = {
    "jpeg": (".jpg", ()),
    "progressive jpeg": (".jpg", (cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)),
    "png": (".png", ()),
    "bmp": (".bmp", ()),
    "lossy webp": (".webp", (cv2.IMWRITE_WEBP_QUALITY, 50)),
    "lossless webp": (".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)),
    "tiff": (".tiff", ()),
    "ppm": (".ppm", ()),
}


def encode(name: str, width: int, height: int) -> bytes:
    suffix, options = ENCODERS[name]
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    done, data = cv2.imencode(suffix, image, list(options))
    assert done
    return bytes(data)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [(1, 1), (300, 7), (17, 260)])
def test_every_format_tells_the_size_that_was_written(name: str, size: tuple[int, int]) -> None:
    assert picture_size(encode(name, *size)) == size


@pytest.mark.parametrize("name", ENCODERS)
def test_a_header_that_is_cut_anywhere_gives_no_size_or_the_right_one(name: str) -> None:
    data = encode(name, 40, 30)
    for length in range(min(len(data), 700)):
        assert picture_size(data[:length]) in (None, (40, 30))


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=60))
def test_noise_behind_a_known_beginning_raises_nothing(name: str, noise: bytes) -> None:
    picture_size(encode(name, 2, 2)[:8] + noise)


def test_a_thumbnail_in_front_is_not_taken_for_the_picture() -> None:
    thumbnail, whole = encode("jpeg", 16, 12), encode("jpeg", 200, 100)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    assert picture_size(with_thumbnail) == (200, 100)
    assert not is_cut_short(with_thumbnail)
    assert is_cut_short(with_thumbnail[:-200])


@pytest.mark.parametrize("name", ["jpeg", "progressive jpeg", "png"])
def test_a_picture_that_ends_early_is_known_by_it(name: str) -> None:
    data = encode(name, 64, 64)
    assert not is_cut_short(data)
    assert not is_cut_short(data + b"what a camera keeps behind its picture")
    assert is_cut_short(data[: len(data) // 2])


@pytest.mark.parametrize("data", [b"", b"P", b"BM", b"RIFF....WAVEfmt ", b"a text", b"\xff\xd8\xff", b"GIF89a"])
def test_what_is_no_picture_has_no_size(data: bytes) -> None:
    assert picture_size(data) is None
