"""The child process that verifies and fetches: it ends when it should."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edgemass.errors import RegistryUnavailableError, TrustError
from edgemass.registry.obtaining import Order, obtain
from tests.simulators.broker import wait_until

PARENT = """
import sys, threading, msgspec
from edgemass.registry.obtaining import Order, obtain
order = msgspec.json.decode(sys.argv[1].encode(), type=Order)
obtain(order, progress=lambda *_: print("asked", flush=True), cancelled=threading.Event())
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """A registry that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"oci://127.0.0.1:{server.getsockname()[1]}/models/door"


def order(folder: Path, registry: str, deadline_s: float) -> Order:
    for name in ("blobs", "incoming", "trust"):
        (folder / name).mkdir(exist_ok=True)
    return Order(
        device="pi",
        slot="main",
        sequence=0,
        registry=registry,
        metadata="",
        root="",
        trust=str(folder / "trust"),
        blobs=str(folder / "blobs"),
        incoming=str(folder / "incoming"),
        transport='{"stall_s": 600}',
        deadline_s=deadline_s,
        digest=f"sha256:{'0' * 64}",
    )


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] != "Z"
    except OSError:
        return False


def test_it_is_killed_at_its_deadline(tmp_path: Path, silent: str) -> None:
    with pytest.raises(RegistryUnavailableError, match="did not come within 2 s"):
        obtain(order(tmp_path, silent, 2.0), progress=lambda *_: None, cancelled=threading.Event())
    assert children(os.getpid()) == []


def test_it_ends_when_nobody_wants_the_model_any_more(tmp_path: Path, silent: str) -> None:
    cancelled = threading.Event()
    with pytest.raises(RegistryUnavailableError, match="cancelled"):
        obtain(order(tmp_path, silent, 600.0), progress=lambda *_: cancelled.set(), cancelled=cancelled)


def test_it_ends_with_a_daemon_that_is_killed(tmp_path: Path, silent: str) -> None:
    told = msgspec.json.encode(order(tmp_path, silent, 600.0)).decode()
    with subprocess.Popen([sys.executable, "-c", PARENT, told], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"asked\n"
        (child,) = children(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: not alive(child), "the end of the child")


def test_without_a_root_of_trust_no_order_is_followed(tmp_path: Path, silent: str) -> None:
    signed = msgspec.structs.replace(order(tmp_path, silent, 60.0), envelope="e30=")
    with pytest.raises(TrustError, match="without a root of trust"):
        obtain(signed, progress=lambda *_: None, cancelled=threading.Event())
