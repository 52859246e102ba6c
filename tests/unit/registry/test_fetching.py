"""A device fetches the least bytes that give it exactly the files that were released; deltas are only a way to save."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import zstandard

from edgemass import manifest as manifests
from edgemass import oci
from edgemass.errors import BundleError, DigestMismatchError, NoRoomError, RegistryError, RegistryUnavailableError
from edgemass.manifest import Manifest
from edgemass.oci import Descriptor, ImageManifest
from edgemass.registry import deltas, fetching
from edgemass.registry.fetching import Fetched, fetch
from edgemass.registry.layout import Layout
from edgemass.registry.part_file import PartFile
from tests.simulators.bundles import made_of
from tests.simulators.layouts import Released, publish, released

SIZE = 200_000
BASE = random.Random(1).randbytes(SIZE)
TARGET = BASE[:-5000] + random.Random(2).randbytes(5000)


class Device:
    """Has a store of its own, as a folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self.blobs, self.incoming = folder / "blobs", folder / "incoming"
        self.blobs.mkdir(parents=True)
        self.incoming.mkdir()

    def have(self, digest: str) -> Path | None:
        path = self.blobs / digest.removeprefix("sha256:")
        return path if path.is_file() else None

    def fetch(self, registry: Layout, digest: str, *, wanted: str = "") -> Fetched:
        """wanted: name of the only file; "" = all of them."""
        return fetch(
            registry,
            digest,
            choose=lambda made: [item.file for item in made.variants if wanted in ("", item.file)],
            have=self.have,
            incoming=self.incoming,
        )

    def keep(self, fetched: Fetched) -> None:
        """As the store does."""
        for digest, path in fetched.files.items():
            assert oci.sha256(path.read_bytes()) == digest
            path.replace(self.blobs / digest.removeprefix("sha256:"))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "models", "toy")


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "device")


def files_of(fetched: Fetched, made: Released) -> bool:
    """Whether it is the whole release, byte for byte."""
    return {digest: path.read_bytes() for digest, path in fetched.files.items()} == made.blobs


def forge(layout: Layout, new: Released, patch: bytes, *, target: bytes = TARGET, base: bytes | None = BASE) -> None:
    """Publish a delta as anybody who may write to the registry can, newest and smallest of all."""
    layout.put_blob(oci.sha256(patch), len(patch), patch)
    layout.put_blob(oci.sha256(b"{}"), 2, b"{}")
    told = {deltas.TO: oci.sha256(target)} | ({deltas.FROM: oci.sha256(base)} if base is not None else {})
    made = ImageManifest(
        2,
        oci.IMAGE_MANIFEST,
        deltas.ARTIFACT,
        Descriptor(deltas.EMPTY, oci.sha256(b"{}"), 2),
        (Descriptor(deltas.PATCH, oci.sha256(patch), len(patch), told),),
        Descriptor(oci.IMAGE_MANIFEST, new.digest, len(new.manifest)),
        {"forged": "yes"},
    )
    layout.put_manifest(msgspec.json.encode(made), None)


def test_a_board_fetches_only_what_it_can_use(layout: Layout, device: Device) -> None:
    made = publish(layout, {"a.onnx": BASE, "b.onnx": TARGET})
    fetched = device.fetch(layout, made.digest, wanted="b.onnx")
    assert oci.sha256(TARGET) in fetched.files
    assert oci.sha256(BASE) not in fetched.files
    assert SIZE < fetched.wire_bytes < SIZE + 3000


def test_an_update_comes_as_a_delta_from_what_the_board_has(layout: Layout, device: Device) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    device.keep(device.fetch(layout, old.digest))
    fetched = device.fetch(layout, new.digest)
    assert files_of(fetched, new)
    assert fetched.wire_bytes < 5300 + 3000
    assert {path.name for path in device.incoming.iterdir()} == {digest.partition(":")[2] for digest in fetched.files}


def test_a_board_without_the_base_fetches_the_compressed_file_or_the_whole(layout: Layout, device: Device) -> None:
    words = b"compresses well " * 20_000
    old = publish(layout, {"a.onnx": BASE, "w.onnx": words}, "1")
    new = publish(layout, {"a.onnx": TARGET, "w.onnx": words + b"!"}, "2", [old])
    fetched = device.fetch(layout, new.digest)
    assert files_of(fetched, new)
    assert SIZE < fetched.wire_bytes < SIZE + 5000


def test_what_is_there_is_not_fetched_again(layout: Layout, device: Device) -> None:
    old = publish(layout, {"a.onnx": BASE, "b.onnx": TARGET}, "1")
    device.keep(device.fetch(layout, old.digest))
    new = publish(layout, {"a.onnx": BASE, "b.onnx": TARGET, "c.onnx": b"little"}, "2")
    fetched = device.fetch(layout, new.digest)
    assert oci.sha256(b"little") in fetched.files
    assert fetched.wire_bytes < 4000


