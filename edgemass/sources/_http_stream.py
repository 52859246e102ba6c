"""One HTTP answer that goes on for ever, with a deadline on everything: connecting, the head, each read."""

from __future__ import annotations

import http.client
import io
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

from edgemass import __version__
from edgemass.clock import Clock
from edgemass.errors import SourceError, UsageError
from edgemass.redact import redact, redact_address
from edgemass.sources._http_auth import Credentials, authorization

SILENCE_S = 4.0  # for connecting and for each read; the promise is to notice a silent camera within 5 s
OPENING_S = 10.0  # from the first connection to the head of the answer, redirects and authentication included
MAX_TURNS = 5  # requests for one opening: a redirect or two, and a 401 each
READ_BYTES = 65_536
_POLL_S = 0.25  # how soon a read notices that the source is closed

_ADVICE = {
    401: "check user and password in the address: {scheme}://user:password@...",
    403: "this user may not see the stream",
    404: "the camera has no stream of this path",
    503: "does it serve too many viewers already?",
}


@dataclass(frozen=True)
class Address:
    """Where to ask, and how. target: path and query. verify: whether the certificate of https must be known."""

    scheme: str
    host: str
    port: int
    target: str
    credentials: Credentials | None
    verify: bool


def parse(uri: str) -> Address:
    """Read an address as the user typed it; the fragment `#verify=no` is ours and is not sent.

    Raises:
        UsageError: no host, a port that is none, or an unknown option behind `#`.
    """
    fragment = ""
    try:
        address, fragment = urldefrag(uri)
        parts = urlsplit(address)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        host = (parts.hostname or "").encode("idna").decode("ascii") if parts.port != 0 else ""
    except ValueError:  # UnicodeError is one
        parts, port, host = urlsplit(""), 0, ""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not host or parts.scheme.lower() not in ("http", "https") or re.search(r"[\x00-\x1f\x7f]", user + password):
        raise UsageError(
            f"cannot read {redact_address(uri)!r}; wanted http://[user@]host[:port]/path; a password stands "
            "behind the user and a colon"
        )
    if fragment not in ("", "verify=yes", "verify=no"):
        raise UsageError(
            f"cannot read the option at the end of {redact_address(uri)!r}; known is #verify=no, "
            "and a # of a password is written %23"
        )
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~?[]") if parts.query else ""
    )
    credentials = Credentials(user, password) if user or password else None
    return Address(parts.scheme.lower(), host, port, target, credentials, verify=fragment != "verify=no")


class Wire:
    """A connected socket whose reads end: at SILENCE_S without a byte, at a deadline of all reads, or when closed.

    It stands where http.client wants a socket.
    """

    def __init__(self, connected: socket.socket, name: str, clock: Clock, closed: threading.Event) -> None:
        self._socket = connected
        self._name = name
        self._clock = clock
        self._closed = closed
        self._deadline_ns = 0
        self._overdue = ""

    def give_until(self, seconds: float, overdue: str) -> None:
        """Set the deadline of all reads from now on. overdue: what to tell of the camera when it passes."""
        self._deadline_ns = self._clock.monotonic_ns() + int(seconds * 1e9)
        self._overdue = overdue

    def receive_into(self, buffer: Any) -> int:
        """Bytes received; 0 at the end of the stream, or when the source was closed.

        Raises:
            SourceError: nothing came in time. OSError: the connection broke.
        """
        asked_ns = self._clock.monotonic_ns()
        while not self._closed.is_set():
            now_ns = self._clock.monotonic_ns()
            if now_ns >= self._deadline_ns:
                raise SourceError(f"{self._name} {self._overdue}")
            if now_ns - asked_ns >= SILENCE_S * 1e9:
                raise silent(self._name)
            try:
                return self._socket.recv_into(buffer)
            except TimeoutError:
                continue
        return 0

    # What http.client calls.

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(SILENCE_S)
        self._socket.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._socket.settimeout(_POLL_S)
        return io.BufferedReader(_Reader(self), READ_BYTES)

    def close(self) -> None:
        """Nothing: http.client lets go of its socket before the answer is read; whoever connected closes it."""


