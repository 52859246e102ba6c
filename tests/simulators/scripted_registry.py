"""A registry on loopback that serves what it is given, but answers the next requests as a script says."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import final

from edgemass import oci

_PATIENCE_S = 20.0


@dataclass(frozen=True)
class Reply:
    """One answer. body: in pieces, `pause_s` apart. headers: Content-Length is as long as the body unless it says else;
    empty leaves it out. silent: nothing at all comes.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    pause_s: float = 0.0
    silent: bool = False


HTML = Reply(headers={"Content-Type": "text/html; charset=utf-8"}, body=(b"<html>Welcome to the hotel</html>",))


@dataclass(frozen=True)
class Request:
    """headers: lower case."""

    method: str
    path: str
    headers: dict[str, str]


@final
@dataclass
class ScriptedRegistry:
    """blobs: content. manifests: by tag. script: replies to the next requests, in turn; then all is well.

    always: reply to every request from there on instead. tls: to speak it. requests: that came so far.
    """

    blobs: list[bytes] = field(default_factory=list)
    manifests: dict[str, bytes] = field(default_factory=dict)
    script: list[Reply] = field(default_factory=list)
    always: Reply | None = None
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> ScriptedRegistry:
        outer = self

        class Handler(_Handler):
            registry = outer

        self._server = _Server(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="registry", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_PATIENCE_S)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        return f"oci{'+https' if self.tls else ''}://127.0.0.1:{self.port}/models/tiny"

    def descriptor(self, number: int = 0) -> oci.Descriptor:
        """Of a blob."""
        blob = self.blobs[number]
        return oci.Descriptor(oci.WEIGHTS, oci.sha256(blob), len(blob), {oci.FILE_PATH: "tiny.onnx"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    registry: ScriptedRegistry
    timeout = _PATIENCE_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        registry = self.registry
        headers = {name.lower(): value for name, value in self.headers.items()}
        registry.requests.append(Request(self.command, self.path, headers))
        reply = registry.script.pop(0) if registry.script else registry.always
        reply = reply or self._honest(headers.get("range", ""))
        if reply.silent:
            registry.closing.wait(_PATIENCE_S)
            return
        body = reply.body
        said = {name.lower() for name in reply.headers}
        lines = [f"HTTP/1.1 {reply.status} Reply", "Connection: close"]
        if "content-length" not in said:
            body = list(body)
            lines.append(f"Content-Length: {sum(map(len, body))}")
        lines += [f"{name}: {value}" for name, value in reply.headers.items() if value]
        self.close_connection = True
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        for piece in body if self.command != "HEAD" else ():
            self.wfile.write(piece)
            if reply.pause_s and registry.closing.wait(reply.pause_s):
                return

    do_HEAD = do_POST = do_PUT = do_PATCH = do_GET  # noqa: N815 (the names of the base class)

    def _honest(self, wanted: str) -> Reply:
        kind, _, name = self.path.partition("?")[0].rpartition("/")
        if kind.endswith("/manifests"):
            found = self.registry.manifests.get(name)
            headers = {"Content-Type": oci.IMAGE_MANIFEST}
        else:
            found = next((blob for blob in self.registry.blobs if oci.sha256(blob) == name), None)
            headers = {"Content-Type": "application/octet-stream"}
        if found is None:
            problem = {"errors": [{"code": "NOT_FOUND", "message": f"no {name[:100]}"}]}
            return Reply(404, {"Content-Type": "application/json"}, (json.dumps(problem).encode(),))
        if match := re.fullmatch(r"bytes=(\d+)-", wanted):
            first = int(match[1])
            headers["Content-Range"] = f"bytes {first}-{len(found) - 1}/{len(found)}"
            return Reply(206, headers, (found[first:],))
        return Reply(200, headers, (found,))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name in the base class)
        """Tests look at `requests`."""
