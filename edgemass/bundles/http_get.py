"""HTTP GET by the standard library, with what it lacks: one deadline over everything, and no way down from TLS.

Proxies are taken from the environment (https_proxy, http_proxy, no_proxy), certificates from the system.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import urllib.request
from http.client import HTTPResponse
from types import TracebackType
from typing import IO, Any, final
from urllib.parse import urlsplit

from edgemass import __version__
from edgemass.errors import BundleError


@final
class Deadline:
    """Ends the connection when the time is over, even one that trickles; a socket's own timeout only ends silence.

    over: the time is over.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._end)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._replace(None)

    def watch(self, connection: socket.socket) -> None:
        """From now on it is this connection that ends; a copy is kept, since TLS takes the socket over.

        Raises:
            TimeoutError: the time is over already.
        """
        self._replace(connection.dup())

    def _replace(self, connection: socket.socket | None) -> None:
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = connection
            if connection is not None and self.over:
                raise TimeoutError

    def _end(self) -> None:
        with self._lock:
            self.over = True
            if self._watched is not None:
                try:
                    self._watched.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has ended already
                    return


def get(address: str, *, first: int, timeout_s: float, deadline: Deadline) -> HTTPResponse:
    """Ask for a file from byte `first` on; redirects are followed.

    timeout_s: longest silence while connecting and while reading.

    Raises:
        urllib.error.URLError, http.client.HTTPException, OSError: as urllib.request.
        BundleError: it redirects to something that is not HTTPS.
    """
    headers = {"User-Agent": f"edgemass/{__version__}", "Accept-Encoding": "identity"}
    if first:
        headers["Range"] = f"bytes={first}-"
    opener = urllib.request.build_opener(_Http(deadline), _Https(deadline), _Redirects())
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 (the caller has seen its scheme)
    response: HTTPResponse = opener.open(request, timeout=timeout_s)
    return response


def proxy_of(address: str) -> str:
    """The proxy that the environment names for it; empty without one."""
    parts = urlsplit(address)
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    return "" if urllib.request.proxy_bypass(parts.netloc) else proxy


class _Watched(http.client.HTTPConnection):
    deadline: Deadline

    def connect(self) -> None:
        super().connect()
        self.deadline.watch(self.sock)


class _WatchedTls(http.client.HTTPSConnection, _Watched):
    """Connects by `_Watched`, then puts TLS on it: the handshake is watched too."""


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> http.client.HTTPConnection:
            made = _Watched(host, **options)
            made.deadline = self._deadline
            return made

        return self.do_open(connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        def connection(host: str, **options: Any) -> http.client.HTTPConnection:
            made = _WatchedTls(host, context=ssl.create_default_context(), **options)
            made.deadline = self._deadline
            return made

        return self.do_open(connection, req)


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        allowed = ("https",) if req.type == "https" else ("https", "http")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise BundleError(f"{req.full_url} leads to {newurl}, which is not HTTPS; it is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