class _Reader(io.RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.receive_into(buffer)


@dataclass(frozen=True)
class Answer:
    """A body that goes on. content_type: as the server says, in lower case and without parameters; empty for none."""

    content_type: str
    wire: Wire
    _response: http.client.HTTPResponse

    def read(self) -> bytes:
        """What has come, at most READ_BYTES; empty at the end.

        Raises:
            SourceError, OSError, http.client.HTTPException: as `reason` tells.
        """
        return self._response.read1(READ_BYTES)


@contextmanager
def get(address: Address, name: str, clock: Clock, closed: threading.Event) -> Iterator[Answer]:
    """Ask for `address`, follow redirects, authenticate, and close everything afterwards.

    name: of the source, without passwords, for errors.

    Raises:
        SourceError: no answer in time, or one that is not 200. OSError, http.client.HTTPException: as `reason` tells.
    """
    until_ns = clock.monotonic_ns() + int(OPENING_S * 1e9)
    header: str | None = None
    for _ in range(MAX_TURNS):
        left_s = max((until_ns - clock.monotonic_ns()) / 1e9, 0.001)
        connected = _connect(address, min(left_s, SILENCE_S))
        try:
            wire = Wire(connected, name, clock, closed)
            wire.give_until(left_s, f"gave no answer in {OPENING_S:.0f} s")
            response = _ask(address, wire, header)
            if response.status == 200:
                given = response.headers.get_content_type() if "content-type" in response.headers else ""
                yield Answer(printable(given), wire, response)
                return
            address, header = _next_request(address, header, response, name)
        finally:
            connected.close()
    raise SourceError(f"{name} sends on from one address to the next, {MAX_TURNS} times; give the last one")


def _connect(address: Address, timeout_s: float) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout=timeout_s)
    if address.scheme == "http":
        return plain
    try:
        context = ssl.create_default_context()
        if not address.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise


def _ask(address: Address, wire: Wire, header: str | None) -> http.client.HTTPResponse:
    default_port = 443 if address.scheme == "https" else 80
    host = f"[{address.host}]" if ":" in address.host else address.host
    connection = http.client.HTTPConnection(address.host, address.port)
    stand_in: Any = wire
    connection.sock = stand_in
    connection.putrequest("GET", address.target, skip_host=True)
    connection.putheader("Host", host if address.port == default_port else f"{host}:{address.port}")
    connection.putheader("User-Agent", f"edgemass/{__version__}")
    connection.putheader("Accept", "*/*")
    if header is not None:
        connection.putheader("Authorization", header)
    connection.endheaders()
    return connection.getresponse()


def _next_request(
    address: Address, header: str | None, response: http.client.HTTPResponse, name: str
) -> tuple[Address, str | None]:
    """Where to ask next, and with which Authorization.

    Raises:
        SourceError: the answer is final.
    """
    status = response.status
    if status in (301, 302, 303, 307, 308) and response.getheader("Location"):
        return _redirected(address, str(response.getheader("Location")), name), None
    if status == 401 and address.credentials is not None and header is None:
        challenges = response.headers.get_all("WWW-Authenticate", [])
        header = authorization(
            challenges, address.credentials, method="GET", target=address.target, cnonce=secrets.token_hex(8)
        )
        if header is not None:
            return address, header
    advice = _ADVICE.get(status, "")
    told = f"; {advice.format(scheme=address.scheme)}" if advice else ""
    raise SourceError(f"{name} answers {status} {printable(response.reason)}".rstrip() + told)


def _redirected(address: Address, location: str, name: str) -> Address:
    """The password goes only to the host that it was typed for, and never from https to http."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    try:
        there = parse(urldefrag(urljoin(f"{address.scheme}://{host}:{address.port}{address.target}", location)).url)
    except (UsageError, ValueError) as error:
        raise SourceError(f"{name} sends on to {printable(location)!r}; wanted an address of http or https") from error
    trusted = there.host == address.host and (there.scheme == "https" or address.scheme == "http")
    return replace(there, credentials=address.credentials if trusted else None, verify=address.verify)


def printable(text: str) -> str:
    """What a server says, fit for one line of a log."""
    return redact("".join(character for character in text if character.isprintable()))[:80]


def silent(name: str) -> SourceError:
    return SourceError(f"{name} is silent: nothing came for {SILENCE_S:.0f} s")


_WORDS: dict[type[Exception], str] = {  # more special ones first
    ConnectionRefusedError: "connection refused; is the camera on, and is the port right?",
    socket.gaierror: "host name not found; is it right, and is the network up?",
    http.client.RemoteDisconnected: "it hung up without an answer",
    http.client.IncompleteRead: "it hung up",
}


def reason(error: Exception) -> str:
    """One line without the address, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message}); #verify=no behind the address takes any"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'no reason given'}); does this port speak https?"
    fixed = next((words for kind, words in _WORDS.items() if isinstance(error, kind)), None)
    if fixed is not None:
        return fixed
    if isinstance(error, http.client.HTTPException):
        return f"its answer is not HTTP ({type(error).__name__})"
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
