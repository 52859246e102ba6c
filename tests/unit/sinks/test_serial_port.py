"""What keeps a port from being opened, in words; with files instead of ports."""

from __future__ import annotations

import errno
import os
import termios
from pathlib import Path

import pytest
import serial

from edgemass.sinks._serial_options import SerialOptions
from edgemass.sinks._serial_port import PortError, _trouble, holders, open_port, stable_name

PORT = SerialOptions(path=Path("/dev/ttyUSB0"), baud=250_000)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "plug it in"),
        (errno.EACCES, "usermod -aG dialout"),
        (errno.EBUSY, "another program uses"),
        (errno.EAGAIN, "another program uses"),
        (errno.ENODEV, "no device behind"),
        (errno.ENOTTY, "no serial port"),
        (errno.EINVAL, "baud=250000"),
        (errno.EMFILE, "cannot open"),
    ],
)
def test_every_cause_is_told_with_what_to_do(number: int, said: str) -> None:
    assert said in _trouble(serial.SerialException(number, "could not open port"), PORT).text


def test_causes_that_pyserial_hides_are_found() -> None:
    error = serial.SerialException("Could not configure port")
    error.__context__ = termios.error(errno.ENOTTY, "Inappropriate ioctl for device")
    assert "no serial port" in _trouble(error, PORT).text
    assert "baud=250000" in _trouble(ValueError("Failed to set custom baud rate (250000)"), PORT).text


def test_a_port_that_is_not_there_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="is not there"):
        open_port(SerialOptions(path=tmp_path / "absent"))


def test_a_number_that_changes_with_the_order_of_plugging_has_a_stable_name(tmp_path: Path) -> None:
    port, by_id = tmp_path / "ttyUSB3", tmp_path / "by-id"
    port.touch()
    by_id.mkdir()
    (by_id / "usb-FTDI_A1").symlink_to(port)
    assert stable_name(port, by_id) == by_id / "usb-FTDI_A1"
    assert stable_name(tmp_path / "ttyUSB4", by_id) is None
    assert stable_name(by_id / "usb-FTDI_A1", by_id) is None
    assert stable_name(port, tmp_path / "absent") is None


def test_who_holds_a_port_is_named(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    folder = tmp_path / "proc" / "812" / "fd"
    folder.mkdir(parents=True)
    (folder / "3").symlink_to(port)
    (folder.parent / "comm").write_text("minicom\n")
    (tmp_path / "proc" / str(os.getpid()) / "fd").mkdir(parents=True)
    assert holders(port, tmp_path / "proc") == ["minicom, process 812"]
    assert holders(tmp_path / "other", tmp_path / "proc") == []
