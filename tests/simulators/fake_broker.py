"""What no real broker can be told to do: one that answers to CONNECT as a test says, over a raw socket."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import final

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 0x10, 0x30, 0x82, 0xE0
PATIENCE_S = 20.0


class Peer:
    """One client that connected. level: of the protocol in its CONNECT: 5, or 4 for MQTT 3.1.1.

    packets: (first byte, all behind the length) of what came after CONNECT; shared with the broker.
    """

    def __init__(self, connection: socket.socket, packets: list[tuple[int, bytes]]) -> None:
        self._connection = connection
        self.level = 0
        self.packets = packets

    def read_packet(self) -> tuple[int, bytes]:
        """(first byte, all behind the length); (0, b"") when the client has gone."""
        head = self._read(1)
        if not head:
            return 0, b""
        length = shift = 0
        while True:
            byte = self._read(1)
            if not byte:
                return 0, b""
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if not byte[0] & 0x80:
                return head[0], self._read(length)

    def send(self, packet: bytes) -> None:
        self._connection.sendall(packet)

    def accept(self) -> None:
        self.connack(0)

    def connack(self, code: int, properties: bytes = b"") -> None:
        """CONNACK with a reason code of MQTT 5 or a return code of 3.1.1; session not present."""
        body = bytes([0, code]) + (bytes([len(properties)]) + properties if self.level == 5 else b"")
        self.send(bytes([0x20, len(body)]) + body)

    def disconnect(self, code: int) -> None:
        """DISCONNECT of MQTT 5."""
        self.send(bytes([DISCONNECT, 2, code, 0]))

    def read_until_gone(self, largest: int | None = None) -> None:
        """Take what comes and acknowledge it; with `largest` only until a larger packet comes."""
        while True:
            first, body = self.read_packet()
            if not first:
                return
            self.packets.append((first, body))
            if largest is not None and len(body) > largest:
                return
            if first & 0xF6 == PUBLISH | 2:  # QoS 1
                length = int.from_bytes(body[:2], "big")
                self.send(b"\x40\x02" + body[2 + length : 4 + length])

    def is_quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        return not select.select([self._connection], [], [], seconds)[0]

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._connection.recv(count - len(data))
            if not chunk:
                return b""
            data += chunk
        return data


Behaviour = Callable[[Peer], None]
"""Called after CONNECT was read; the connection is closed when it returns."""


def hangs_up(_: Peer) -> None:
    """Closes the connection without an answer to CONNECT."""


def silent(peer: Peer) -> None:
    """Never says a word."""
    peer.read_until_gone()


def hangs_up_after_connack(peer: Peer) -> None:
    peer.accept()


def accepts(peer: Peer) -> None:
    """Accepts, keeps the connection and acknowledges."""
    peer.accept()
    peer.read_until_gone()


def accepts_with(properties: bytes) -> Behaviour:
    """As `accepts`, with properties of MQTT 5 in the CONNACK."""

    def behave(peer: Peer) -> None:
        peer.connack(0, properties)
        peer.read_until_gone()

    return behave


def throws_out_above(size: int) -> Behaviour:
    """Accepts, and disconnects with 0x95 whoever sends a larger packet."""

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.read_until_gone(largest=size)
        peer.disconnect(0x95)
        peer.read_until_gone()

    return behave


def hangs_up_on(word: bytes) -> Behaviour:
    """Accepts, and acknowledges once nothing more comes; hangs up at once on what holds `word`."""

    def behave(peer: Peer) -> None:
        peer.accept()
        owed: list[bytes] = []
        while True:
            if owed and peer.is_quiet(0.05):
                peer.send(b"".join(owed))
                owed.clear()
            first, body = peer.read_packet()
            if not first or word in body:
                return
            peer.packets.append((first, body))
            if first & 0xF6 == PUBLISH | 2:  # QoS 1
                length = int.from_bytes(body[:2], "big")
                owed.append(b"\x40\x02" + body[2 + length : 4 + length])

    return behave


def forbids_subscribing(peer: Peer) -> None:
    """Accepts, and answers SUBSCRIBE with 0x87."""
    peer.accept()
    while True:
        first, body = peer.read_packet()
        if not first:
            return
        if first == SUBSCRIBE:
            peer.send(b"\x90\x04" + body[:2] + b"\x00\x87")


def refuses(code: int) -> Behaviour:
    return lambda peer: peer.connack(code)


def dismisses(code: int) -> Behaviour:
    """Accepts, and disconnects at once with a reason code of MQTT 5."""

    def behave(peer: Peer) -> None:
        peer.accept()
        peer.disconnect(code)
        peer.read_until_gone()

    return behave


def speaks_tls(peer: Peer) -> None:
    """The alert of a TLS 1.2 server to what is no handshake (RFC 5246, 7.2: unexpected_message)."""
    peer.send(b"\x15\x03\x03\x00\x02\x02\x0a")


def knows_only_311(on_five: Behaviour) -> Behaviour:
    """Meets MQTT 5 as told, and accepts 3.1.1 and keeps the connection."""

    def behave(peer: Peer) -> None:
        if peer.level == 5:
            on_five(peer)
            return
        peer.accept()
        peer.read_until_gone()

    return behave


def old_refusal(peer: Peer) -> None:
    """The CONNACK of a broker of MQTT 3.1.1 to a version that it does not know (3.1.1, table 3.1)."""
    peer.send(b"\x20\x02\x00\x01")


@final
class FakeBroker:
    """Serves one client after the other in a thread.

    levels: protocol level of every CONNECT so far. packets: what followed, first byte and all behind the length.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.levels: list[int] = []
        self.packets: list[tuple[int, bytes]] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, name="fake-broker", daemon=True)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeBroker:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop_all()
        self._thread.join(PATIENCE_S)

    def drop_all(self) -> None:
        """Break the connections of now, without a word."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # closed: the test is over
                return
            self._open.append(connection)
            with contextlib.suppress(OSError), connection:
                peer = Peer(connection, self.packets)
                first, body = peer.read_packet()
                if first == CONNECT:
                    peer.level = body[6]  # behind the length and name "MQTT" (3.1.2.2)
                    self.levels.append(peer.level)
                    self.behaviour(peer)
