"""What is refused, and what the manifest says; the whole way is tested in tests/models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

pytest.importorskip("onnxruntime", reason="the extra onnx enables this")
pytest.importorskip("onnx", reason="the extra import enables this")

from edgemass.bundles import Bundle
from edgemass.errors import BundleError, EdgemassError, UsageError
from edgemass.evaluate import DetectionAccuracy
from edgemass.manifest import Accuracy, InputSpec, Manifest, OutputSpec, Variant
from edgemass_tools import quantizing
from edgemass_tools.agreement import Agreement
from edgemass_tools.quantizing import Order, _Tried

STOCK = Variant(name="onnx-fp32", file="net.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1)
INT8 = msgspec.structs.replace(STOCK, name="int8", file="net.int8.onnx", precision="int8", made_from="onnx-fp32")
MANIFEST = Manifest(
    name="net",
    task="detection",
    labels=("a",),
    input=InputSpec(name="x", layout="NCHW", dtype="float32", width=8, height=8),
    output=OutputSpec(family="yolo_v8", tensors={}),
    variants=(STOCK,),
    accuracy=(Accuracy(data="mine", images=9, map_50_95=0.1),),
)
ORDER = Order(output=Path("out"), images=Path("pictures"))
MEASURED = Order(output=Path("out"), annotations=Path("/data/val/instances.json"), eval_images=Path("/data/val/images"))


def tried(agreement: Agreement, accuracy: tuple[float, float] | None = None) -> _Tried:
    measured = [DetectionAccuracy(value, value + 0.1, 110, {}, ()) for value in accuracy or ()]
    return _Tried("8 of 10", Path("net.int8.onnx"), INT8, agreement, (measured[0], measured[1]) if measured else None)


def test_a_loss_above_the_limit_is_told_with_both_figures() -> None:
    said = quantizing._too_much(MANIFEST, MEASURED, tried(Agreement(9, 9, 3), (0.300, 0.284)))
    assert "loses 0.016 mAP in 8 bits (0.300 to 0.284), wanted at most 0.010" in said
    assert "nothing was written" in said


def test_a_loss_within_the_limit_is_accepted_whatever_the_agreement() -> None:
    assert not quantizing._too_much(MANIFEST, MEASURED, tried(Agreement(1, 9, 3), (0.300, 0.291)))


def test_without_annotations_the_agreement_decides() -> None:
    assert not quantizing._too_much(MANIFEST, ORDER, tried(Agreement(96, 100, 3)))
    assert "agrees with float on 90.0% of 100" in quantizing._too_much(MANIFEST, ORDER, tried(Agreement(90, 100, 3)))


def test_nothing_found_is_no_agreement() -> None:
    assert "finds nothing in the 3 pictures" in quantizing._too_much(MANIFEST, ORDER, tried(Agreement(0, 0, 3)))


def test_the_manifest_states_both_accuracies_under_the_name_of_the_pictures() -> None:
    before = quantizing._described(Bundle(MANIFEST, Path()), STOCK, tried(Agreement(9, 9, 3)), ORDER)
    found = quantizing._described(Bundle(before, Path()), STOCK, tried(Agreement(9, 9, 3), (0.3, 0.295)), MEASURED)
    assert [(item.data, item.map_50_95) for item in found.accuracy] == [("mine", 0.1), ("val", 0.3)]
    assert [(item.data, item.map_50_95, item.images) for item in found.variants[1].accuracy] == [("val", 0.295, 110)]
    assert found.assumed == ()  # it is known, and what was said before it was is taken back


def test_without_annotations_the_manifest_says_that_accuracy_was_not_measured() -> None:
    found = quantizing._described(Bundle(MANIFEST, Path()), STOCK, tried(Agreement(9, 10, 3)), ORDER)
    assert not found.variants[1].accuracy
    assert found.assumed[-1].startswith("int8: made from onnx-fp32, 8 of 10 layers in 8 bits")
    assert "agrees with it on 90.0% of 10 answers in 3 pictures" in found.assumed[-1]
    assert found.assumed[-1].endswith("its accuracy was not measured")


def test_a_second_int8_takes_the_place_of_the_first() -> None:
    bundle = Bundle(MANIFEST, Path())
    once = quantizing._described(bundle, STOCK, tried(Agreement(9, 10, 3)), ORDER)
    twice = quantizing._described(Bundle(once, Path()), STOCK, tried(Agreement(10, 10, 3)), ORDER)
    assert [item.name for item in twice.variants] == ["onnx-fp32", "int8"]
    assert len(twice.assumed) == len(once.assumed) == 1


def test_without_its_stock_file_a_bundle_is_that_of_the_next_variant() -> None:
    pixels = msgspec.structs.replace(MANIFEST.input, layout="NHWC", dtype="uint8")
    int8 = msgspec.structs.replace(INT8, input=pixels, accuracy=(Accuracy(data="val", images=9, map_50=0.5),))
    other = msgspec.structs.replace(INT8, name="other", file="other.onnx")
    made = msgspec.structs.replace(MANIFEST, variants=(STOCK, int8, other))
    found = quantizing._without(made, (STOCK.name,))
    assert [variant.name for variant in found.variants] == ["int8", "other"]
    assert found.input == pixels
    assert found.accuracy[0].map_50 == 0.5
    assert found.of(found.variants[1]).input == MANIFEST.input
    assert quantizing._without(made, ("other",)).variants == (STOCK, int8)


@pytest.mark.parametrize(
    ("change", "order", "kind", "told"),
    [
        ({"runtime": "tflite", "file": "a.tflite"}, ORDER, UsageError, "quantize its ONNX export"),
        ({"precision": "int8"}, ORDER, BundleError, "is int8 already"),
        ({"precision": "fp16"}, ORDER, BundleError, "quantize from the fp32 export"),
        ({}, Order(output=Path("out"), annotations=Path("a.json")), UsageError, "go together"),
    ],
)
def test_what_cannot_be_quantized_is_refused(
    change: dict[str, str], order: Order, kind: type[EdgemassError], told: str
) -> None:
    made = msgspec.structs.replace(MANIFEST, variants=(msgspec.structs.replace(STOCK, **change),))
    with pytest.raises(kind, match=told):
        quantizing._check_order(Bundle(made, Path()), order, "onnx")
