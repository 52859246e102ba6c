from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import mqtt
from edgemass.config.credentials import resolve
from edgemass.errors import ConfigError
from edgemass.redact import redact


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder of credentials as systemd makes it: one by its own name, one of a folder."""
    folder = tmp_path / "credentials of edgemass"
    folder.mkdir()
    (folder / "mqtt-password").write_text("hunter2\n")
    (folder / "edgemass-folder_door").write_text("p@ss:w/rd&ä\n")
    return folder


def test_an_option_that_names_a_file_gets_its_path(given: Path) -> None:
    address = resolve("mqtt://device@broker?password_file=credential:mqtt-password&version=5", given)
    options = mqtt.parse(address)
    assert options.password_file == given / "mqtt-password"
    assert options.read_password() == "hunter2"
    assert options.version == "5"


def test_a_password_within_an_address_is_put_in_whatever_it_holds(given: Path) -> None:
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(resolve("rtsp://admin:{credential:door}@cam/1?x=credential", given))
    assert unquote(parts.password or "") == "p@ss:w/rd&ä"
    assert parts.hostname == "cam"
    assert parts.query == "x=credential"


@pytest.mark.parametrize("address", ["0", "clip.mp4", "credential:door", "mqtt://h?ca=/etc/credential:x", "a={b}"])
def test_other_addresses_stay_as_they_are(address: str, given: Path) -> None:
    assert resolve(address, given) == address
    assert resolve(address, None) == address


@pytest.mark.parametrize("address", ["mqtt://u@h?password_file=credential:other", "rtsp://u:{credential:other}@h"])
def test_one_that_was_not_given_is_named_with_what_to_do(address: str, given: Path) -> None:
    with pytest.raises(ConfigError, match=r"put it into /etc/edgemass/credentials/other"):
        resolve(address, given)
    with pytest.raises(ConfigError, match="there is none here"):
        resolve(address, None)


def test_the_path_of_another_file_cannot_be_reached(given: Path) -> None:
    (given.parent / "secret").write_text("x")
    address = "mqtt://u@h?password_file=credential:../secret"
    assert resolve(address, given) == address


def test_bytes_that_are_no_text_are_refused(given: Path) -> None:
    (given / "raw").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not text"):
        resolve("rtsp://u:{credential:raw}@h", given)


def test_a_secret_that_was_read_is_hidden_wherever_it_stands_later(tmp_path: Path) -> None:
    (tmp_path / "gate").write_text("Tür/auf 42\n")
    resolve("rtsp://admin:{credential:gate}@cam/1", tmp_path)
    assert redact("the camera said Tür/auf 42 is wrong") == "the camera said *** is wrong"
    assert redact("tried T%C3%BCr%2Fauf%2042") == "tried ***"


def test_a_short_credential_does_not_blot_out_the_log(tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("cam")
    resolve("rtsp://admin:{credential:pin}@h/1", tmp_path)
    assert redact("cam is online") == "cam is online"
