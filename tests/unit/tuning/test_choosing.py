from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemass.bundles import Bundle
from edgemass.manifest import Accuracy, Variant
from edgemass.tuning.choosing import Limits, choose, gain, pick, quantized_for_nothing, unsteady
from edgemass.tuning.row import Agreement, Candidate, Row
from tests.simulators.bundles import made_of

LIMITS = Limits()
REFERENCE = Candidate("fp32", "onnx", 1)


def variant(name: str, precision: str = "fp32", **fields: Any) -> Variant:
    return Variant(
        name=name, file=f"{name}.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1, precision=precision, **fields
    )


def accuracy(value: float, data: str = "coco-val", images: int = 100) -> tuple[Accuracy, ...]:
    return (Accuracy(data=data, images=images, map_50_95=value),)


def row(name: str, p95_ms: float, *, threads: int = 1, f1: float | None = 1.0, backend: str = "onnx") -> Row:
    return Row(
        candidate=Candidate(name, backend, threads),
        runs_on="onnxruntime/cpu",
        p50_ms=p95_ms * 0.9,
        p95_ms=p95_ms,
        reference_p50_ms=90.0,
        reference_p95_ms=100.0,
        agreement=Agreement(f1, 30 if f1 is not None else 2, 0.4),
    )


def best(bundle: Bundle, *rows: Row, limits: Limits = LIMITS) -> str:
    found = choose(bundle, rows, limits, REFERENCE).best
    return str(found.candidate) if found else "none"


def test_the_least_p95_over_that_of_the_reference_is_best_whatever_the_machine_did_meanwhile() -> None:
    bundle = made_of(variant("fp32"), variant("fast"))
    drifted = msgspec.structs.replace(row("fast", 70), reference_p50_ms=45.0, reference_p95_ms=50.0)
    assert best(bundle, row("fp32", 100), drifted) == "fp32 on onnx with 1 thread"
    assert best(bundle, row("fp32", 100), row("fast", 70)) == "fast on onnx with 1 thread"


def test_what_is_as_fast_as_noise_gives_way_to_the_lossless_one_and_to_fewer_threads() -> None:
    bundle = made_of(variant("fp32"), variant("int8", "int8"))
    assert best(bundle, row("fp32", 100), row("int8", 98)) == "fp32 on onnx with 1 thread"
    assert best(bundle, row("fp32", 98, threads=2), row("fp32", 100)) == "fp32 on onnx with 1 thread"
    assert best(bundle, row("fp32", 90, threads=2), row("fp32", 100)) == "fp32 on onnx with 2 threads"


@pytest.mark.parametrize(
    ("fields", "f1", "told"),
    [
        ({}, 0.95, "it agrees with the reference: F1 0.950 over 30"),
        ({}, 0.85, "it answers differently: F1 0.850 over 30"),
        ({}, None, "too little was found to compare"),
        ({"accuracy": accuracy(0.345)}, 0.85, "it loses 0.005 on coco-val"),
        ({"accuracy": accuracy(0.330)}, 1.0, "it loses 0.020 on coco-val, allowed are 0.010"),
        ({"accuracy": accuracy(0.345)}, 0.3, "its stated accuracy does not hold on this board: F1 0.300"),
        ({"accuracy": accuracy(0.345, data="own")}, None, "too little was found to compare"),
        ({"accuracy": accuracy(0.345, images=7)}, None, "too little was found to compare"),
    ],
)
def test_a_lossy_variant_is_picked_by_its_stated_loss_or_by_what_it_finds(
    fields: dict[str, Any], f1: float | None, told: str
) -> None:
    bundle = made_of(variant("fp32"), variant("int8", "int8", **fields), accuracy=accuracy(0.350))
    rows = [row("fp32", 100), row("int8", 50, f1=f1)]
    choice = choose(bundle, rows, LIMITS, REFERENCE)
    usable = told.startswith(("it agrees", "it loses 0.005"))
    assert choice.verdicts[1].reason.startswith(told)
    assert choice.verdicts[1].usable == usable
    assert choice.best is rows[1 if usable else 0]


def test_the_loss_counts_from_the_float_variant_that_was_quantized() -> None:
    """`edgemass-tools quantize` writes both figures there: the stock file's own stays as its card says."""
    rewritten = variant("fast", made_from="fp32", accuracy=accuracy(0.350))
    small = variant("int8", "int8", made_from="fast", accuracy=accuracy(0.345))
    bundle = made_of(variant("fp32"), rewritten, small)
    rows = [row("fp32", 100), row("fast", 80), row("int8", 50, f1=0.85)]
    assert choose(bundle, rows, LIMITS, REFERENCE).best is rows[2]
    worse = made_of(variant("fp32"), rewritten, msgspec.structs.replace(small, accuracy=accuracy(0.330)))
    assert choose(worse, rows, LIMITS, REFERENCE).best is rows[1]


