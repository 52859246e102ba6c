"""A delta gives exactly what it should from what it was made from, or is refused before it costs anything."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import msgspec
import pytest
import zstandard

from edgemass import oci
from edgemass.errors import BundleError, DigestMismatchError
from edgemass.oci import Descriptor, ImageManifest
from edgemass.registry import deltas
from edgemass.registry.layout import Layout
from tests.simulators.layouts import Released, publish

SIZE = 200_000


def noise(seed: int, size: int = SIZE) -> bytes:
    """As trained weights, it cannot be compressed."""
    return random.Random(seed).randbytes(size)


BASE = noise(1)
TARGET = BASE[:-5000] + noise(2, 5000)


def apply(folder: Path, patch: bytes, base: bytes | None, target: bytes = TARGET) -> bytes:
    """Apply it as a device does, which knows the size and the digest that it wants."""
    (folder / "patch").write_bytes(patch)
    if base is not None:
        (folder / "base").write_bytes(base)
    result = folder / "result"
    try:
        deltas.apply(
            folder / "patch",
            folder / "base" if base is not None else None,
            result,
            size=len(target),
            digest=oci.sha256(target),
        )
    except BundleError:
        assert not result.exists()
        raise
    return result.read_bytes()


def test_a_delta_gives_the_new_file_and_is_as_large_as_what_changed(tmp_path: Path) -> None:
    patch = deltas.make(BASE, TARGET)
    assert apply(tmp_path, patch, BASE) == TARGET
    assert 5000 < len(patch) < 5300


def test_what_moved_in_the_file_costs_next_to_nothing(tmp_path: Path) -> None:
    moved = BASE[SIZE // 2 :] + b"a few new words" + BASE[: SIZE // 2]
    patch = deltas.make(BASE, moved)
    assert apply(tmp_path, patch, BASE, moved) == moved
    assert len(patch) < 200


@pytest.mark.parametrize(
    ("base", "target"),
    [(b"", b""), (b"", b"x"), (b"x", b""), (b"x", b"x"), (b"a" * 3000, b"b"), (b"a", b"b" * 100_000), (BASE, b"b")],
)
def test_sizes_of_all_kinds(tmp_path: Path, base: bytes, target: bytes) -> None:
    assert apply(tmp_path, deltas.make(base, target), base, target) == target
    assert apply(tmp_path, deltas.make(None, target), None, target) == target


def test_unpacking_what_comes_only_compressed_needs_little_memory_however_large_it_is() -> None:
    packed = deltas.make(None, bytes(20_000_000))
    assert zstandard.get_frame_parameters(packed).window_size == 1 << deltas.PLAIN_WINDOW_LOG


def test_a_delta_with_any_byte_changed_gives_the_right_file_or_none(tmp_path: Path) -> None:
    patch = deltas.make(BASE, TARGET)
    chance = random.Random(3)
    places = {*range(24), *(chance.randrange(len(patch)) for _ in range(60))}
    for place in places:
        changed = bytearray(patch)
        changed[place] ^= 1 << chance.randrange(8)
        with contextlib.suppress(BundleError):
            assert apply(tmp_path, bytes(changed), BASE) == TARGET  # a bit that means nothing


@pytest.mark.parametrize("keep", [0, 1, 5, 17, 100, -1])
def test_a_delta_that_was_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    with pytest.raises(BundleError):
        apply(tmp_path, deltas.make(BASE, TARGET)[:keep], BASE)


@pytest.mark.parametrize("base", [noise(9), BASE[:-1], BASE[: SIZE // 2], b"", None])
def test_a_delta_from_another_base_is_refused(tmp_path: Path, base: bytes | None) -> None:
    with pytest.raises(BundleError):
        apply(tmp_path, deltas.make(BASE, TARGET), base)


def test_a_bomb_that_says_how_large_it_is_is_refused_at_once(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(500_000_000))
    assert len(bomb) < 50_000
    with pytest.raises(BundleError, match="announces 500000000 bytes, wanted 200000"):
        apply(tmp_path, bomb, None)


def test_a_bomb_that_hides_its_size_is_cut_off_where_the_file_should_end(tmp_path: Path) -> None:
    compressor = zstandard.ZstdCompressor(level=3, write_content_size=False).compressobj()
    bomb = b"".join(compressor.compress(bytes(1_000_000)) for _ in range(200)) + compressor.flush()
    with pytest.raises(BundleError, match=r"gives more than the 200000 bytes|too much memory"):
        apply(tmp_path, bomb, None)


@pytest.mark.parametrize("window_log", [22, 27, 30])
def test_a_header_that_wants_a_window_the_files_do_not_justify_is_refused(tmp_path: Path, window_log: int) -> None:
    header = b"\x28\xb5\x2f\xfd" + bytes([0x00, (window_log - 10) << 3])  # RFC 8878: no content size, window descriptor
    with pytest.raises(BundleError, match="memory"):
        apply(tmp_path, header + b"\x01\x00\x00", BASE)


def test_a_delta_that_wants_no_window_at_all_and_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    header = b"\x28\xb5\x2f\xfd" + bytes([0xE0]) + (1 << 40).to_bytes(8, "little")  # single segment of a terabyte
    with pytest.raises(BundleError, match="announces 1099511627776 bytes"):
        apply(tmp_path, header + b"\x01\x00\x00", BASE)


@pytest.mark.parametrize("patch", [b"", b"no zstd at all", bytes(1000), b"\x50\x2a\x4d\x18\xff\xff\xff\xff"])
def test_what_is_no_delta_is_refused(tmp_path: Path, patch: bytes) -> None:
    with pytest.raises(BundleError):
        apply(tmp_path, patch, BASE)


def test_a_whole_delta_that_gives_another_file_is_not_kept(tmp_path: Path) -> None:
    evil = bytes(reversed(TARGET))
    with pytest.raises(DigestMismatchError):
        apply(tmp_path, deltas.make(BASE, evil), BASE)


def test_files_too_large_to_lie_in_memory_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "MOST_BYTES", SIZE - 1)
    with pytest.raises(BundleError, match="at most 199999 are taken"):
        apply(tmp_path, deltas.make(BASE, TARGET), BASE)
    layout = Layout(tmp_path / "models", "toy")
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    assert deltas.offers(layout, new.digest)[0] == []


# Publishing.


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "models", "toy")


def offered(layout: Layout, made: Released) -> dict[tuple[str, str | None], int]:
    """(target, base) -> bytes."""
    return {(item.target, item.base): item.descriptor.size for item in deltas.offers(layout, made.digest)[0]}


def test_only_what_changed_is_offered_and_only_where_it_is_smaller(layout: Layout) -> None:
    words = b"compresses well " * 5000
    old = publish(layout, {"a.onnx": BASE, "same.onnx": noise(5), "words.onnx": words, "new.onnx": noise(6)}, "1")
    files = {"a.onnx": TARGET, "same.onnx": noise(5), "words.onnx": words + b"!", "new.onnx": noise(7)}
    new = publish(layout, files, "2", [old])
    a, words_now = oci.sha256(TARGET), oci.sha256(words + b"!")
    found = offered(layout, new)
    assert found.keys() == {(a, oci.sha256(BASE)), (words_now, oci.sha256(words)), (words_now, None)}
    assert found[words_now, oci.sha256(words)] < found[words_now, None] < len(words)


def test_a_delta_that_is_larger_than_the_compressed_file_is_not_published(layout: Layout) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": bytes(SIZE)}, "2", [old])
    assert offered(layout, new).keys() == {(oci.sha256(bytes(SIZE)), None)}
    other = publish(layout, {"a.onnx": noise(8)}, "3", [old])
    assert offered(layout, other) == {}


def test_publishing_again_adds_nothing(layout: Layout) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    before = layout.referrers(new.digest, deltas.ARTIFACT)
    publish(layout, {"a.onnx": TARGET}, "2", [old, new])
    assert layout.referrers(new.digest, deltas.ARTIFACT) == before


def test_deltas_from_several_bases_stand_beside_each_other(layout: Layout) -> None:
    first = publish(layout, {"a.onnx": BASE}, "1")
    second = publish(layout, {"a.onnx": TARGET}, "2")
    newest = TARGET[:-100] + noise(11, 100)
    third = publish(layout, {"a.onnx": newest}, "3", [first, second])
    found = offered(layout, third)
    assert found[oci.sha256(newest), oci.sha256(TARGET)] < 400
    assert found[oci.sha256(newest), oci.sha256(BASE)] > 5000


def test_referrers_that_are_none_of_ours_cost_nothing_but_themselves(layout: Layout) -> None:
    old = publish(layout, {"a.onnx": BASE}, "1")
    new = publish(layout, {"a.onnx": TARGET}, "2", [old])
    good = offered(layout, new)
    empty = Descriptor(deltas.EMPTY, oci.sha256(b"{}"), 2)
    told = {"to": oci.sha256(TARGET), "from": oci.sha256(BASE)}
    evil = {deltas.TO: "../../up", deltas.FROM: told["from"]}
    strange = {deltas.TO: told["to"], deltas.FROM: "sha256:../../up"}
    layers = tuple(Descriptor(deltas.PATCH, empty.digest, 2, item) for item in (evil, strange, {}))
    subject = Descriptor(oci.IMAGE_MANIFEST, new.digest, len(new.manifest))
    made = ImageManifest(2, oci.IMAGE_MANIFEST, deltas.ARTIFACT, empty, layers, subject)
    layout.put_blob(empty.digest, 2, b"{}")
    layout.put_manifest(msgspec.json.encode(made), None)
    huge = msgspec.structs.replace(made, annotations={"much": "x" * deltas.MOST_REFERRER_BYTES})
    layout.put_manifest(msgspec.json.encode(huge), None)
    gone = layout.put_manifest(msgspec.json.encode(msgspec.structs.replace(made, annotations={"is": "gone"})), None)
    layout.path(gone).unlink()
    assert offered(layout, new) == good


def test_no_more_referrers_are_read_than_make_sense(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deltas, "MOST_REFERRERS", 2)
    olds = [publish(layout, {"a.onnx": BASE[:-1] + bytes([number])}, str(number)) for number in range(4)]
    new = publish(layout, {"a.onnx": TARGET}, "new", olds)
    assert len(offered(layout, new)) == 2
