"""An HTTP server for files on loopback that cuts, ignores, stalls and lies on request."""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import final
from urllib.parse import urlsplit

PATIENCE_S = 30.0
_TRICKLE_S = 0.02


@dataclass(frozen=True)
class Answer:
    """How one request is answered; by default as it should be.

    status: instead of the file, with a page that says so. content: instead of the file. redirect: where it lies now.
    cut: after this share of the body the connection ends. length: what Content-Length says instead of the truth; None
    keeps it, -1 leaves it out. resume: False answers 200 and the whole file whatever the Range. shift: begin so many
    bytes behind where the Range asked. silent: say nothing at all. stall: say nothing more after this share.
    trickle: byte by byte, beginning with the status line.
    """

    status: int = 200
    content: bytes | None = None
    redirect: str = ""
    cut: float | None = None
    length: int | None = None
    resume: bool = True
    shift: int = 0
    silent: bool = False
    stall: float | None = None
    trickle: bool = False


@dataclass(frozen=True)
class Request:
    """target: as it came, a path or (to a proxy) an address. range: of the header, empty without one."""

    target: str
    range: str


@final
@dataclass
class FileServer:
    """files: by path, as in {"/m.onnx": b"..."}. script: answers to the next requests, in turn; then all is well."""

    files: dict[str, bytes]
    script: list[Answer] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    stalled: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        outer = self

        class Handler(_Handler):
            server_of_files = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="file server", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def address(self, path: str) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> FileServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server_of_files: FileServer
    timeout = PATIENCE_S

    def do_GET(self) -> None:
        server = self.server_of_files
        server.requests.append(Request(self.path, self.headers.get("Range", "")))
        answer = server.script.pop(0) if server.script else Answer()
        if answer.silent:
            self._stall()
            return
        head, body = self._whole(answer)
        if answer.trickle:
            self._trickle(head + body)
            return
        self.wfile.write(head)
        share = answer.cut if answer.cut is not None else answer.stall
        self.wfile.write(body if share is None else body[: int(len(body) * share)])
        self.wfile.flush()
        if answer.stall is not None:
            self._stall()

    def _whole(self, answer: Answer) -> tuple[bytes, bytes]:
        """Status line with headers, and body."""
        content = self.server_of_files.files.get(urlsplit(self.path).path)
        headers: dict[str, str] = {}
        status, body = answer.status, answer.content if answer.content is not None else content
        if answer.redirect:
            status, body, headers["Location"] = 302, b"", answer.redirect
        elif status != 200 or body is None:
            status = status if status != 200 else 404
            body = f"{status}\n".encode()
        elif answer.resume and (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            first = int(match[1]) + answer.shift
            if first >= len(body):
                status, body = 416, b""
            else:
                headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[first:]
        length = len(body) if answer.length is None else answer.length
        if length >= 0:
            headers["Content-Length"] = str(length)
        lines = [f"HTTP/1.0 {status} Answer", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return "\r\n".join(lines).encode(), body

    def _stall(self) -> None:
        self.server_of_files.stalled.set()
        self.server_of_files.closing.wait(PATIENCE_S)

    def _trickle(self, data: bytes) -> None:
        for byte in data:
            if self.server_of_files.closing.wait(_TRICKLE_S):
                return
            self.wfile.write(bytes([byte]))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Tests look at `requests`."""