def test_a_lossless_variant_needs_no_detections_but_may_not_contradict() -> None:
    bundle = made_of(variant("fp32"), variant("rewritten"))
    assert best(bundle, row("fp32", 100), row("rewritten", 50, f1=None)) == "rewritten on onnx with 1 thread"
    assert best(bundle, row("fp32", 100), row("rewritten", 50, f1=0.2)) == "fp32 on onnx with 1 thread"


def test_an_accelerator_that_computes_something_else_is_not_picked_with_the_stock_file_either() -> None:
    bundle = made_of(variant("fp32"))
    assert best(bundle, row("fp32", 100), row("fp32", 5, backend="onnx:cuda", f1=0.1)) == "fp32 on onnx with 1 thread"


def test_limits_are_the_users_to_set() -> None:
    bundle = made_of(variant("fp32"), variant("int8", "int8"))
    rows = row("fp32", 100), row("int8", 50, f1=0.85)
    assert best(bundle, *rows, limits=Limits(min_agreement=0.8)) == "int8 on onnx with 1 thread"


def test_what_failed_is_not_picked_and_where_all_failed_nothing_is() -> None:
    bundle = made_of(variant("fp32"))
    failed = Row(candidate=Candidate("fp32", "onnx", 1), failure="it crashed (SIGSEGV)")
    choice = choose(bundle, [failed], LIMITS, REFERENCE)
    assert choice.best is None
    assert choice.verdicts[0].reason == "it crashed (SIGSEGV)"
    assert pick(bundle, choice, "2026-11-22T10:15:02.118Z") is None


def test_a_pick_says_what_was_measured() -> None:
    bundle = made_of(variant("fp32"), variant("fast"))
    made = pick(
        bundle, choose(bundle, [row("fp32", 100), row("fast", 50)], LIMITS, REFERENCE), "2026-11-22T10:15:02.118Z"
    )
    assert made is not None
    assert (made.digest, made.variant, made.backend, made.threads) == (bundle.digest, "fast", "onnx", 1)
    assert (made.p95_ms, made.reference_p95_ms, made.f1, made.compared) == (50.0, 100.0, 1.0, 30)


def test_where_the_reference_differs_from_itself_the_median_decides_and_that_is_told() -> None:
    bundle = made_of(variant("fp32"), variant("fast"))
    noisy = row("fp32", 115)  # beside itself at 100
    fast = msgspec.structs.replace(row("fast", 112), p50_ms=60.0)
    choice = choose(bundle, [noisy, fast, row("fp32", 105, threads=2)], LIMITS, REFERENCE)
    assert choice.best is fast
    assert choice.noise == pytest.approx(0.15)
    assert unsteady(choice)[0].startswith("the machine was busy: the p95 of the reference differed from itself by 15%")
    assert not unsteady(choose(bundle, [row("fp32", 101), fast], LIMITS, REFERENCE))


def test_the_gain_is_what_p95_and_median_both_show() -> None:
    rows = [row("fp32", 100), row("fast", 80), row("faster", 60)]
    running = Candidate("fast", "onnx", 1)
    assert gain(rows, rows[2], running) == pytest.approx(0.25)
    assert gain(rows, rows[1], running) == pytest.approx(0.0)
    tail_only = msgspec.structs.replace(rows[2], p50_ms=71.0)
    assert gain(rows, tail_only, running) == pytest.approx(1 - 71 / 72)
    assert gain(rows, rows[2], Candidate("fast", "onnx", 9)) == 0.0


def test_a_quantized_variant_that_is_no_faster_than_float_is_told() -> None:
    bundle = made_of(variant("fp32"), variant("int8", "int8"))
    (told,) = quantized_for_nothing(bundle, [row("fp32", 100), row("int8", 110), row("int8", 104, threads=2)])
    assert told.startswith("int8 is quantized and no faster than float here: its p95 is 1.04 times that of the best")
    assert not quantized_for_nothing(bundle, [row("fp32", 100), row("int8", 60)])
    assert not quantized_for_nothing(made_of(variant("int8", "int8")), [row("int8", 110)])
