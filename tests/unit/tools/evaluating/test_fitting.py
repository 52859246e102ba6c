"""What is refused before any model is loaded, and which variants bounds hold for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from edgemass.bundles import Bundle
from edgemass.errors import UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, StateTensor, TextRule, Variant
from edgemass_tools import evaluating
from edgemass_tools.evaluating import Order
from edgemass_tools.evaluating.entrants import held_names

PICTURE = InputSpec(name="in", layout="NCHW", dtype="float32", width=8, height=8)
STOCK = Variant(name="fp32", file="a.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1)
REWRITTEN = msgspec.structs.replace(STOCK, name="fp32-optimized", made_from="fp32")
INT8 = msgspec.structs.replace(STOCK, name="int8", precision="int8")
HALF = msgspec.structs.replace(STOCK, name="fp16", precision="fp16")


STATE = StateTensor(input="h", output="h_next", shape=(1, 1), dtype="float32")


def bundle(*variants: Variant, picture: InputSpec = PICTURE) -> Bundle:
    output = OutputSpec(family="classifier", tensors={"scores": ("out",)})
    made = Manifest(
        name="m",
        task="classification",
        labels=("a", "b"),
        input=picture,
        output=output,
        state=(STATE,) if picture.text else (),
        variants=variants or (STOCK,),
    )
    return Bundle(made, Path())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"threads": 0}, "--threads must be at least 1, found 0"),
        ({"score": 0.5}, "--score is of detections"),
        ({"folders": False, "annotations": Path("a.json")}, "give --labels truth.csv or --folders"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        evaluating.evaluate([("m", bundle())], Order(images=Path(), **changes), lambda _done, _total: None)  # type: ignore[arg-type]


def test_a_model_that_reads_texts_is_sent_elsewhere() -> None:
    texts = InputSpec(name="bytes", layout="NT", dtype="int32", text=TextRule(bytes_per_run=4))
    with pytest.raises(UsageError, match="edgemass eval --texts"):
        evaluating.evaluate([("m", bundle(picture=texts))], Order(images=Path(), folders=True), lambda _d, _t: None)


@pytest.mark.parametrize(
    ("variants", "names", "compared", "held"),
    [
        ((STOCK, REWRITTEN, INT8), (), False, ["int8"]),
        ((STOCK, INT8, HALF), (), True, ["int8", "fp16"]),
        ((STOCK, REWRITTEN, INT8), ("fp32-optimized",), False, ["fp32-optimized"]),
        ((STOCK, REWRITTEN), (), False, ["fp32-optimized"]),
        ((STOCK,), (), False, ["fp32"]),
        ((STOCK, REWRITTEN), (), True, []),
    ],
)
def test_bounds_hold_for_what_is_compressed_named_or_run(
    variants: tuple[Variant, ...], names: tuple[str, ...], compared: bool, held: list[str]
) -> None:
    assert held_names(bundle(*variants), variants, names, compared=compared) == held
