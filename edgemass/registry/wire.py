"""What httpx lacks for hostile or dying servers: one deadline over everything, a least speed, and a highest one.

A socket's own timeout only ends silence; a server that sends one byte a second would hold a client for ever, in its
headers too. So the stream below HTTP counts time and bytes.
"""

from __future__ import annotations

import ssl
import threading
import typing
import urllib.request
from collections.abc import Iterable

import httpcore
import httpx

from edgemass.clock import Clock

DEADLINE = "edgemass.deadline_ns"
"""Extension of a request: monotonic time at which it has to be over, its body included."""

_CONNECTIONS = 4
_KEEP_ALIVE_S = 30.0
_NS = 1_000_000_000


class Pace:
    """Time and speed of the request that runs; one at a time.

    stall_s, least_bytes_s, bandwidth_bytes_s: see Transport. received: bytes that came since it was made.
    """

    def __init__(self, clock: Clock, stall_s: float, least_bytes_s: float, bandwidth_bytes_s: float | None) -> None:
        self._clock = clock
        self._stall_ns = round(stall_s * _NS)
        self._least = least_bytes_s * stall_s
        self._bandwidth = bandwidth_bytes_s
        self._deadline_ns = 0
        self._free_ns = 0  # when the bandwidth allows the next byte
        self._waited_ns = self._came = 0
        self.received = 0

    def begin(self, deadline_ns: int) -> None:
        self._deadline_ns = deadline_ns
        self._waited_ns = self._came = 0

    def left_s(self, timeout_s: float | None, over: type[Exception]) -> float:
        """How long the next step may take.

        Raises:
            over: the time is over.
        """
        left_s = (self._deadline_ns - self._clock.monotonic_ns()) / _NS
        if left_s <= 0:
            raise over("it took too long in all")
        return left_s if timeout_s is None else min(left_s, timeout_s)

    def read(self, stream: httpcore.NetworkStream, max_bytes: int, timeout_s: float | None) -> bytes:
        before = self._clock.monotonic_ns()
        try:
            data = stream.read(max_bytes, self.left_s(timeout_s, httpcore.ReadTimeout))
        except httpcore.ReadTimeout:
            self.left_s(None, httpcore.ReadTimeout)  # tells so where it is the deadline that ended it
            raise
        now = self._clock.monotonic_ns()
        self._waited_ns += now - before  # only what the server keeps us waiting, not what we do in between
        self._came += len(data)
        self.received += len(data)
        if self._waited_ns >= self._stall_ns:
            if data and self._came < self._least:
                raise httpcore.ReadTimeout(f"only {self._came} bytes came in {self._waited_ns / _NS:.1f} s")
            self._waited_ns = self._came = 0
        if self._bandwidth is not None:
            self._free_ns = max(self._free_ns, now) + round(len(data) / self._bandwidth * _NS)
            pause_s = (self._free_ns - now) / _NS
            self._clock.wait(threading.Event(), min(pause_s, self.left_s(None, httpcore.ReadTimeout)))
        return data


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, pace: Pace) -> None:
        self._stream = stream
        self._pace = pace

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._pace.read(self._stream, max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        view = memoryview(buffer)
        for first in range(0, len(view), 1 << 16):  # so that the deadline is looked at now and then
            self._stream.write(
                bytes(view[first : first + (1 << 16)]), self._pace.left_s(timeout, httpcore.WriteTimeout)
            )

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left_s = self._pace.left_s(timeout, httpcore.ConnectTimeout)  # ssl takes it for the handshake as a whole
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left_s), self._pace)

    def get_extra_info(self, info: str) -> typing.Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        left_s = self._pace.left_s(timeout, httpcore.ConnectTimeout)
        return _Stream(self._sockets.connect_tcp(host, port, left_s, local_address, socket_options), self._pace)


class Wire(httpx.BaseTransport):
    """httpx over sockets with a pace, through the proxy that the environment names for a host, if any."""

    def __init__(self, context: ssl.SSLContext, pace: Pace, clock: Clock, total_s: float) -> None:
        """total_s: for a request that has no DEADLINE."""
        self._context = context
        self._pace = pace
        self._clock = clock
        self._total_ns = round(total_s * _NS)
        self._routes: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._pace.begin(request.extensions.get(DEADLINE, self._clock.monotonic_ns() + self._total_ns))
        proxy = _proxy_of(request.url)
        if proxy not in self._routes:
            self._routes[proxy] = self._route(proxy)
        return self._routes[proxy].handle_request(request)

    def _route(self, proxy: str) -> httpx.HTTPTransport:
        route = httpx.HTTPTransport(verify=self._context)
        backend = _Backend(self._pace)
        # httpx hands no backend through; the pool that it makes is replaced by one that has ours.
        if proxy:
            address = httpx.URL(proxy)
            route._pool = httpcore.HTTPProxy(  # noqa: SLF001
                proxy_url=str(address.copy_with(username=None, password=None)),
                proxy_auth=(address.username, address.password) if address.username else None,
                ssl_context=self._context,
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEEP_ALIVE_S,
                network_backend=backend,
            )
        else:
            route._pool = httpcore.ConnectionPool(  # noqa: SLF001
                ssl_context=self._context,
                max_connections=_CONNECTIONS,
                keepalive_expiry=_KEEP_ALIVE_S,
                network_backend=backend,
            )
        return route

    def close(self) -> None:
        for route in self._routes.values():
            route.close()


def _proxy_of(url: httpx.URL) -> str:
    """Empty without one; loopback has none."""
    if is_loopback(url.host) or urllib.request.proxy_bypass(f"{url.host}:{url.port or ''}".rstrip(":")):
        return ""
    return urllib.request.getproxies().get(url.scheme, "")


def is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())
