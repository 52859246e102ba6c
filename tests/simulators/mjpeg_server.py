"""A real HTTP server on loopback that sends JPEG after JPEG, and misbehaves on request."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import final

import cv2
import numpy as np

from tests.simulators.broker import free_port

WIDTH, HEIGHT = 64, 48
STEP = 16  # of the gray that tells one picture from the next
PATIENCE_S = 10.0
REALM, NONCE = "cam, the front one", "dcd98b7102dd2f0e8b11d0f600bfb0c0"
MULTIPART = "multipart/x-mixed-replace;boundary=frame"

Send = Callable[[bytes], None]


def jpeg(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """A gray picture, see `number_of`."""
    done, data = cv2.imencode(".jpg", np.full((size[1], size[0], 3), number * STEP % 256, np.uint8))
    assert done
    return bytes(data)


def number_of(image: np.ndarray) -> int:
    """The number of a picture modulo 16."""
    return round(float(image.mean()) / STEP)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What the server does; the defaults are a good camera.

    content_type: of the answer; None leaves the header out. delimiter: the line before each part.
    length: bytes that Content-Length says too much; None leaves it out. head: further lines of each part's head.
    parts: the body of each part by its number, from 0; the stream ends behind the last one.
    whole: sent as the body instead of parts, again and again with `endless`.
    auth: "basic", "digest" or "digest-sha-256". location: where to redirect. status: in place of 200.
    piece: bytes sent at once, with `pause_s` behind each; None sends a part at once.
    """

    fps: float = 30.0
    content_type: str | None = MULTIPART
    delimiter: bytes = b"--frame"
    length: int | None = 0
    head: bytes = b"Content-Type: image/jpeg\r\n"
    parts: Callable[[int], bytes] = jpeg
    count: int | None = None
    whole: bytes | None = None
    endless: bool = False
    auth: str = ""
    location: str = ""
    status: str = "200 OK"
    chunked: bool = False
    piece: int | None = None
    pause_s: float = 0.0
    user: str = "viewer"
    password: str = "right"


@final
@dataclass
class MjpegServer:
    """http://127.0.0.1:<port>/mjpeg, or https with `tls`.

    seen: the request heads, in order. connections: how many have come.
    """

    behaviour: Behaviour = field(default_factory=Behaviour)
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._listening: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._speaking = threading.Event()
        self._speaking.set()
        self._down = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/mjpeg"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._down.clear()
        self.port = self.port or free_port()
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self._run(self._accept, self._listening)

    def kill(self) -> None:
        """Cut every connection and listen no more, as a camera without power."""
        self._down.set()
        self._speaking.set()
        for open_socket in [*self._open, self._listening]:
            if open_socket is not None:
                with suppress(OSError):
                    open_socket.shutdown(socket.SHUT_RDWR)
                open_socket.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._open, self._threads, self._listening = [], [], None

    def silence(self) -> None:
        """Connections stay, new ones are accepted, and nothing comes."""
        self._speaking.clear()

    def resume(self) -> None:
        self._speaking.set()

    def __enter__(self) -> MjpegServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _run(self, target: Callable[[socket.socket], None], connected: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(connected,), name="mjpeg-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while not self._down.is_set():
            try:
                connected, _ = listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connected)
            self._run(self._serve, connected)

    def _serve(self, connected: socket.socket) -> None:
        with suppress(OSError, ValueError), connected:
            connected.settimeout(PATIENCE_S)
            if self.tls is not None:
                connected = self.tls.wrap_socket(connected, server_side=True)
                self._open.append(connected)
            head = b""
            while b"\r\n\r\n" not in head:
                more = connected.recv(4096)
                if not more:
                    return
                head += more
                if not head.startswith(b"GET "[: len(head)]):
                    connected.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                    return
            self.seen.append(head.decode("latin-1"))
            self._answer(head.decode("latin-1"), self._sender(connected))

    def _sender(self, connected: socket.socket) -> Send:
        def send(data: bytes) -> None:
            size = self.behaviour.piece or len(data) or 1
            for begin in range(0, len(data), size):
                while not self._speaking.wait(0.05) and not self._down.is_set():
                    pass
                if self._down.is_set():
                    raise OSError("down")
                connected.sendall(data[begin : begin + size])
                if self.behaviour.pause_s:
                    time.sleep(self.behaviour.pause_s)

        return send

    def _answer(self, head: str, send: Send) -> None:
        will = self.behaviour
        if will.location:
            send(f"HTTP/1.1 302 Found\r\nLocation: {will.location}\r\nContent-Length: 0\r\n\r\n".encode())
        elif will.auth and not authorized(head, will):
            send(f"HTTP/1.1 401 Unauthorized\r\n{challenge(will.auth)}Content-Length: 0\r\n\r\n".encode())
        else:
            kind = f"Content-Type: {will.content_type}\r\n" if will.content_type is not None else ""
            coding = "Transfer-Encoding: chunked\r\n" if will.chunked else ""
            send(f"HTTP/1.1 {will.status}\r\n{kind}{coding}Connection: close\r\n\r\n".encode())
            for data in body(will, self._down):
                send(f"{len(data):x}\r\n".encode() + data + b"\r\n" if will.chunked else data)


def body(will: Behaviour, stop: threading.Event) -> Iterator[bytes]:
    """The pieces of the answer's body, at the behaviour's rate."""
    if will.whole is not None:
        yield will.whole
        while will.endless and not stop.is_set():
            yield will.whole
        return
    number = 0
    while (will.count is None or number < will.count) and not stop.is_set():
        part = will.parts(number)
        length = b"" if will.length is None else b"Content-Length: %d\r\n" % (len(part) + will.length)
        yield will.delimiter + b"\r\n" + will.head + length + b"\r\n" + part + b"\r\n"
        number += 1
        stop.wait(1 / will.fps)
    yield will.delimiter + b"--\r\n"


def challenge(auth: str) -> str:
    """The WWW-Authenticate lines, weakest first, as cameras send them."""
    basic = f'WWW-Authenticate: Basic realm="{REALM}"\r\n'
    if auth == "basic":
        return basic
    algorithm = "SHA-256" if auth == "digest-sha-256" else "MD5"
    digest = (
        f'WWW-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", qop="auth,auth-int", algorithm={algorithm}\r\n'
    )
    return basic + digest


def authorized(head: str, will: Behaviour) -> bool:
    """Whether a request's head proves the password, by the published formulas."""
    match = re.search(r"(?im)^authorization: (\w+) (.*?)\r?$", head)
    if match is None:
        return False
    if will.auth == "basic":
        pair = base64.b64encode(f"{will.user}:{will.password}".encode()).decode()
        return (match[1], match[2]) == ("Basic", pair)
    given = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,\s]+)', match[2])}
    algorithm = hashlib.sha256 if will.auth == "digest-sha-256" else hashlib.md5

    def hashed(text: str) -> str:
        return algorithm(text.encode()).hexdigest()

    target = head.split(" ")[1]
    secret, request = hashed(f"{will.user}:{REALM}:{will.password}"), hashed(f"GET:{target}")
    wanted = hashed(f"{secret}:{NONCE}:{given.get('nc')}:{given.get('cnonce')}:auth:{request}")
    return match[1] == "Digest" and given.get("response") == wanted and given.get("uri") == target
