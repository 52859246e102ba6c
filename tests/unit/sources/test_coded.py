"""What is known of a coded stream: read from its key frames, whatever a sender puts around them."""

from __future__ import annotations

import pytest

from edgemass.sources.coded import parameter_sets

SPS, PPS, SLICE = b"\x67\x42\xc0\x15\xda", b"\x68\xce\x3c\x80", b"\x65\x88\x82\x01"
VPS, SPS5, PPS5 = b"\x40\x01\x0c", b"\x42\x01\x01", b"\x44\x01\xc1"


def annexb(*units: bytes, start: bytes = b"\x00\x00\x00\x01") -> bytes:
    return b"".join(start + unit for unit in units)


def test_parameter_sets_are_the_same_however_often_they_are_sent_before_a_key_frame() -> None:
    once = parameter_sets("h264", annexb(b"\x09\x10", SPS, PPS, SLICE))
    assert once == annexb(SPS, PPS)
    assert parameter_sets("h264", annexb(b"\x09\x10", SPS, PPS, SPS, PPS, SLICE)) == once
    assert parameter_sets("h264", annexb(SPS, PPS, SLICE, start=b"\x00\x00\x01")) == once


def test_other_parameters_are_told_apart() -> None:
    assert parameter_sets("h264", annexb(SPS + b"\x01", PPS, SLICE)) != parameter_sets("h264", annexb(SPS, PPS, SLICE))


def test_h265_has_three_kinds() -> None:
    assert parameter_sets("hevc", annexb(VPS, SPS5, PPS5, VPS, b"\x26\x01")) == annexb(VPS, SPS5, PPS5)


@pytest.mark.parametrize(
    ("codec", "data"), [("h264", annexb(SLICE)), ("h264", SPS), ("mpeg4", annexb(SPS)), ("h264", b"")]
)
def test_where_there_are_none_there_are_none(codec: str, data: bytes) -> None:
    assert parameter_sets(codec, data) == b""
