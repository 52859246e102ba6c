from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgemass.errors import SourceError, UsageError
from edgemass.sources import CaptureOptions, _http_stream, mjpeg
from edgemass.sources._http_auth import Credentials
from edgemass.sources.mjpeg import MjpegCamera
from tests.simulators.manual_clock import ManualClock


def opened(uri: str) -> MjpegCamera:
    return mjpeg.open(uri, CaptureOptions(), ManualClock())


@pytest.mark.parametrize(
    "uri",
    [
        "http://",
        "http:///path",
        "http:cam",
        "http://cam:99999/x",
        "http://cam:0/x",
        "http://cam:door/x",
        "http://[::1/x",
        "https://a..b/",
    ],
)
def test_an_address_without_a_usable_host_is_refused(uri: str) -> None:
    with pytest.raises(UsageError, match=r"wanted http://\[user@\]host\[:port\]/path"):
        opened(uri)


@pytest.mark.parametrize("uri", ["http://cam/1#udp", "http://admin:12#hunter2@cam/1", "https://cam/1#verify=maybe"])
def test_an_unknown_option_is_refused_without_telling_a_password(uri: str) -> None:
    with pytest.raises(UsageError, match="known is #verify=no") as told:
        opened(uri)
    assert "hunter2" not in str(told.value)


def test_a_password_that_would_write_a_header_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot read"):
        opened("http://admin:a%0d%0aX-Evil:1@cam/1")


def test_the_name_carries_neither_password_nor_option() -> None:
    camera = opened("https://admin:hunter2@cam/1?token=hunter2&channel=2#verify=no")
    assert camera.name == "https://admin:***@cam/1?token=***&channel=2"


def test_an_address_is_read_as_a_browser_reads_it() -> None:
    address = _http_stream.parse("HTTPS://b%40b:p%3Aw@[::1]:8443/a b/ü?x=1&y=%20z#verify=no")
    assert (address.scheme, address.host, address.port) == ("https", "::1", 8443)
    assert address.target == "/a%20b/%C3%BC?x=1&y=%20z"
    assert address.credentials == Credentials("b@b", "p:w")
    assert not address.verify
    plain = _http_stream.parse("http://cam")
    assert (plain.port, plain.target, plain.credentials, plain.verify) == (80, "/", None, True)


def test_words_of_a_server_are_cut_and_hold_neither_secrets_nor_control_characters() -> None:
    words = _http_stream.printable("a\x1b[31mb http://u:" + "hunter2" * 20 + "@cam/" + "x" * 100)
    assert words.startswith("a[31mb http://u:***@cam/xxx")
    assert len(words) == 80


def encoded(shape: tuple[int, ...]) -> bytes:
    done, data = cv2.imencode(".jpg", np.full(shape, 90, np.uint8))
    assert done
    return bytes(data)


@pytest.mark.parametrize("shape", [(24, 32, 3), (24, 32)])
def test_a_jpeg_becomes_bgr_of_its_size_whatever_its_colours(shape: tuple[int, ...]) -> None:
    image = mjpeg.to_bgr(encoded(shape), (32, 24), "cam")
    assert image.shape == (24, 32, 3)
    assert abs(int(image.mean()) - 90) <= 1


def test_an_orientation_in_the_picture_does_not_turn_it() -> None:
    exif = (
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: turn by 90 degrees
    )
    data = encoded((24, 32, 3))
    turned = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    by_default = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert by_default is not None
    assert by_default.shape == (32, 24, 3)  # else this test proves nothing
    assert mjpeg.to_bgr(turned, (32, 24), "cam").shape == (24, 32, 3)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"no picture"])
def test_what_cannot_be_decoded_is_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(SourceError, match="cam sent a JPEG that cannot be decoded"):
        mjpeg.to_bgr(data, (32, 24), "cam")


def test_a_picture_of_another_size_than_its_header_says_is_refused() -> None:
    with pytest.raises(SourceError, match="cannot be decoded"):
        mjpeg.to_bgr(encoded((24, 32, 3)), (24, 32), "cam")


def test_a_read_may_take_longer_than_every_deadline_of_its_own() -> None:
    # else a thread that is about to end by itself would be abandoned first
    assert max(mjpeg.NO_PICTURE_S, _http_stream.OPENING_S + _http_stream.SILENCE_S) < mjpeg.READ_TIMEOUT_S
