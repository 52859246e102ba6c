"""A push shows a manifest only when all that it names is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edgemass import oci
from edgemass.errors import BundleError, RegistryUnavailableError
from edgemass.oci import Descriptor, ImageManifest
from edgemass.registry.part_file import PartFile
from edgemass.registry.pushing import push

CONTENT = [b"config", b"weights", b"card", b"weights"]
BLOBS: dict[str, Path | bytes] = {oci.sha256(data): data for data in CONTENT}


class Memory:
    """Implements `protocol.Registry`. log: what was put, in order. breaks_at: so many puts go well."""

    def __init__(self, breaks_at: int = 100) -> None:
        self.held: dict[str, bytes] = {}
        self.named: dict[str, str] = {}
        self.log: list[str] = []
        self._breaks_at = breaks_at

    def _put(self, what: str) -> None:
        if len(self.log) >= self._breaks_at:
            raise RegistryUnavailableError("away")
        self.log.append(what)

    def has_blob(self, digest: str) -> bool:
        return digest in self.held

    def put_blob(self, digest: str, size: int, source: Path | bytes) -> None:
        assert isinstance(source, bytes)
        assert (oci.sha256(source), len(source)) == (digest, size)
        self._put("blob")
        self.held[digest] = source

    def put_manifest(self, data: bytes, tag: str | None) -> str:
        assert all(layer.digest in self.held for layer in oci.parse(data, where="test").layers)
        self._put(tag or "manifest")
        digest = oci.sha256(data)
        self.named[tag or digest] = digest
        self.held[digest] = data
        return digest

    def manifest(self, reference: str) -> bytes:
        return self.held[self.named[reference]]

    def referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:  # noqa: ARG002 (the protocol)
        return ()

    def read_blob(self, descriptor: Descriptor, part: PartFile, progress: Callable[[int], None]) -> None:
        part.append(self.held[descriptor.digest])
        progress(part.size)

    def tags(self) -> tuple[str, ...]:
        return tuple(self.named)

    def close(self) -> None:
        """Nothing is open."""


def image() -> bytes:
    config, *layers = [Descriptor("application/x", oci.sha256(data), len(data)) for data in CONTENT]
    return msgspec.json.encode(ImageManifest(2, oci.IMAGE_MANIFEST, oci.ARTIFACT, config, tuple(layers)))


def test_files_go_first_each_once_then_the_manifest_then_its_tags() -> None:
    registry, seen = Memory(), list[tuple[int, int]]()
    pushed = push(image(), BLOBS, registry, ["1", "newest"], lambda done, total: seen.append((done, total)))
    assert registry.log == ["blob", "blob", "blob", "manifest", "1", "newest"]
    assert (pushed.digest, pushed.sent, pushed.there, pushed.sent_bytes) == (oci.sha256(image()), 3, 0, 17)
    assert seen == [(6, 17), (13, 17), (17, 17)]


@pytest.mark.parametrize("breaks_at", range(5))
def test_a_push_that_breaks_shows_nothing_and_the_next_one_sends_the_rest(breaks_at: int) -> None:
    registry = Memory(breaks_at)
    with pytest.raises(RegistryUnavailableError):
        push(image(), BLOBS, registry, ["1"])
    assert "1" not in registry.named
    whole = Memory()
    whole.held = registry.held
    assert push(image(), BLOBS, whole, ["1"]).there == min(breaks_at, 3)


def test_a_file_that_is_missing_here_is_named_unless_the_registry_has_it() -> None:
    registry = Memory()
    lacking = {digest: data for digest, data in BLOBS.items() if data != b"card"}
    with pytest.raises(BundleError, match="is not here"):
        push(image(), lacking, registry, ["1"])
    assert registry.named == {}
    registry.held[oci.sha256(b"card")] = b"card"
    push(image(), lacking, registry, ["1"])
    assert registry.named["1"] == oci.sha256(image())
