"""A bundle folder gets more variants: all of it, or what was there before."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from edgemass.bundles import Bundle, check_target, extend_bundle, load_bundle, write_bundle
from edgemass.errors import UsageError
from edgemass.manifest import Accuracy, InputSpec, Manifest, OutputSpec, Variant


def variant(name: str, file: Path) -> Variant:
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return Variant(name=name, file=file.name, runtime="onnx", sha256=digest, size_bytes=len(data))


@pytest.fixture
def bare(tmp_path: Path) -> Bundle:
    """A bare file that was imported in memory."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"float")
    made = Manifest(
        name="net",
        task="detection",
        labels=("a",),
        input=InputSpec(name="x", layout="NCHW", dtype="float32", width=8, height=8),
        output=OutputSpec(family="yolo_v8", tensors={}),
        variants=(variant("onnx-fp32", folder / "net.onnx"),),
    )
    return Bundle(made, folder)


def with_int8(bundle: Bundle, file: Path) -> Manifest:
    made = bundle.manifest
    return msgspec.structs.replace(made, variants=(made.reference, variant("int8", file)))


def test_a_bundle_is_written_with_all_its_files(bare: Bundle, tmp_path: Path) -> None:
    new = tmp_path / "net.int8.onnx"
    new.write_bytes(b"small")
    written = extend_bundle(bare, with_int8(bare, new), {new.name: new}, tmp_path / "out" / "net")
    assert sorted(path.name for path in written.folder.iterdir()) == ["manifest.toml", "net.int8.onnx", "net.onnx"]
    assert [item.name for item in written.manifest.variants] == ["onnx-fp32", "int8"]
    for item in written.manifest.variants:
        written.path(item)


def test_a_bundle_may_be_extended_where_it_lies(bare: Bundle, tmp_path: Path) -> None:
    new = tmp_path / "net.int8.onnx"
    new.write_bytes(b"small")
    extend_bundle(bare, bare.manifest, {}, tmp_path / "out")
    (tmp_path / "out" / "card.md").write_text("mine")
    there = load_bundle(tmp_path / "out")
    written = extend_bundle(there, with_int8(there, new), {new.name: new}, there.folder)
    written.path(written.variant("int8"))
    assert (tmp_path / "out" / "card.md").read_text() == "mine"


def test_a_folder_with_something_else_is_refused_and_left_alone(bare: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty and no bundle of net\.onnx"):
        check_target(bare, folder)
    with pytest.raises(UsageError, match="choose another folder with -o"):
        extend_bundle(bare, bare.manifest, {}, folder)
    assert [path.name for path in folder.iterdir()] == ["diary.txt"]


def test_a_write_that_fails_leaves_nothing(bare: Bundle, tmp_path: Path) -> None:
    made = with_int8(bare, bare.folder / "net.onnx")
    with pytest.raises(UsageError, match="cannot write"):
        extend_bundle(bare, made, {"net.onnx": tmp_path / "absent"}, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


def test_another_manifest_of_the_same_model_is_not_overwritten(bare: Bundle, tmp_path: Path) -> None:
    mine = msgspec.structs.replace(bare.manifest, labels=("mine",), score=0.7)
    extend_bundle(Bundle(mine, bare.folder), mine, {}, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.toml").read_bytes()
    new = tmp_path / "net.int8.onnx"
    new.write_bytes(b"small")
    with pytest.raises(UsageError, match="other labels or settings"):
        extend_bundle(bare, with_int8(bare, new), {new.name: new}, tmp_path / "out")
    assert (tmp_path / "out" / "manifest.toml").read_bytes() == before


def test_variants_that_only_the_folder_has_are_kept(bare: Bundle, tmp_path: Path) -> None:
    new, newer = tmp_path / "net.int8.onnx", tmp_path / "net.optimized.onnx"
    new.write_bytes(b"small")
    newer.write_bytes(b"quick")
    extend_bundle(bare, with_int8(bare, new), {new.name: new}, tmp_path / "out")
    made = msgspec.structs.replace(bare.manifest, variants=(bare.manifest.reference, variant("optimized", newer)))
    written = extend_bundle(bare, made, {newer.name: newer}, tmp_path / "out")
    assert [item.name for item in written.manifest.variants] == ["onnx-fp32", "optimized", "int8"]
    for item in written.manifest.variants:
        written.path(item)


def test_importing_again_keeps_variants_that_still_fit(bare: Bundle, tmp_path: Path) -> None:
    new = tmp_path / "net.int8.onnx"
    new.write_bytes(b"small")
    extend_bundle(bare, with_int8(bare, new), {new.name: new}, tmp_path / "out")
    stock = bare.folder / "net.onnx"
    renamed = msgspec.structs.replace(bare.manifest, labels=("b",))
    again = write_bundle(renamed, stock, tmp_path / "out")
    assert again.manifest.labels == ("b",)
    assert [item.name for item in again.manifest.variants] == ["onnx-fp32", "int8"]
    larger = msgspec.structs.replace(bare.manifest, input=msgspec.structs.replace(bare.manifest.input, width=16))
    assert [item.name for item in write_bundle(larger, stock, tmp_path / "out").manifest.variants] == ["onnx-fp32"]


def test_a_variant_of_the_cache_is_found_whatever_is_said_of_it_meanwhile(bare: Bundle, tmp_path: Path) -> None:
    cached = tmp_path / "cache"
    cached.mkdir()
    (cached / "net.optimized.onnx").write_bytes(b"quick")
    rewritten = variant("optimized", cached / "net.optimized.onnx")
    bundle = Bundle(bare.manifest, bare.folder, (rewritten,), cached)
    measured = msgspec.structs.replace(rewritten, accuracy=(Accuracy(data="own", images=3, map_50_95=0.5),))
    made = msgspec.structs.replace(bare.manifest, variants=(bare.manifest.reference, measured))
    written = extend_bundle(bundle, made, {}, tmp_path / "out")
    assert written.path(written.variant("optimized")).read_bytes() == b"quick"
