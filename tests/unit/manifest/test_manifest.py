from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemass import manifest
from edgemass.errors import BundleError
from edgemass.manifest import InputSpec, Manifest, Nms, OutputSpec, Resize, Variant


def example(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "yolo",
        "task": "detection",
        "labels": ("person", "car"),
        "input": InputSpec(
            name="images",
            layout="NCHW",
            dtype="float32",
            width=320,
            height=256,
            std=(255.0,),
            resize=Resize(rule="letterbox", pad_value=114),
        ),
        "output": OutputSpec(
            family="yolo_v8", tensors={"head": ("output0",)}, options={"normalised": False}, nms=Nms()
        ),
        "variants": (Variant(name="fp32", file="yolo.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    }
    return Manifest(**{**fields, **changes})


def test_a_manifest_comes_back_from_toml_and_json_as_it_was() -> None:
    wanted = example()
    assert manifest.from_toml(manifest.to_toml(wanted), where="here") == wanted
    assert manifest.from_json(manifest.to_json(wanted), where="here") == wanted


def test_equal_manifests_have_equal_json() -> None:
    output = example().output
    options = {"normalised": False, "activated": True}
    first = example(output=msgspec.structs.replace(output, options=options))
    second = example(output=msgspec.structs.replace(output, options=dict(reversed(options.items()))))
    assert manifest.to_json(first) == manifest.to_json(second)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": ()}, "labels is empty"),
        ({"variants": ()}, "variants is empty"),
        ({"score": 1.5}, "between 0 and 1"),
        (
            {"variants": (Variant(name="x", file="../x.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),)},
            "plain file name",
        ),
        (
            {"input": InputSpec(name="i", layout="NCHW", dtype="float32", width=3, height=3, std=(0.0,))},
            "must not be 0",
        ),
        (
            {"input": InputSpec(name="i", layout="NCHW", dtype="float32", width=3, height=3, mean=(1.0, 2.0))},
            "wanted 1 or 3",
        ),
        ({"input": InputSpec(name="i", layout="NCHW", dtype="float32")}, "are needed for resize rule stretch"),
        ({"input": InputSpec(name="i", layout="NCHW", dtype="float32", width=90000, height=1)}, "between 1 and 8192"),
    ],
)
def test_contradictions_are_refused_with_the_field(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        example(**changes)


@pytest.mark.parametrize(
    "text",
    [b"", b"name = 3", b"\xff\xfe", b"nonsense", manifest.to_toml(example()) + b'\nsurprise = "x"\n[x]\n'],
)
def test_a_bad_manifest_is_one_error_that_names_the_file(text: bytes) -> None:
    with pytest.raises(BundleError, match=r"^bundle/manifest.toml: "):
        manifest.from_toml(text, where="bundle/manifest.toml")


def test_nothing_but_the_declared_keys_is_on_the_wire() -> None:
    assert set(msgspec.json.decode(manifest.to_json(example()))) <= set(Manifest.__struct_fields__)


def rewritten(**changes: Any) -> Variant:
    fields: dict[str, Any] = {
        "name": "fp32-optimized",
        "file": "yolo.optimized.onnx",
        "runtime": "onnx",
        "sha256": "01" * 32,
        "size_bytes": 1,
        "made_from": "fp32",
        "input": InputSpec(name="images", layout="NHWC", dtype="uint8", width=320, height=256, color="BGR"),
        "output": OutputSpec(family="levels", tensors={"classes": ("a",), "distances": ("b",)}, nms=Nms(iou=0.5)),
    }
    return Variant(**{**fields, **changes})


def test_a_rewritten_variant_is_fed_and_read_by_its_own_input_and_output() -> None:
    stock = example()
    variant = rewritten()
    both = manifest.from_toml(manifest.to_toml(example(variants=(*stock.variants, variant))), where="here")
    assert both.of(both.reference) == both
    as_rewritten = both.of(both.variants[1])
    assert (as_rewritten.input, as_rewritten.output) == (variant.input, variant.output)
    assert as_rewritten.labels == stock.labels


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        ((rewritten(),), "comes first"),
        ((example().variants[0], rewritten(name="fp32")), "two are named 'fp32'"),
        ((example().variants[0], rewritten(input=InputSpec(name="i", layout="NHWC", dtype="uint8"))), "input.width"),
        ((example().variants[0], rewritten(output=OutputSpec(family="a", tensors={}, nms=Nms(iou=2)))), "iou"),
    ],
)
def test_variants_that_contradict_the_bundle_are_refused(variants: tuple[Variant, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        example(variants=variants)