def test_two_variants_with_the_same_bytes_come_once(layout: Layout, device: Device) -> None:
    made = publish(layout, {"a.onnx": BASE, "b.onnx": BASE})
    fetched = device.fetch(layout, made.digest)
    assert files_of(fetched, made)
    assert fetched.wire_bytes < SIZE + 3000


@pytest.mark.parametrize("size", [SIZE, SIZE + 1, 2 * SIZE])
def test_a_delta_is_never_chosen_if_it_is_larger(layout: Layout, device: Device, size: int) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2")
    forge(layout, new, random.Random(7).randbytes(size))
    device.keep(device.fetch(layout, old.digest))
    fetched = device.fetch(layout, new.digest)
    assert files_of(fetched, new)
    assert fetched.wire_bytes < SIZE + 5000


EVIL = {
    "tampered": lambda: deltas.make(BASE, TARGET)[:-40] + bytes(40),
    "of another file": lambda: deltas.make(BASE, bytes(reversed(TARGET[:100])) + TARGET[100:]),
    "made from another base": lambda: deltas.make(TARGET[::-1], TARGET)[:1000],
    "a bomb": lambda: zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100_000_000))[:4000],
    "a bomb that says so": lambda: zstandard.ZstdCompressor().compress(bytes(20_000_000)),
    "a huge window": lambda: b"\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00",
    "empty": lambda: b"",
    "no delta": lambda: b"<html>Welcome to the hotel</html>",
}


@pytest.mark.parametrize("attack", EVIL)
def test_a_bad_delta_is_told_and_the_whole_file_is_fetched(
    layout: Layout, device: Device, attack: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2")
    forge(layout, new, EVIL[attack]())
    device.keep(device.fetch(layout, old.digest))
    with caplog.at_level(logging.WARNING):
        fetched = device.fetch(layout, new.digest)
    assert files_of(fetched, new)
    assert "the whole file is fetched" in caplog.text
    assert {path.name for path in device.incoming.iterdir()} == {digest.partition(":")[2] for digest in fetched.files}


def test_a_delta_whose_bytes_are_gone_is_told_and_the_whole_file_is_fetched(layout: Layout, device: Device) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    device.keep(device.fetch(layout, old.digest))
    [offer] = deltas.offers(layout, new.digest)[0]
    layout.path(offer.descriptor.digest).unlink()
    assert files_of(device.fetch(layout, new.digest), new)


def test_referrers_that_fail_cost_nothing_but_the_delta(layout: Layout, device: Device) -> None:
    class Broken(Layout):
        def referrers(self, digest: str, artifact_type: str) -> tuple[Descriptor, ...]:
            raise RegistryUnavailableError(f"no {artifact_type} of {digest}")

    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    device.keep(device.fetch(layout, old.digest))
    assert files_of(device.fetch(Broken(layout.folder, "toy"), new.digest), new)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_a_tampered_blob_is_refused(layout: Layout, device: Device, part: str) -> None:
    made = publish(layout, {"a.onnx": BASE})
    image = oci.parse(made.manifest, where="test")
    path = layout.path({"manifest": made.digest, "config": image.config.digest, "layer": image.layers[0].digest}[part])
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes(20))
    with pytest.raises(DigestMismatchError):
        device.fetch(layout, made.digest)
    assert image.layers[0].digest.partition(":")[2] not in {item.name for item in device.incoming.iterdir()}
    path.write_bytes(data)
    assert files_of(device.fetch(layout, made.digest), made)


def test_a_partial_bundle_is_refused(layout: Layout, device: Device) -> None:
    made = publish(layout, {"a.onnx": BASE, "b.onnx": TARGET})
    layout.path(oci.sha256(TARGET)).unlink()
    with pytest.raises(RegistryError, match="no blob"):
        device.fetch(layout, made.digest)


def test_another_bundle_under_the_same_name_is_refused(layout: Layout, device: Device) -> None:
    made = publish(layout, {"a.onnx": BASE})
    other = publish(layout, {"a.onnx": TARGET})
    layout.path(made.digest).write_bytes(other.manifest)
    with pytest.raises(DigestMismatchError):
        device.fetch(layout, made.digest)


