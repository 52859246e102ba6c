"""What the service manager is told, over sockets of both kinds."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemass.sdnotify import Notifier, from_environment


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The address and the other end of a service manager's socket."""
    path = str(tmp_path / "notify")
    name, address = (path, path) if request.param == "path" else (f"@{path}", f"\0{path}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        listening.settimeout(5)
        yield name, listening


def test_every_word_arrives_as_sd_notify_spells_it(manager: tuple[str, socket.socket]) -> None:
    address, listening = manager
    notifier = Notifier(address, 30)
    said = [
        (notifier.ready, b"READY=1"),
        (notifier.alive, b"WATCHDOG=1"),
        (lambda: notifier.status("two\nlines"), b"STATUS=two lines"),
        (lambda: notifier.reloading(5_000_001), b"RELOADING=1\nMONOTONIC_USEC=5000"),
        (notifier.stopping, b"STOPPING=1"),
        (lambda: notifier.extend(1.5), b"EXTEND_TIMEOUT_USEC=1500000"),
    ]
    for say, heard in said:
        assert say()
        assert listening.recv(4096) == heard


def test_a_manager_that_went_away_is_no_error(manager: tuple[str, socket.socket], tmp_path: Path) -> None:
    address, listening = manager
    listening.close()
    (tmp_path / "notify").unlink(missing_ok=True)
    assert not Notifier(address).alive()


@pytest.mark.parametrize("address", ["", "/" + "x" * 200, "nul\0inside", "@", "/dev/null"])
def test_an_address_that_makes_no_sense_is_no_error(address: str) -> None:
    assert not Notifier(address).ready()


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_only_the_process_that_is_meant_is_watched(environment: dict[str, str], watchdog_s: float | None) -> None:
    assert from_environment({"NOTIFY_SOCKET": "/run/notify", **environment}, 7).watchdog_s == watchdog_s


def test_without_a_manager_nothing_is_watched() -> None:
    assert from_environment({"WATCHDOG_USEC": "30000000"}, 7).watchdog_s is None
