"""An OCI layout folder over HTTP: models by the OCI distribution API, and the trust metadata beside them.

    /v2/...            pull; push too where it is allowed, with a password or from this machine
    /trust/<file>      the TUF metadata in <folder>/trust

Repositories are the names in the index; blobs belong to all of them. A blob is read in pieces, so that many devices
cost little memory. Refusals are short: a device that asks for news pays for every byte.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgemass import oci
from edgemass.errors import ConfigError, EdgemassError, RegistryError
from edgemass.registry.layout import Layout

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.types import Receive, Scope, Send
except ImportError as error:
    raise ConfigError("serving a registry needs starlette and uvicorn: pip install 'edgemass[http]'") from error

_CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=(\d{1,15})-(\d{0,15})")
_METADATA = re.compile(r"(?:\d{1,9}\.)?(?:root|targets|snapshot|timestamp)\.json")
_NAME = r"{name:path}"
_MOST_UPLOADS = 64
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
    return Starlette(routes=routes, exception_handlers={404: _nothing, 405: _nothing})


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

    def guarded(self, handler: Handler) -> Handler:
        """With the login, the right to write, and errors as the API tells them."""

        async def answer(request: Request) -> Response:
            if self._login.user and not self._login.knows(request.headers.get("authorization", "")):
                return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="edgemass"', **_SILENT})
            writes = request.method not in ("GET", "HEAD")
            if writes and not (self._writable and (self._login.user or _is_local(request))):
                return _error(403, "DENIED", "this registry is served for reading; see --writable")
            try:
                return await handler(request)
            except RegistryError as error:
                return _error(404, "UNKNOWN", str(error))
            except EdgemassError as error:
                return _error(400, "INVALID", str(error))

        return answer

    async def version(self, _: Request) -> Response:
        return Response(b"{}", media_type="application/json", headers=_VERSION)

    async def manifest(self, request: Request) -> Response:
        layout = Layout(self._folder, request.path_params["name"])
        reference = request.path_params["reference"]
        if request.method == "PUT":
            data = await _body(request, oci.MAX_MANIFEST_BYTES)
            tag = None if oci.is_digest(reference) else reference
            digest = await asyncio.to_thread(layout.put_manifest, data, tag)
            if oci.is_digest(reference) and digest != reference:
                return _error(400, "DIGEST_INVALID", f"these bytes are {digest}")
            subject = oci.parse(data, where="the manifest").subject
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
        found = self._layout.referrers(request.path_params["digest"], kind)
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
        if len(self._uploads) >= _MOST_UPLOADS:
            self._uploads.pop(next(iter(self._uploads))).drop()
        upload = _Upload()
        self._uploads[upload.name] = upload
        place = f"/v2/{request.path_params['name']}/blobs/uploads/{upload.name}"
        return Response(status_code=202, headers={"Location": place, "Range": "0-0"})

    async def upload(self, request: Request) -> Response:
        name = request.path_params["upload"]
        upload = self._uploads.get(name)
        if upload is None:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        if request.method == "DELETE":
            self._uploads.pop(name).drop()
            return Response(status_code=204)
        async for chunk in request.stream():
            if upload.size + len(chunk) > oci.MAX_BLOB_BYTES:
                self._uploads.pop(name).drop()
                return _error(413, "SIZE_INVALID", "too large")
            await asyncio.to_thread(upload.append, chunk)
        if request.method == "PATCH":
            place = f"/v2/{request.path_params['name']}/blobs/uploads/{name}"
            return Response(status_code=202, headers={"Location": place, "Range": f"0-{max(upload.size - 1, 0)}"})
        digest = request.query_params.get("digest", "")
        self._uploads.pop(name)
        try:
            if digest != upload.digest:
                return _error(400, "DIGEST_INVALID", f"these bytes are {upload.digest}")
            await asyncio.to_thread(self._keep, digest, upload)
        finally:
            upload.drop()
        place = f"/v2/{request.path_params['name']}/blobs/{digest}"
        return Response(status_code=201, headers={"Location": place, "Docker-Content-Digest": digest})

    def _keep(self, digest: str, upload: _Upload) -> None:
        self._layout.create()
        self._layout.put_blob(digest, upload.size, upload.path)


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
    """What has come of one upload."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.NamedTemporaryFile(prefix="edgemass-upload-")  # type: ignore[assignment]  # noqa: SIM115
        self.path = Path(self._file.name)
        self.name = self.path.name.removeprefix("edgemass-upload-")
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._file.flush()
        self._hash.update(chunk)
        self.size += len(chunk)

    def drop(self) -> None:
        self._file.close()


_VERSION: dict[str, str] = {"Docker-Distribution-API-Version": "registry/2.0"}


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
