"""Serves an ASGI application in a thread of its own, and ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import threading
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from edgemass.config.http import Address
from edgemass.errors import ConfigError, EdgemassError

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 64
MAX_HEADERS = 16 * 1024
REQUEST_S = 10.0
"""From the opening of a connection, or the first byte behind an answer, to a whole request."""
STALLED_S = 15.0
"""A client that takes nothing for so long is cut off, by the kernel."""
GRACE_S = 2


def bind(address: Address) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigError: this machine has no such address, or the port is not for everybody.
        EdgemassError: another program listens there; it may end.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {address}: {error.strerror}; wanted an address of this machine") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError, AttributeError):  # another system than Linux
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STALLED_S * 1000))
        made.bind(place)
        made.listen(MAX_CONNECTIONS)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise EdgemassError(
                f"cannot listen on {address}: another program does; end it, or give another port with --http PORT"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise ConfigError(
                f"cannot listen on {address}: ports below 1024 need a privilege; give one above with --http PORT"
            ) from error
        raise ConfigError(f"cannot listen on {address}: {error.strerror}; give an address of this machine") from error
    return made


class _Protocol(H11Protocol):
    """Bounded: in connections, and in how long each may be open without a request under way."""

    _awaiting = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
            return
        self._await_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_request()

    def _await_request(self) -> None:
        """Uvicorn bounds the silence between two requests only: one that is begun may take for ever."""
        request: Any = self.cycle  # None before the first, whatever uvicorn declares
        if not self._awaiting and (request is None or request.response_complete):
            self._awaiting = True
            self.loop.call_later(REQUEST_S, self._must_have_asked, request)

    def _must_have_asked(self, before: Any) -> None:
        """before: the request that was answered last when the wait began."""
        self._awaiting = False
        if self.transport.is_closing():
            return
        if self.cycle is before:
            self.transport.close()
        else:
            self._await_request()


class PageServer:
    """listening: of `bind`; closed with the server."""

    def __init__(self, app: ASGIApp, listening: socket.socket) -> None:
        self._socket = listening
        options: dict[str, Any] = {
            "http": _Protocol,
            "ws": "none",
            "loop": "asyncio",
            "lifespan": "off",
            "log_config": None,
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "h11_max_incomplete_event_size": MAX_HEADERS,
            "timeout_keep_alive": 5,
            "timeout_graceful_shutdown": GRACE_S,
        }
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what a client does wrong is its own affair
        self._server = uvicorn.Server(uvicorn.Config(app, **options))
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End, at most within `timeout_s`."""
        self._server.should_exit = True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            logger.error("the device page did not end in %.0f s", timeout_s)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:  # cameras go on without their page
            logger.exception("the device page has failed")