def test_files_that_are_not_those_of_the_manifest_are_refused(layout: Layout, device: Device) -> None:
    """A name that leads out of the folder, say: none of it is ever used, for it is not in the bundle's own manifest."""
    made = publish(layout, {"a.onnx": BASE})
    image = oci.parse(made.manifest, where="test")
    evil = msgspec.structs.replace(image.layers[0], annotations={oci.FILE_PATH: "../../etc/passwd"})
    data = msgspec.json.encode(msgspec.structs.replace(image, layers=(evil,)), order="deterministic")
    digest = layout.put_manifest(data, "evil")
    with pytest.raises(BundleError, match="its files are not those of its manifest"):
        device.fetch(layout, digest)


@pytest.mark.parametrize("name", ["../up.onnx", "/etc/passwd", "a/b.onnx", "..", "", ".onnx\0"])
def test_a_file_name_in_the_manifest_is_a_plain_name(layout: Layout, device: Device, name: str) -> None:
    made = released({"a.onnx": BASE}).blobs
    honest = next(data for data in made.values() if data.startswith(b"{"))
    document = msgspec.json.decode(honest)
    document["variants"][0]["file"] = name
    config = msgspec.json.encode(document, order="deterministic")
    layer = Descriptor(oci.WEIGHTS, oci.sha256(BASE), SIZE, {oci.FILE_PATH: name})
    image = ImageManifest(
        2, oci.IMAGE_MANIFEST, oci.ARTIFACT, Descriptor(oci.CONFIG, oci.sha256(config), len(config)), (layer,)
    )
    layout.put_blob(oci.sha256(config), len(config), config)
    layout.put_blob(oci.sha256(BASE), SIZE, BASE)
    digest = layout.put_manifest(msgspec.json.encode(image, order="deterministic"), "evil")
    with pytest.raises(BundleError):
        device.fetch(layout, digest)


def test_what_is_no_bundle_is_refused(layout: Layout, device: Device) -> None:
    layout.put_blob(oci.sha256(b"{}"), 2, b"{}")
    config = Descriptor("application/vnd.oci.image.config.v1+json", oci.sha256(b"{}"), 2)
    image = ImageManifest(2, oci.IMAGE_MANIFEST, "application/vnd.docker.image", config, ())
    digest = layout.put_manifest(msgspec.json.encode(image), "1")
    with pytest.raises(BundleError, match="no bundle"):
        device.fetch(layout, digest)


class Usage:
    """Of the disk. free: bytes."""

    def __init__(self, free: int) -> None:
        self.free = free


@pytest.mark.parametrize(("room", "fits"), [(SIZE - 1, False), (SIZE + 4096, True)])
def test_the_room_is_looked_for_before_anything_is_fetched(
    layout: Layout, device: Device, monkeypatch: pytest.MonkeyPatch, room: int, *, fits: bool
) -> None:
    made = publish(layout, {"a.onnx": BASE})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(room + fetching.SPARE_BYTES))
    if fits:
        assert files_of(device.fetch(layout, made.digest), made)
        return
    with pytest.raises(NoRoomError, match=r"has 17\.0 MB free, wanted 17\.0 MB"):
        device.fetch(layout, made.digest)
    assert oci.sha256(BASE).partition(":")[2] not in {path.name for path in device.incoming.iterdir()}


class Cut(Layout):
    """Breaks after some bytes. cuts: of how many, each time."""

    def __init__(self, folder: Path, cuts: list[int]) -> None:
        super().__init__(folder, "toy")
        self.cuts = cuts

    def read_blob(self, descriptor: Descriptor, part: PartFile, progress: Callable[[int], None]) -> None:
        if descriptor.size > 10_000 and self.cuts:
            with self.open_blob(descriptor.digest) as file:
                file.seek(part.size)
                part.append(file.read(self.cuts.pop(0)))
            raise RegistryUnavailableError("cut")
        super().read_blob(descriptor, part, progress)


def test_a_fetch_that_was_cut_goes_on_where_it_ended(layout: Layout, device: Device) -> None:
    made = publish(layout, {"a.onnx": BASE})
    registry = Cut(layout.folder, [70_000, 60_000, 40_000])
    for _ in range(3):
        with pytest.raises(RegistryUnavailableError):
            device.fetch(registry, made.digest)
    fetched = device.fetch(registry, made.digest)
    assert files_of(fetched, made)
    assert fetched.wire_bytes < SIZE - 170_000 + 3000


def test_the_same_manifest_names_the_files_that_are_chosen(layout: Layout, device: Device) -> None:
    seen: list[Manifest] = []

    def choose(made: Manifest) -> list[str]:
        seen.append(made)
        return []

    made = publish(layout, {"a.onnx": BASE})
    fetched = fetch(layout, made.digest, choose=choose, have=device.have, incoming=device.incoming)
    assert [manifests.to_json(item) for item in seen] == [path.read_bytes() for path in fetched.files.values()]
    assert seen[0].name == made_of(*seen[0].variants).manifest.name
