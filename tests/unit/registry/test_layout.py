"""A layout folder keeps what is pushed, whole or not at all, and follows nothing out of itself."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest

from edgemass import oci
from edgemass.errors import BundleError, DigestMismatchError, RegistryError, RegistryUnavailableError, UsageError
from edgemass.oci import Descriptor, ImageManifest
from edgemass.registry.layout import Layout
from edgemass.registry.part_file import PartFile
from edgemass.registry.reference import fallback_tag
from tests.simulators.layouts import publish, released

FILES = {"a.onnx": b"weights of a" * 400, "b.onnx": b"weights of b" * 300}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "models", "toy")


def read(layout: Layout, descriptor: Descriptor, folder: Path) -> bytes:
    with PartFile(folder / "blob") as part:
        layout.read_blob(descriptor, part, lambda _done: None)
        part.finish()
    return (folder / "blob").read_bytes()


def referrer(subject: bytes, word: str) -> bytes:
    config = Descriptor("application/vnd.oci.empty.v1+json", oci.sha256(b"{}"), 2)
    told = Descriptor(oci.IMAGE_MANIFEST, oci.sha256(subject), len(subject))
    made = ImageManifest(2, oci.IMAGE_MANIFEST, f"application/{word}", config, (), told, {"word": word})
    return msgspec.json.encode(made)


def test_what_was_pushed_comes_back_by_tag_and_by_digest(layout: Layout, tmp_path: Path) -> None:
    made = publish(layout, FILES, "1.0")
    assert layout.manifest("1.0") == layout.manifest(made.digest) == made.manifest
    assert layout.tags() == ("1.0",)
    for descriptor in oci.parse(made.manifest, where="test").layers:
        assert read(layout, descriptor, tmp_path) == made.blobs[descriptor.digest]


def test_the_folder_is_the_layout_that_the_specification_describes(layout: Layout) -> None:
    made = publish(layout, FILES, "1.0")
    assert json.loads((layout.folder / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((layout.folder / "index.json").read_bytes())
    assert (index["schemaVersion"], index["mediaType"]) == (2, oci.IMAGE_INDEX)
    [entry] = index["manifests"]
    assert (entry["digest"], entry["size"], entry["mediaType"]) == (made.digest, len(made.manifest), oci.IMAGE_MANIFEST)
    assert entry["annotations"] == {oci.REF_NAME: "toy:1.0"}
    names = {path.name for path in (layout.folder / "blobs" / "sha256").iterdir()}
    assert names == {digest.partition(":")[2] for digest in (made.digest, *made.blobs)}


def test_a_tag_moves_and_what_it_named_stays_by_its_digest(layout: Layout) -> None:
    old = publish(layout, FILES, "newest")
    new = publish(layout, {"a.onnx": b"other weights"}, "newest")
    assert layout.manifest("newest") == new.manifest
    assert layout.manifest(old.digest) == old.manifest
    publish(layout, FILES, "back")
    assert layout.manifest("back") == old.manifest
    assert len(layout.index().manifests) == 2


def test_one_folder_holds_several_models(layout: Layout) -> None:
    publish(layout, FILES, "1")
    other = publish(Layout(layout.folder, "other"), {"a.onnx": b"of the other"}, "1")
    assert Layout(layout.folder, "other").manifest("1") == other.manifest != layout.manifest("1")
    assert layout.names() == ["other:1", "toy:1"]
    with pytest.raises(RegistryError, match=r"several models tagged 1 \(other:1, toy:1\); say which"):
        Layout(layout.folder).manifest("1")
    with pytest.raises(RegistryError, match="no '2'; its tags are 1"):
        layout.manifest("2")


def test_without_a_repository_the_bundle_gives_its_name(layout: Layout) -> None:
    publish(Layout(layout.folder), FILES, "1")
    assert layout.names() == ["toy:1"]


def test_referrers_are_listed_by_kind_and_for_clients_without_the_api(layout: Layout) -> None:
    made = publish(layout, FILES)
    layout.put_blob(oci.sha256(b"{}"), 2, b"{}")
    for word in ("delta", "signature", "delta"):
        layout.put_manifest(referrer(made.manifest, word), None)
    [found] = layout.referrers(made.digest, "application/delta")
    assert found.annotations == {"word": "delta"}
    assert layout.manifest(found.digest) == referrer(made.manifest, "delta")
    listed = json.loads(layout.manifest(fallback_tag(made.digest)))
    assert [item["artifactType"] for item in listed["manifests"]] == ["application/signature", "application/delta"]
    assert layout.tags() == ("1",)
    assert layout.referrers(f"sha256:{'0' * 64}", "application/delta") == ()


def test_a_read_goes_on_where_the_last_one_ended(layout: Layout, tmp_path: Path) -> None:
    made = publish(layout, FILES)
    descriptor = oci.parse(made.manifest, where="test").layers[0]
    with PartFile(tmp_path / "blob") as part:
        part.append(made.blobs[descriptor.digest][:1000])
        layout.read_blob(descriptor, part, lambda _done: None)
        assert part.size == descriptor.size


@pytest.mark.parametrize("change", [lambda data: b"X" + data[1:], lambda data: data[:-1], lambda data: data + b"more"])
def test_a_blob_that_was_changed_is_told(layout: Layout, tmp_path: Path, change: object) -> None:
    made = publish(layout, FILES)
    descriptor = oci.parse(made.manifest, where="test").layers[0]
    path = layout.path(descriptor.digest)
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    if path.stat().st_size > descriptor.size:  # no more than it should have is ever read
        assert read(layout, descriptor, tmp_path) == made.blobs[descriptor.digest]
        return
    with PartFile(tmp_path / "blob") as part:
        with pytest.raises(DigestMismatchError):
            layout.read_blob(descriptor, part, lambda _done: None)
        assert part.size == 0


def test_a_manifest_that_was_changed_is_told(layout: Layout) -> None:
    made = publish(layout, FILES)
    layout.path(made.digest).write_bytes(made.manifest.replace(b"a.onnx", b"x.onnx"))
    for reference in ("1", made.digest):
        with pytest.raises(DigestMismatchError):
            layout.manifest(reference)


def test_content_that_is_not_what_its_digest_says_never_gets_that_name(layout: Layout, tmp_path: Path) -> None:
    made = publish(layout, FILES)
    digest = next(iter(made.blobs))
    for source in (b"something else", tmp_path / "file"):
        (tmp_path / "file").write_bytes(b"something else")
        with pytest.raises(BundleError, match="changed while it was pushed"):
            layout.put_blob(digest, 14, source)
        assert layout.read(digest, 1 << 20) == made.blobs[digest]
    assert not [path for path in layout.path(digest).parent.iterdir() if path.name.startswith(".")]


def test_a_manifest_is_refused_before_what_it_names_is_there(layout: Layout) -> None:
    made = released(FILES)
    for digest, data in list(made.blobs.items())[1:]:
        layout.put_blob(digest, len(data), data)
    with pytest.raises(RegistryError, match="has to be pushed before"):
        layout.put_manifest(made.manifest, "1")
    assert not (layout.folder / "index.json").exists()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"mediaType": "text/html"}'])
def test_what_is_no_manifest_is_refused(layout: Layout, data: bytes) -> None:
    with pytest.raises(RegistryError):
        layout.put_manifest(data, "1")


@pytest.mark.parametrize("tag", ["../up", "a/b", "", ".hidden", "a" * 129, "a\nb"])
def test_a_tag_is_a_plain_word(layout: Layout, tag: str) -> None:
    made = publish(layout, FILES)
    with pytest.raises(RegistryError, match="is no tag"):
        layout.put_manifest(made.manifest, tag)


@pytest.mark.parametrize(
    "digest", ["../../etc/passwd", "sha256:../../../etc/passwd", "sha256:", f"sha512:{'0' * 64}", f"sha256:{'A' * 64}"]
)
def test_a_digest_is_no_way_out_of_the_folder(layout: Layout, digest: str) -> None:
    publish(layout, FILES)
    with pytest.raises(RegistryError, match="no digest"):
        layout.read(digest, 100)
    with pytest.raises(RegistryError, match="no digest"):
        layout.put_blob(digest, 1, b"x")


def test_names_in_the_index_are_only_compared(layout: Layout) -> None:
    made = publish(layout, FILES)
    entry = {"mediaType": oci.IMAGE_MANIFEST, "digest": made.digest, "size": len(made.manifest)}
    names = ["../../up:1", "/etc:passwd", ":", "", "toy:../x"]
    entries = [{**entry, "annotations": {oci.REF_NAME: name}} for name in names]
    (layout.folder / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": entries}))
    for name in ("../x", "1"):
        outcome = layout.find(name)
        assert outcome is None or outcome.digest == made.digest
    assert layout.manifest(made.digest) == made.manifest


def test_a_digest_in_the_index_that_is_none_spoils_no_more_than_the_index(layout: Layout) -> None:
    publish(layout, FILES)
    entry = {"mediaType": oci.IMAGE_MANIFEST, "digest": "sha256:../../../../etc/passwd", "size": 10}
    (layout.folder / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]}))
    with pytest.raises(RegistryError, match=r"index\.json is no index of an OCI layout"):
        layout.manifest("1")


@pytest.mark.parametrize("link", ["blobs", "blobs/sha256", "index.json", "blob"])
def test_symbolic_links_in_the_folder_are_not_followed(layout: Layout, tmp_path: Path, link: str) -> None:
    made = publish(layout, FILES)
    path = layout.path(made.digest) if link == "blob" else layout.folder / link
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((RegistryError, RegistryUnavailableError)):
        layout.manifest("1")
    assert link == "index.json" or not layout.has_blob(made.digest)


@pytest.mark.parametrize("link", ["blobs", "blobs/sha256"])
def test_nothing_is_written_through_a_symbolic_link(layout: Layout, tmp_path: Path, link: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (layout.folder / link).parent.mkdir(parents=True)
    (layout.folder / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot write"):
        layout.put_blob(oci.sha256(b"x"), 1, b"x")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_blob_that_is_a_pipe_holds_nobody_up(layout: Layout) -> None:
    import os

    made = publish(layout, FILES)
    layout.path(made.digest).unlink()
    os.mkfifo(layout.path(made.digest))
    with pytest.raises(RegistryError, match="no file"):
        layout.manifest("1")


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds other things \(holiday.jpg\)"):
        Layout(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_what_is_no_layout_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"is no OCI layout: it has no index\.json; push a model into it"):
        Layout(tmp_path / "nothing").manifest("1")


def test_two_who_push_at_once_lose_nothing(layout: Layout) -> None:
    """Each in a thread with a lock of its own, as processes have."""
    failures: list[BaseException] = []

    def push(place: int) -> None:
        try:
            mine = Layout(layout.folder, "toy")
            for number in range(5):
                publish(mine, {"a.onnx": b"the same for all", "b.onnx": bytes([place, number])}, f"{place}.{number}")
        except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
            failures.append(error)

    threads = [threading.Thread(target=push, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert sorted(layout.tags()) == [f"{place}.{number}" for place in range(4) for number in range(5)]
    for tag in layout.tags():
        for descriptor in oci.parse(layout.manifest(tag), where=tag).layers:
            assert oci.sha256(layout.read(descriptor.digest, 1 << 20)) == descriptor.digest
