"""An OCI layout folder over HTTP: models by the OCI distribution API, and the trust metadata beside them.

    /v2/...            pull; push too where it is allowed, with a password or from this machine
    /trust/<file>      the TUF metadata in <folder>/trust

Repositories are the names in the index; blobs belong to all of them. A blob is read in pieces, so that many devices
cost little memory. Refusals are short: a device that asks for news pays for every byte.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import logging
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from edgemass import oci
from edgemass.errors import ConfigError, EdgemassError, RegistryError
from edgemass.oci import Descriptor
from edgemass.registry.layout import Layout
from edgemass.registry.reference import is_repository

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ConfigError("serving a registry needs starlette and uvicorn: pip install 'edgemass[http]'") from error

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_METADATA = re.compile(r"(?:\d{1,9}\.)?(?:root|targets|snapshot|timestamp)\.json")
_NAME = r"{name:path}"
_MOST_UPLOADS = 64
UPLOAD_IDLE_S = 3600.0
"""An upload that nobody has added to for so long is given up."""
_UPLOAD = ".upload-"
_SILENT = {"Content-Type": "text/plain"}

Handler = Callable[[Request], Awaitable[Response]]


class Login(msgspec.Struct, frozen=True):
    """Who may come in. user "" = anybody; then only readers, and writers from this machine."""

    user: str = ""
    password: str = ""

    def knows(self, header: str) -> bool:
        kind, _, told = header.partition(" ")
        try:
            given = base64.b64decode(told, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            given = b""
        return hmac.compare_digest(given, f"{self.user}:{self.password}".encode())


def application(folder: Path, *, writable: bool = False, login: Login | None = None) -> Starlette:
    """The ASGI application. login: for everything but the trust metadata, which is signed and no secret."""
    desk = _Desk(Layout(folder), folder, writable=writable, login=login or Login())
    routes = [
        Route("/v2/", desk.guarded(desk.version)),
        Route(f"/v2/{_NAME}/manifests/{{reference}}", desk.guarded(desk.manifest), methods=["GET", "PUT"]),
        Route(f"/v2/{_NAME}/blobs/uploads/", desk.guarded(desk.begin), methods=["POST"]),
        Route(f"/v2/{_NAME}/blobs/uploads/{{upload}}", desk.guarded(desk.upload), methods=["PATCH", "PUT", "DELETE"]),
        Route(f"/v2/{_NAME}/blobs/{{digest}}", desk.guarded(desk.blob), methods=["GET"]),
        Route(f"/v2/{_NAME}/referrers/{{digest}}", desk.guarded(desk.referrers)),
        Route(f"/v2/{_NAME}/tags/list", desk.guarded(desk.tags)),
        Route("/trust/{file}", desk.trust),
    ]
    return Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing}, lifespan=desk.opened)


async def _nothing(_: Request, error: Exception) -> Response:
    return Response(status_code=getattr(error, "status_code", 404), headers=_SILENT)


class _Desk:
    """Answers requests."""

    def __init__(self, layout: Layout, folder: Path, *, writable: bool, login: Login) -> None:
        self._layout = layout
        self._folder = folder
        self._writable = writable
        self._login = login
        self._uploads: dict[str, _Upload] = {}

    @contextlib.asynccontextmanager
    async def opened(self, _: Starlette) -> AsyncIterator[None]:
        """From the start of the server to its end, when uploads that nobody ended are thrown away."""
        if self._writable:
            _clear_uploads(self._folder)
        yield
        for upload in self._uploads.values():
            upload.drop()

    def guarded(self, handler: Handler) -> Handler:
        """With the login, the right to write, and errors as the API tells them."""

        async def answer(request: Request) -> Response:
            if self._login.user and not self._login.knows(request.headers.get("authorization", "")):
                return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="edgemass"', **_SILENT})
            writes = request.method not in ("GET", "HEAD")
            if writes and not (self._writable and (self._login.user or _is_local(request))):
                return _error(403, "DENIED", "this registry is served for reading; see --writable")
            if not is_repository(request.path_params.get("name", "v2")):
                return _error(404, "NAME_INVALID", "no name of a model")
            try:
                return await handler(request)
            except EdgemassError as error:  # to who writes it is told what is wrong; devices pay for every byte
                logger.info("refused: %s", error, extra={"path": request.url.path[:300]})
                return _error(400, "INVALID", str(error)) if writes else Response(status_code=404, headers=_SILENT)

        return answer

    async def version(self, _: Request) -> Response:
        return Response(b"{}", media_type="application/json", headers=_VERSION)

    async def manifest(self, request: Request) -> Response:
        layout = Layout(self._folder, request.path_params["name"])
        reference = request.path_params["reference"]
        if request.method == "PUT":
            data = await _body(request, oci.MAX_MANIFEST_BYTES)
            tag = None if oci.is_digest(reference) else reference
            if tag is None and oci.sha256(data) != reference:
                return _error(400, "DIGEST_INVALID", f"these bytes are {oci.sha256(data)}")
            digest = await asyncio.to_thread(layout.put_manifest, data, tag)
            subject = msgspec.json.decode(data, type=_Subject).subject
            headers = {"OCI-Subject": subject.digest} if subject is not None else {}
            place = f"/v2/{request.path_params['name']}/manifests/{digest}"
            return Response(status_code=201, headers={"Location": place, "Docker-Content-Digest": digest, **headers})
        found = layout.find(reference)
        if found is None:
            return Response(status_code=404, headers=_SILENT)
        headers = {"Docker-Content-Digest": found.digest, "ETag": f'"{found.digest}"'}
        return Response(layout.read(found.digest, oci.MAX_MANIFEST_BYTES), media_type=found.media_type, headers=headers)

    async def blob(self, request: Request) -> Response:
        digest = request.path_params["digest"]
        size = self._layout.size(digest)
        if size is None:
            return Response(status_code=404, headers=_SILENT)
        headers = {"Docker-Content-Digest": digest, "Accept-Ranges": "bytes", "ETag": f'"{digest}"'}
        first, last, status = 0, size - 1, 200
        wanted = _RANGE.fullmatch(request.headers.get("range", ""))
        if wanted:
            first, last, status = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1), 206
            if first > last:
                return Response(status_code=416, headers={"Content-Range": f"bytes */{size}", **_SILENT})
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        headers["Content-Length"] = str(last - first + 1)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="application/octet-stream")
        return _Piece(self._layout, digest, first, status, headers)

    async def referrers(self, request: Request) -> Response:
        kind = request.query_params.get("artifactType", "")
        layout = Layout(self._folder, request.path_params["name"])
        found = layout.referrers(request.path_params["digest"], kind)
        document = {
            "schemaVersion": 2,
            "mediaType": oci.IMAGE_INDEX,
            "manifests": [msgspec.to_builtins(item) for item in found],
        }
        headers = {"OCI-Filters-Applied": "artifactType"} if kind else {}
        return Response(msgspec.json.encode(document), media_type=oci.IMAGE_INDEX, headers=headers)

    async def tags(self, request: Request) -> Response:
        name = request.path_params["name"]
        tags = Layout(self._folder, name).tags()
        if not tags:
            return _error(404, "NAME_UNKNOWN", f"no model {name}")
        return Response(msgspec.json.encode({"name": name, "tags": tags}), media_type="application/json")

    async def trust(self, request: Request) -> Response:
        """Nothing of the trust metadata is a secret; its names are few."""
        name = request.path_params["file"]
        path = self._folder / "trust" / name
        if not _METADATA.fullmatch(name) or path.is_symlink() or not path.is_file():
            return Response(status_code=404, headers=_SILENT)
        return Response(path.read_bytes(), media_type="application/json")

    # Pushing.

    async def begin(self, request: Request) -> Response:
        now = time.monotonic()
        for name, upload in list(self._uploads.items()):
            if now - upload.used_s > UPLOAD_IDLE_S:
                self._uploads.pop(name).drop()
        if len(self._uploads) >= _MOST_UPLOADS:
            return _error(429, "TOOMANYREQUESTS", "too many uploads at once; try again later")
        self._layout.create()
        upload = _Upload(self._folder)
        self._uploads[upload.name] = upload
        return Response(status_code=202, headers={"Location": _place(request, upload), "Range": "0-0"})

    async def upload(self, request: Request) -> Response:
        name = request.path_params["upload"]
        upload = self._uploads.pop(name, None)  # while bytes of it come, nobody else adds to it
        if upload is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        answer = Response(status_code=204)
        try:
            if request.method != "DELETE":
                answer = await self._receive(request, upload)
        finally:
            if request.method == "PATCH" and answer.status_code in (202, 416):
                self._uploads[name] = upload
            else:
                upload.drop()
        return answer

    async def _receive(self, request: Request, upload: _Upload) -> Response:
        """Take what comes; with PUT it is the end."""
        first = request.headers.get("content-range", "").partition("-")[0]
        if request.method == "PATCH" and first.isdigit() and int(first[:20]) != upload.size:
            return _error(416, "RANGE_INVALID", f"{upload.size} bytes are here")
        try:
            async for chunk in request.stream():
                if upload.size + len(chunk) > oci.MAX_BLOB_BYTES:
                    return _error(413, "SIZE_INVALID", "too large")
                await asyncio.to_thread(upload.append, chunk)
        except OSError as error:
            return _error(507, "UNKNOWN", f"cannot be written: {error.strerror}")
        if request.method == "PUT":
            return await self._end(request, upload)
        headers = {"Location": _place(request, upload), "Range": f"0-{max(upload.size - 1, 0)}"}
        return Response(status_code=202, headers=headers)

    async def _end(self, request: Request, upload: _Upload) -> Response:
        digest = request.query_params.get("digest", "")
        if digest != upload.digest:
            return _error(400, "DIGEST_INVALID", f"these bytes are {upload.digest}")
        await asyncio.to_thread(self._layout.put_blob, digest, upload.size, upload.path)
        place = f"/v2/{request.path_params['name']}/blobs/{digest}"
        return Response(status_code=201, headers={"Location": place, "Docker-Content-Digest": digest})


class _Piece(Response):
    """Bytes of a blob from `first` on, read as they are sent; given up when the client is gone.

    Not Starlette's StreamingResponse: it stands on task groups of anyio, whose newest releases want a newer
    typing-extensions than LiteRT's converter allows beside it.
    """

    media_type = "application/octet-stream"

    def __init__(self, layout: Layout, digest: str, first: int, status: int, headers: dict[str, str]) -> None:
        super().__init__(status_code=status, headers=headers)
        self._layout, self._digest, self._first = layout, digest, first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI)
        left = int(self.headers["content-length"])
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with self._layout.open_blob(self._digest) as file:
                file.seek(self._first)
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                while left > 0 and not gone.done():
                    chunk = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))
                    if not chunk:
                        return  # it shrank; the client sees that the length is wrong
                    left -= len(chunk)
                    await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        finally:
            gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Upload:
    """What has come of one upload. used_s: monotonic time of the last bytes."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError: the folder cannot be written."""
        descriptor, name = tempfile.mkstemp(prefix=_UPLOAD, dir=folder)
        self._file = os.fdopen(descriptor, "wb")
        self.path = Path(name)
        self.name = self.path.name.removeprefix(_UPLOAD)
        self._hash = hashlib.sha256()
        self.size = 0
        self.used_s = time.monotonic()

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._file.flush()
        self._hash.update(chunk)
        self.size += len(chunk)
        self.used_s = time.monotonic()

    def drop(self) -> None:
        with contextlib.suppress(OSError):  # the disk is full: what was buffered cannot be written
            self._file.close()
        self.path.unlink(missing_ok=True)


def _clear_uploads(folder: Path) -> None:
    """Throw away what a server that was killed has left."""
    for path in folder.glob(f"{_UPLOAD}*"):
        path.unlink(missing_ok=True)


def _place(request: Request, upload: _Upload) -> str:
    return f"/v2/{request.path_params['name']}/blobs/uploads/{upload.name}"


_VERSION: dict[str, str] = {"Docker-Distribution-API-Version": "registry/2.0"}


class _Subject(msgspec.Struct):
    subject: Descriptor | None = None


async def _body(request: Request, most: int) -> bytes:
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > most:
            raise RegistryError(f"more than {most} bytes")
    return data


def _error(status: int, code: str, message: str) -> Response:
    document: dict[str, Any] = {"errors": [{"code": code, "message": message}]}
    return Response(msgspec.json.encode(document), status_code=status, media_type="application/json")


def _is_local(request: Request) -> bool:
    return request.client is not None and request.client.host in ("127.0.0.1", "::1")
