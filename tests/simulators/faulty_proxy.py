"""A TCP proxy on loopback that cuts, stalls, drips and corrupts what goes back to the client."""

from __future__ import annotations

import selectors
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import final

_CHUNK_BYTES = 1 << 16
_PATIENCE_S = 20.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Fault:
    """What happens on one connection, in bytes that went to the client before it does; None = never.

    cut: the connection ends; with `reset` as if the other side had crashed. stall: nothing more comes. drip: from
    there on byte by byte, `drip_s` apart. corrupt: a bit of that byte is turned over.
    """

    cut: int | None = None
    reset: bool = False
    stall: int | None = None
    drip: int | None = None
    drip_s: float = 0.05
    corrupt: int | None = None


@final
@dataclass
class FaultyProxy:
    """fault: asked for each connection, in the thread that accepts, before a byte of it went anywhere.

    sent: bytes to clients. cuts: connections that were cut.
    """

    target: int
    fault: Callable[[], Fault] = Fault
    sent: int = 0
    cuts: int = 0
    _closing: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> FaultyProxy:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(_LOOK_EVERY_S)
        self._start(self._accept)
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        self._listener.close()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="faulty proxy", daemon=True)
        self._threads[:] = [other for other in self._threads if other.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._start(self._serve, client, self.fault())

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            try:
                self._pump(client, server, fault)
            except OSError:  # either side is gone
                return

    def _pump(self, client: socket.socket, server: socket.socket, fault: Fault) -> None:
        for connection in (client, server):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector = selectors.DefaultSelector()
        selector.register(client, selectors.EVENT_READ)
        selector.register(server, selectors.EVENT_READ)
        sent = 0
        with selector:
            while not self._closing.is_set():
                for key, _ in selector.select(_LOOK_EVERY_S):
                    data = key.fileobj.recv(_CHUNK_BYTES)  # type: ignore[union-attr]
                    if not data:
                        return
                    if key.fileobj is client:
                        server.sendall(data)
                        continue
                    if self._forward(client, data, sent, fault):
                        return
                    sent += len(data)

    def _forward(self, client: socket.socket, data: bytes, sent: int, fault: Fault) -> bool:
        """To the client, with what is wrong; whether that was the last of it."""
        after = sent + len(data)
        if fault.corrupt is not None and sent <= fault.corrupt < after:
            place = fault.corrupt - sent
            data = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        ends = min(place for place in (fault.cut, fault.stall, fault.drip, after) if place is not None)
        whole = data[: max(ends - sent, 0)]
        client.sendall(whole)
        self.sent += len(whole)
        if ends == after and ends not in (fault.cut, fault.stall):
            return False
        if ends == fault.cut:
            self.cuts += 1
            if fault.reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return True
        if ends == fault.stall:
            self._closing.wait(_PATIENCE_S)
            return True
        for byte in data[len(whole) :]:
            if self._closing.wait(fault.drip_s):
                return True
            client.sendall(bytes([byte]))
            self.sent += 1
        return False
