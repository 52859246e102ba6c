"""Metadata from a folder or over HTTP, for python-tuf."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import httpx
from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from edgemass.clock import Clock
from edgemass.registry.transport import Transport, open_client

_CHUNK_BYTES = 16384
FOLDER = "folder:///"


class FolderFetcher(FetcherInterface):
    """Reads from a folder; the base address is FOLDER."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / url.removeprefix(FOLDER)
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise DownloadHTTPError(f"{path} is not there", HTTPStatus.NOT_FOUND) from error
        except OSError as error:
            raise DownloadError(f"cannot read {path}: {error.strerror}") from error
        with file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


class HttpFetcher(FetcherInterface):
    """Reads over HTTP, with the deadlines of `transport`; no redirect is followed."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._client = open_client(transport, clock=clock)

    def close(self) -> None:
        self._client.close()

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            with self._client.stream("GET", url) as response:
                if response.status_code != HTTPStatus.OK:
                    raise DownloadHTTPError(f"{url}: HTTP status {response.status_code}", response.status_code)
                yield from response.iter_raw(_CHUNK_BYTES)
        except httpx.TimeoutException as error:
            raise DownloadError(f"{url}: too slow or silent ({error})") from error
        except httpx.HTTPError as error:
            raise DownloadError(f"{url}: {error}") from error
