"""The other end of a serial line: a microcontroller that misbehaves on request, with a framing of its own.

Written from docs/serial.md and not with the sink's code, so that a mistake there is no mistake here.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PATIENCE_S = 20.0


def crc16_bitwise(data: bytes) -> int:
    """CRC-16/CCITT-FALSE as the book has it."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def opened(line: bytes) -> dict[str, Any]:
    """The body of a line, whose CRC must be right."""
    text, star, tail = line.rstrip(b"\r\n").rpartition(b"*")
    assert star, f"no CRC in {line!r}"
    assert int(tail, 16) == crc16_bitwise(text), f"wrong CRC in {line!r}"
    assert line.isascii()
    body = json.loads(text)
    assert isinstance(body, dict)
    return body


def closed(body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()  # with spaces: a parser must not mind
    return text + b"*%04x\r\n" % crc16_bitwise(text)


class Microcontroller:
    """Speaks through a descriptor: the other side of a pseudo-terminal, or one end of a pair of socat's.

    seen: bodies of all lines read so far, in order. raw: their bytes. sip: bytes that it takes in at a time.
    """

    def __init__(self, descriptor: int) -> None:
        self.seen: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.sip = 65536
        self._descriptor = descriptor
        self._rest = b""
        self._number = 0
        os.set_blocking(descriptor, False)

    def ask(self, kind: str, **keys: Any) -> int:
        """Send a request, and give its number."""
        self._number += 1
        self.send(closed({"n": self._number, "k": kind, **keys}))
        return self._number

    def send(self, data: bytes) -> None:
        """All of it, however slowly it is taken."""
        give_up = time.monotonic() + PATIENCE_S
        while data:
            assert time.monotonic() < give_up, f"nobody takes {len(data)} bytes"
            select.select([], [self._descriptor], [], 0.1)
            with suppress(BlockingIOError):
                data = data[os.write(self._descriptor, data) :]

    def read(self, timeout_s: float = 0.0) -> bool:
        """Take in what has come, and wait for it so long; False when nothing came."""
        if not select.select([self._descriptor], [], [], timeout_s)[0]:
            return False
        try:
            self._rest += os.read(self._descriptor, self.sip)
        except OSError:  # the other side is closed for now
            time.sleep(0.01)
            return False
        *lines, self._rest = self._rest.split(b"\n")
        self.raw += [line + b"\n" for line in lines]
        self.seen += [opened(line) for line in lines]
        return True

    def drain(self, quiet_s: float = 0.3) -> None:
        """Read until nothing has come for so long."""
        while self.read(quiet_s):
            pass

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line from now on that is wanted; lines before stay in `seen`."""
        looked = 0
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            for body in self.seen[looked:]:
                if wanted(body):
                    return body
            looked = len(self.seen)
            self.read(0.1)
        raise AssertionError(f"no such line came; the last were {self.seen[-10:]}")

    def wait_for_kind(self, kind: str, **keys: Any) -> dict[str, Any]:
        return self.wait_for(lambda body: body["k"] == kind and all(body.get(key) == keys[key] for key in keys))

    def forget(self) -> None:
        self.seen.clear()
        self.raw.clear()


@contextmanager
def terminal() -> Iterator[tuple[Microcontroller, str]]:
    """A pseudo-terminal: the microcontroller behind it, and the path of the port; closing it is pulling the plug."""
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    os.close(slave)
    try:
        yield Microcontroller(master), path
    finally:
        with suppress(OSError):
            os.close(master)


class SocatPair:
    """Two ports with a line between them: `port` for the program under test, `far` for who plays its other end."""

    def __init__(self, folder: Path) -> None:
        self.port, self.far = folder / "port", folder / "far"
        self._process: subprocess.Popen[bytes] | None = None

    def plug(self) -> Microcontroller:
        """Start it, and give the far end."""
        socat = shutil.which("socat")
        assert socat is not None
        command = [socat, f"pty,raw,echo=0,link={self.port}", f"pty,raw,echo=0,link={self.far}"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        give_up = time.monotonic() + PATIENCE_S
        while not (self.port.exists() and self.far.exists()):
            assert time.monotonic() < give_up, "socat made no ports"
            time.sleep(0.01)
        descriptor = os.open(self.far, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        termios.tcflush(descriptor, termios.TCIOFLUSH)
        return Microcontroller(descriptor)

    def unplug(self) -> None:
        """Both ports vanish."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None
        self.port.unlink(missing_ok=True)
        self.far.unlink(missing_ok=True)
