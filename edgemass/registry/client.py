"""A repository of a registry over HTTP, by the OCI distribution specification 1.1."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar, final

import httpx
import msgspec

from edgemass import oci
from edgemass.clock import Clock, SystemClock
from edgemass.errors import DigestMismatchError, RegistryError
from edgemass.oci import Descriptor
from edgemass.registry.blobs import Reading, Sending
from edgemass.registry.exchange import Answer, Exchange
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import Reference, fallback_tag, is_tag
from edgemass.registry.transport import Transport

_MOST_PAGES = 100
_MAX_LIST_BYTES = 4 * 1024 * 1024
_ACCEPT = f"{oci.IMAGE_MANIFEST}, {oci.IMAGE_INDEX}"

Document = TypeVar("Document")


class _Index(msgspec.Struct, rename="camel", omit_defaults=True):
    """An image index, as far as referrers need it."""

    schema_version: int
    manifests: list[Descriptor]
    media_type: str = ""


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


class _Subject(msgspec.Struct, rename="camel"):
    """What the registry has to be told of a manifest or an index."""

    media_type: str
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: dict[str, str] = {}


@final
class RegistryClient:
    """Implements `protocol.Registry`; opens its connection when it is first asked for something."""

    def __init__(self, reference: Reference, transport: Transport, *, clock: Clock | None = None) -> None:
        """Raises ConfigError: a file with certificates or a password cannot be read."""
        self._told = reference.address
        self._repository = reference.repository
        self._exchange = Exchange(reference, transport, clock or SystemClock())
        self._pull = f"repository:{reference.repository}:pull"
        self._push = f"repository:{reference.repository}:pull,push"

    @property
    def received(self) -> int:
        """Bytes that came so far, those of headers and of attempts that failed too."""
        return self._exchange.received

    def close(self) -> None:
        self._exchange.close()

    def manifest(self, reference: str) -> bytes:
        self._exchange.start()
        return self._manifest(reference, (HTTPStatus.OK,)).body

    def _manifest(self, reference: str, wanted: tuple[int, ...]) -> Answer:
        told = f"{self._told}: manifest {reference}"
        if not (is_tag(reference) or oci.is_digest(reference)):
            raise RegistryError(f"{self._told}: {reference[:80]!r} is neither a tag nor a digest")
        answer = self._exchange.again(
            lambda: self._exchange.call(
                "GET",
                f"/v2/{self._repository}/manifests/{reference}",
                scope=self._pull,
                wanted=wanted,
                limit=oci.MAX_MANIFEST_BYTES,
                headers={"Accept": _ACCEPT},
                told=told,
            )
        )
        if answer.status == HTTPStatus.OK:
            found = oci.sha256(answer.body)
            said = reference if oci.is_digest(reference) else answer.headers.get("docker-content-digest", "")
            if said.startswith("sha256:") and said != found:
                raise DigestMismatchError(told, said, found)
        return answer

    def referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
        self._exchange.start()
        told = f"{self._told}: referrers of {digest}"
        url: str | None = str(
            httpx.URL(f"/v2/{self._repository}/referrers/{digest}", params={"artifactType": artifact_type})
        )
        found: list[Descriptor] = []
        for _ in range(_MOST_PAGES):
            if url is None:
                break
            answer = self._get(url, told)
            if answer is None:  # the registry has no such API
                found = self._fallback(digest)
                break
            found += _decoded(answer.body, _Index, told).manifests
            url = _next_page(answer)
        return tuple(descriptor for descriptor in found if descriptor.artifact_type == artifact_type)

    def _get(self, url: str, told: str) -> Answer | None:
        """A list; None where it is not there."""
        wanted = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
        answer = self._exchange.again(
            lambda: self._exchange.call("GET", url, scope=self._pull, wanted=wanted, limit=_MAX_LIST_BYTES, told=told)
        )
        return answer if answer.status == HTTPStatus.OK else None

    def _fallback(self, digest: str) -> list[Descriptor]:
        """Of the tag that clients keep for registries without the referrers API."""
        answer = self._manifest(fallback_tag(digest), (HTTPStatus.OK, HTTPStatus.NOT_FOUND))
        if answer.status != HTTPStatus.OK:
            return []
        return _decoded(answer.body, _Index, f"{self._told}: {fallback_tag(digest)}").manifests

    def read_blob(self, descriptor: Descriptor, part: PartFile, progress: Callable[[int], None]) -> None:
        self._exchange.start()
        Reading(
            self._exchange,
            self._blob(descriptor.digest),
            scope=self._pull,
            told=f"{self._told}: {descriptor.annotations.get(oci.FILE_PATH, 'blob')[:200]} {descriptor.digest[:19]}",
            descriptor=descriptor,
            part=part,
            progress=progress,
        ).run()

    def has_blob(self, digest: str) -> bool:
        self._exchange.start()
        return self._exchange.again(lambda: self._has_blob(digest))

    def _has_blob(self, digest: str) -> bool:
        told = f"{self._told}: blob {digest}"
        with self._exchange.open(
            "HEAD", self._blob(digest), scope=self._pull, headers={}, told=told, follow=True
        ) as response:
            if response.status_code not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
                raise self._exchange.refusal(told, response)
            return response.status_code == HTTPStatus.OK

    def put_blob(self, digest: str, size: int, source: Path | bytes) -> None:
        self._exchange.start()
        told = f"{self._told}: blob {digest[:19]}"
        Sending(self._exchange, self._repository, scope=self._push, told=told).run(digest, size, source)

    def put_manifest(self, data: bytes, tag: str | None) -> str:
        self._exchange.start()
        digest = oci.sha256(data)
        made = _decoded(data, _Subject, f"{self._told}: manifest to be sent")
        self._put_manifest(data, made.media_type, tag or digest)
        if made.subject is not None:
            descriptor = Descriptor(
                made.media_type, digest, len(data), annotations=made.annotations, artifact_type=made.artifact_type
            )
            self._note_referrer(made.subject.digest, descriptor)
        return digest

    def _put_manifest(self, data: bytes, media_type: str, reference: str) -> None:
        told = f"{self._told}: manifest {reference}"
        answer = self._exchange.again(
            lambda: self._exchange.call(
                "PUT",
                f"/v2/{self._repository}/manifests/{reference}",
                scope=self._push,
                wanted=(HTTPStatus.CREATED,),
                headers={"Content-Type": media_type, "Content-Length": str(len(data))},
                content=lambda: iter((data,)),
                told=told,
            )
        )
        said, digest = answer.headers.get("docker-content-digest", ""), oci.sha256(data)
        if said.startswith("sha256:") and said != digest:
            raise DigestMismatchError(told, digest, said)

    def _note_referrer(self, subject: str, descriptor: Descriptor) -> None:
        """Read, add and write; there is no way to do that at once, so two at a time may lose one."""
        known = self._fallback(subject)
        if descriptor in known:
            return
        kept = [other for other in known if other.digest != descriptor.digest]
        index = _Index(schema_version=2, media_type=oci.IMAGE_INDEX, manifests=[*kept, descriptor])
        data = msgspec.json.encode(index, order="deterministic")
        self._put_manifest(data, oci.IMAGE_INDEX, fallback_tag(subject))

    def tags(self) -> tuple[str, ...]:
        self._exchange.start()
        told = f"{self._told}: list of tags"
        found: list[str] = []
        url: str | None = f"/v2/{self._repository}/tags/list?n=1000"
        for _ in range(_MOST_PAGES):
            answer = self._get(url, told) if url is not None else None
            if answer is None:
                break
            found += _decoded(answer.body, _Tags, told).tags or []
            url = _next_page(answer)
        return tuple(sorted(set(found)))

    def _blob(self, digest: str) -> str:
        return f"/v2/{self._repository}/blobs/{digest}"


def _next_page(answer: Answer) -> str | None:
    """The path of `Link: </v2/...>; rel="next"`; only one of the same registry."""
    target, _, attributes = answer.headers.get("link", "").partition(">")
    path = target.strip().removeprefix("<")
    return path if 'rel="next"' in attributes.replace(" ", "") and path.startswith("/v2/") else None


def _decoded(data: bytes, kind: type[Document], told: str) -> Document:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{told}: not what a registry answers ({error}); check the address") from error
