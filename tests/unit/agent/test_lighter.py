"""Which variant is lighter than what runs."""

from __future__ import annotations

from typing import Any

import pytest

from edgemass.agent.lighter import lighter_variant
from edgemass.bundles import Bundle
from edgemass.config import Config
from edgemass.manifest import InputSpec, Variant
from tests.simulators.bundles import made_of

PLAIN = Config(cameras={})


def variant(name: str, precision: str, *, runtime: str = "onnx", side: int | None = None, **more: Any) -> Variant:
    spec = InputSpec(name="images", layout="NCHW", dtype="float32", width=side, height=side) if side else None
    return Variant(
        name=name,
        file=f"{name}.bin",
        runtime=runtime,  # type: ignore[arg-type]
        precision=precision,
        sha256="0" * 64,
        size_bytes=100,
        input=spec,
        **more,
    )


@pytest.fixture(autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is there but those that are called so."""
    monkeypatch.setattr(Bundle, "has", lambda _, item: item.name != "gone")


def lightest(
    *variants: Variant, running: str = "fp32", backend: str = "onnxruntime/cpu", config: Config = PLAIN
) -> Any:
    return lighter_variant(made_of(*variants), config, running=running, backend=backend)


FP32, FP16, INT8 = variant("fp32", "fp32"), variant("fp16", "fp16"), variant("int8", "int8")


def test_the_one_with_the_fewest_bits_is_taken() -> None:
    assert lightest(FP32, FP16, INT8) == "int8"
    assert lightest(FP32, FP16, INT8, running="fp16") == "int8"


def test_nothing_is_lighter_than_the_lightest() -> None:
    assert lightest(FP32, FP16, INT8, running="int8") is None
    assert lightest(FP32) is None


def test_fewer_pixels_are_lighter_too_but_not_at_the_price_of_more_bits() -> None:
    small, small_fp32 = variant("small", "int8", side=32), variant("small-fp32", "fp32", side=32)
    assert lightest(FP32, small_fp32) == "small-fp32"
    assert lightest(FP32, INT8, small) == "small"
    assert lightest(FP32, INT8, small_fp32, running="int8") is None


def test_what_was_rewritten_on_this_board_counts_as_the_stock_file() -> None:
    assert lightest(FP32, INT8, running="fp32-rewritten") == "int8"


def test_another_runtime_an_accelerator_s_file_and_a_missing_one_are_left_out() -> None:
    assert lightest(FP32, variant("int8", "int8", runtime="tflite")) is None
    assert lightest(FP32, variant("int8", "int8", targets=("edgetpu",))) is None
    assert lightest(FP32, variant("gone", "int8")) is None


@pytest.mark.parametrize("backend", ["onnxruntime/cuda", "onnxruntime/tensorrt", "litert/edgetpu", "litert/libfoo"])
def test_on_an_accelerator_nothing_is_exchanged(backend: str) -> None:
    assert lightest(FP32, INT8, backend=backend) is None


@pytest.mark.parametrize("backend", ["onnxruntime/cpu", "litert/xnnpack", "litert/cpu", "litert/builtin"])
def test_on_the_cpu_it_is(backend: str) -> None:
    assert lightest(FP32, INT8, backend=backend) == "int8"


@pytest.mark.parametrize("asked", [{"variant": "fp32"}, {"strict": True}])
def test_who_asked_for_it_keeps_it(asked: dict[str, Any]) -> None:
    assert lightest(FP32, INT8, config=Config(cameras={}, **asked)) is None
