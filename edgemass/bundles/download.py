"""Fetch one file of known size and SHA-256: resumable, verified while it streams, never longer than it should be."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import urllib.error
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from edgemass.bundles.http_get import Deadline, get, proxy_of
from edgemass.clock import Clock, SystemClock
from edgemass.errors import BundleError, EdgemassError, RegistryUnavailableError
from edgemass.progress import Progress
from edgemass.registry.part_file import PartFile

CHUNK_BYTES = 1 << 16
PAUSES_S = (1.0, 2.0)
"""After attempts that brought nothing new; when they are used up, the fetch fails."""


_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-\d+/(?P<total>\d+|\*)")


@dataclass(frozen=True)
class Wanted:
    """A file as its manifest speaks of it. sha256: hexadecimal."""

    address: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Limits:
    """silence_s: longest wait for a connection or for the next bytes. total_s: for everything.

    slowest: bytes a second; what would take longer than `total_s` at that speed may take that long.
    """

    silence_s: float = 15.0
    total_s: float = 120.0
    slowest: int = 8_000


def fetch(
    wanted: Wanted, path: Path, progress: Progress, *, limits: Limits | None = None, clock: Clock | None = None
) -> None:
    """Put the file at `path`, whose folder exists: whole and right, or not at all.

    What a broken connection left lies beside it, and is where the next call goes on.

    Raises:
        RegistryUnavailableError: the server cannot be reached, breaks off, is silent or too slow: try again later.
        BundleError: there is no such file, or another one lies there; nothing of it is kept.
        UsageError: it cannot be written, or another process is fetching it now.
    """
    parts = urlsplit(wanted.address)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise BundleError(f"cannot fetch {wanted.address!r}; wanted an address that begins with https://")
    limits = limits or Limits()
    total_s = max(limits.total_s, wanted.size_bytes / limits.slowest)
    with PartFile(path) as part:
        if part.size > wanted.size_bytes:
            part.restart()
        part.make_room(wanted.size_bytes)
        with Deadline(total_s) as deadline:
            _Fetch(wanted, part, deadline, limits.silence_s, progress).run(clock or SystemClock())
        part.finish()


class _Fetch:
    """Attempt after attempt until the file is whole, or until they bring nothing new."""

    def __init__(
        self, wanted: Wanted, part: PartFile, deadline: Deadline, silence_s: float, progress: Progress
    ) -> None:
        self._wanted = wanted
        self._part = part
        self._deadline = deadline
        self._silence_s = silence_s
        self._progress = progress

    def run(self, clock: Clock) -> None:
        furthest, fruitless = self._part.size, 0
        while not self._complete():
            try:
                self._attempt()
                continue
            except RegistryUnavailableError as error:
                if self._deadline.over:
                    raise self._too_slow() from error
                fruitless = 0 if self._part.size > furthest else fruitless + 1
                if fruitless > len(PAUSES_S):
                    raise
            furthest = max(furthest, self._part.size)
            if fruitless:
                clock.wait(threading.Event(), PAUSES_S[fruitless - 1])

    def _complete(self) -> bool:
        """Whether every byte is there and right.

        Raises:
            BundleError: every byte is there, all from this address, and it is another file.
        """
        part, wanted = self._part, self._wanted
        if part.size < wanted.size_bytes:
            return False
        found = part.sha256()
        if found == wanted.sha256:
            return True
        resumed = part.resumed  # what an earlier call left may be something else: once more from the beginning
        part.restart()
        if resumed:
            return False
        raise BundleError(
            f"{wanted.address} is another file now: found sha256 {found}, wanted {wanted.sha256}; "
            "nothing of it was kept"
        )

    def _attempt(self) -> None:
        """One request, read to its end.

        Raises:
            RegistryUnavailableError: not all of it came; what came is in the part file.
            BundleError: no such file, or another length than wanted.
        """
        part, wanted = self._part, self._wanted
        try:
            with self._open() as response:
                if self._first_byte(response) == 0:
                    part.restart()
                while chunk := response.read1(CHUNK_BYTES):
                    if part.size + len(chunk) > wanted.size_bytes:
                        raise self._another_length(f"more than {wanted.size_bytes}")
                    part.append(chunk)
                    self._progress(part.size, wanted.size_bytes)
        except (http.client.HTTPException, OSError, UnicodeError) as error:  # UnicodeError: a host no name can be
            raise self._unavailable(_reason(error)) from error
        if part.size < wanted.size_bytes:
            raise self._unavailable("the connection ended")

    def _open(self) -> HTTPResponse:
        address = self._wanted.address
        try:
            return get(address, first=self._part.size, timeout_s=self._silence_s, deadline=self._deadline)
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refusal(error.code) from error
        except urllib.error.URLError as error:
            proxy = proxy_of(address)
            through = f" (through the proxy {proxy})" if proxy else ""
            raise self._unavailable(_reason(error.reason) + through) from error

    def _refusal(self, code: int) -> EdgemassError:
        address = self._wanted.address
        if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._part.restart()
        if code in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            return BundleError(
                f"{address} is not there ({code}); update edgemass, or get the file elsewhere and make a bundle of it "
                "with `edgemass model import`"
            )
        if 300 <= code < 400:
            return BundleError(f"{address} redirects without end or to nowhere ({code}); update edgemass")
        return self._unavailable(f"the server answers {code}")

    def _first_byte(self, response: HTTPResponse) -> int:
        """Where in the file the body begins: at the end of what is here, or at 0 from a server that cannot resume.

        Raises:
            BundleError: the server says that the file has another length.
            RegistryUnavailableError: it sends some other part of the file, or something else.
        """
        first, total = 0, response.headers.get("Content-Length", "")
        if response.status == HTTPStatus.PARTIAL_CONTENT:
            match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if match is None or int(match["first"]) != self._part.size:
                self._part.restart()
                raise self._unavailable("the server sends another part than it was asked for")
            first, total = self._part.size, match["total"]
        elif response.status != HTTPStatus.OK:
            raise self._unavailable(f"the server answers {response.status}")
        if total.isdigit() and int(total) != self._wanted.size_bytes:
            raise self._another_length(total)
        return first

    def _another_length(self, found: str) -> BundleError:
        self._part.restart()
        return BundleError(
            f"{self._wanted.address} is another file now: found {found} bytes, wanted {self._wanted.size_bytes}; "
            "nothing of it was kept"
        )

    def _unavailable(self, reason: str) -> RegistryUnavailableError:
        came = f" after {self._part.size} of {self._wanted.size_bytes} bytes" if self._part.size else ""
        return RegistryUnavailableError(
            f"cannot fetch {self._wanted.address}: {reason}{came}; check the network and try again"
        )

    def _too_slow(self) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"cannot fetch {self._wanted.address}: {self._part.size} of {self._wanted.size_bytes} bytes came in "
            f"{self._deadline.seconds:.0f} s; try again, it goes on from there"
        )


def _reason(error: object) -> str:
    """What went wrong on the network, in words."""
    if isinstance(error, socket.gaierror):
        return f"the name of the host is not known ({error.strerror})"
    if isinstance(error, TimeoutError):
        return "the server is silent"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not hold here ({error.verify_message}; is the clock right?)"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection ended"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
