"""Blobs over HTTP: read from where the last attempt ended, never more than they should be; sent whole or in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import final

import httpx

from edgemass.errors import BundleError, DigestMismatchError, RegistryError
from edgemass.oci import Descriptor
from edgemass.registry import answers
from edgemass.registry.answers import PassingError
from edgemass.registry.exchange import Content, Exchange
from edgemass.registry.part_file import PartFile

MONOLITHIC_BYTES = 64 * 1024 * 1024
"""Larger blobs are sent in chunks of so many, since proxies in between often take no larger body."""

_SEND_BYTES = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d{1,18})-(?P<last>\d{1,18})/(?P<total>\d{1,18}|\*)")


@final
class Reading:
    """Of one blob into one part file."""

    def __init__(
        self,
        exchange: Exchange,
        url: str,
        *,
        scope: str,
        told: str,
        descriptor: Descriptor,
        part: PartFile,
        progress: Callable[[int], None],
    ) -> None:
        self._exchange = exchange
        self._url = url
        self._scope = scope
        self._told = told
        self._wanted = descriptor
        self._part = part
        self._progress = progress
        self._patched = False  # made of more than one answer
        self._furthest = 0

    def run(self) -> None:
        """Attempt after attempt until it is whole and right."""
        if self._part.size > self._wanted.size:
            self._part.restart()
        while not self._is_whole():
            self._exchange.again(self._attempt, lambda: self._furthest)

    def _is_whole(self) -> bool:
        """Whether every byte is there and right.

        Raises:
            DigestMismatchError: every byte is there, all in one piece, and it is another content.
        """
        if self._part.size < self._wanted.size:
            return False
        found = f"sha256:{self._part.sha256()}"
        if found == self._wanted.digest:
            return True
        self._part.restart()
        if self._patched:  # some piece was something else: once more in one
            self._furthest = 0
            return False
        raise DigestMismatchError(self._told, self._wanted.digest, found)

    def _attempt(self) -> None:
        part, size = self._part, self._wanted.size
        first = part.size
        self._patched = first > 0
        headers = {"Range": f"bytes={first}-"} if first else {}
        with self._exchange.open(
            "GET", self._url, scope=self._scope, headers=headers, told=self._told, follow=True
        ) as response:
            self._check(response)
            for chunk in response.iter_raw():
                if part.size + len(chunk) > size:
                    part.restart()
                    raise RegistryError(f"{self._told}: more than the {size} bytes that it should have were sent")
                part.append(chunk)
                self._furthest = max(self._furthest, part.size)
                self._progress(part.size)
        if part.size < size:
            raise PassingError(f"{self._told}: the answer ended after {part.size} of {size} bytes")

    def _check(self, response: httpx.Response) -> None:
        """Before a byte of it is taken; a whole blob in reply to a range begins anew (docker/model-runner#873).

        Raises:
            RegistryError: it is none, another part, or of another length.
        """
        part, size, told = self._part, self._wanted.size, self._told
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise RegistryError(f"{told}: fewer than {part.size} bytes are there, wanted {size}")
        if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            raise self._exchange.refusal(told, response)
        answers.check_kind(told, response.headers)
        length = response.headers.get("content-length")
        expected = size
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            found = response.headers.get("content-range", "")
            match = _CONTENT_RANGE.fullmatch(found)
            if match is None or int(match["first"]) != part.size or match["total"] not in ("*", str(size)):
                raise RegistryError(
                    f"{told}: another part than was asked for: found {found[:80]!r}, "
                    f"wanted bytes {part.size}-{size - 1}/{size}"
                )
            expected = int(match["last"]) + 1 - part.size
        elif part.size:
            part.restart()
            self._patched = False
        if length is not None and int(length) != expected:
            raise RegistryError(f"{told}: {length} bytes are announced, wanted {expected}")


@final
class Sending:
    """Of one blob."""

    def __init__(self, exchange: Exchange, repository: str, *, scope: str, told: str) -> None:
        self._exchange = exchange
        self._repository = repository
        self._scope = scope
        self._told = told

    def run(self, digest: str, size: int, source: Path | bytes) -> None:
        """From the beginning, if need be again.

        Raises:
            BundleError: the source is not there or has another size.
        """
        found = len(source) if isinstance(source, bytes) else _size_of(source)
        if found != size:
            raise BundleError(f"{self._told}: {found} bytes are here, wanted {size}; was it changed meanwhile?")
        self._exchange.again(lambda: self._attempt(digest, size, source))

    def _attempt(self, digest: str, size: int, source: Path | bytes) -> None:
        place = self._send("POST", f"/v2/{self._repository}/blobs/uploads/", 202, b"", 0, 0)
        first = 0
        if size > MONOLITHIC_BYTES:
            while first < size:
                count = min(MONOLITHIC_BYTES, size - first)
                place = self._send("PATCH", place, 202, source, first, count)
                first += count
        end = httpx.URL(place).copy_merge_params({"digest": digest})
        self._send("PUT", str(end), 201, source, first, size - first)

    def _send(self, method: str, url: str, wanted: int, source: Path | bytes, first: int, count: int) -> str:
        """One step; returns where the next one goes, if there is one."""
        headers = {"Content-Length": str(count), "Content-Type": "application/octet-stream"}
        if method == "PATCH":
            headers["Content-Range"] = f"{first}-{first + count - 1}"
        with self._exchange.open(
            method, url, scope=self._scope, headers=headers, content=_content(source, first, count), told=self._told
        ) as response:
            if response.status_code != wanted:
                raise self._exchange.refusal(self._told, response)
            return "" if method == "PUT" else str(self._exchange.allowed(response, self._told))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error


def _content(source: Path | bytes, first: int, count: int) -> Content:
    def chunks() -> Iterator[bytes]:
        if isinstance(source, bytes):
            yield source[first : first + count]
            return
        left = count
        with source.open("rb") as file:
            file.seek(first)
            while left and (chunk := file.read(min(_SEND_BYTES, left))):
                yield chunk
                left -= len(chunk)

    return chunks
