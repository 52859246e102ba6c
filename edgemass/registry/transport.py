"""HTTP as registries and trust metadata are fetched: deadlines, certificates, and a clock that may be wrong.

A board without a clock battery wakes up in 1970, where every certificate is not yet valid. Hence validity is checked
against the later of the system's clock and a floor: a time that has passed for sure.
"""

from __future__ import annotations

import ssl
import time
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path

import msgspec

from edgemass import __version__
from edgemass.clock import Clock, SystemClock
from edgemass.errors import ConfigError

try:
    import httpx

    from edgemass.registry.wire import Pace, Wire
except ImportError as error:
    raise ConfigError("updates need httpx and more: pip install 'edgemass[update]'") from error

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python's ssl does not name
_CLOCK_SLACK_S = 60.0


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a registry.

    ca: PEM file of certificates to trust instead of the system's. password_file: holds the password of `user`.
    docker_config: file with logins as `docker login` writes it.
    bandwidth_bytes_s: at most so many are read; None = all there is.
    connect_s: for a connection and its handshake. stall_s: without a byte. total_s: of one operation with all its
        attempts. least_bytes_s: slower than this over `stall_s` counts as a stall.
    floor_s: Unix time that has passed for sure.
    """

    ca: str | None = None
    user: str | None = None
    password_file: str | None = None
    docker_config: str | None = None
    bandwidth_bytes_s: float | None = None
    connect_s: float = 10.0
    stall_s: float = 20.0
    total_s: float = 900.0
    least_bytes_s: float = 256.0
    floor_s: float = 0.0


def open_client(
    transport: Transport, base_url: str = "", *, clock: Clock | None = None, pace: Pace | None = None
) -> httpx.Client:
    """A client that follows no redirect by itself, takes no proxy for loopback, and knows the time.

    Each request has to be over within `total_s`, or at the time that its extension `wire.DEADLINE` says, and may not be
    slower than `least_bytes_s`; both come out as httpx.TimeoutException. For one thread at a time.
    pace: one that counts for the caller.

    Raises:
        ConfigError: the certificates to trust cannot be read.
    """
    clock = clock or SystemClock()
    pace = pace or Pace(clock, transport.stall_s, transport.least_bytes_s, transport.bandwidth_bytes_s)
    return httpx.Client(
        base_url=base_url,
        transport=Wire(tls_context(transport), pace, clock, transport.total_s),
        timeout=httpx.Timeout(transport.stall_s, connect=transport.connect_s),
        headers={"User-Agent": f"edgemass/{__version__}", "Accept-Encoding": "identity"},
        follow_redirects=False,
        trust_env=False,
    )


def tls_context(transport: Transport) -> ssl.SSLContext:
    """As the system verifies certificates, but for a clock that is behind the floor.

    Raises:
        ConfigError: the certificates to trust cannot be read.
    """
    if transport.ca is not None and not Path(transport.ca).is_file():
        raise ConfigError(f"ca: no file {transport.ca}; wanted certificates as PEM")
    behind = time.time() < transport.floor_s - _CLOCK_SLACK_S
    try:
        changed_ns = Path(transport.ca).stat().st_mtime_ns if transport.ca is not None else 0
        context = _context.__wrapped__(transport.ca, 0) if behind else _context(transport.ca, changed_ns)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"ca: {transport.ca} holds no certificates as PEM: {error}") from error
    if behind:
        context.verify_flags |= _NO_CHECK_TIME
        context.sslobject_class = _floored(transport.floor_s, ssl.SSLObject)
        context.sslsocket_class = _floored(transport.floor_s, ssl.SSLSocket)
    return context


@lru_cache(maxsize=4)
def _context(ca: str | None, changed_ns: int) -> ssl.SSLContext:  # noqa: ARG001 (another file is another context)
    """Kept, since the system's certificates take 20 ms to read, and asking for news takes 3."""
    return ssl.create_default_context(cafile=ca)


def _floored(floor_s: float, kind: type) -> type:
    """A socket that checks the end of the peer's validity against the floor; its beginning may be later than that."""

    class Floored(kind):  # type: ignore[misc]
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 (the overridden signature)
            if issubclass(kind, ssl.SSLSocket):
                super().do_handshake(block)
            else:
                super().do_handshake()
            certificate = self.getpeercert()
            ends_s = ssl.cert_time_to_seconds(certificate["notAfter"]) if certificate else floor_s
            if ends_s < floor_s:
                when = datetime.fromtimestamp(floor_s, timezone.utc)
                raise ssl.SSLCertVerificationError(
                    f"certificate has expired: it ended {certificate['notAfter']}, now it is {when:%Y-%m-%d} at least"
                )

    return Floored
