from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edgemass.agent.fitting import check_fits
from edgemass.config import CameraConfig, Config
from edgemass.config.scene import EventsConfig
from edgemass.errors import ConfigError, UsageError
from edgemass.manifest import InputSpec, Manifest, OutputSpec, StateTensor, TextRule, Variant

PICTURE = InputSpec(name="image", layout="NHWC", dtype="uint8", width=8, height=8)
TEXT = InputSpec(name="bytes", layout="NT", dtype="int32", text=TextRule(bytes_per_run=4))


def manifest(spec: InputSpec) -> Manifest:
    return Manifest(
        name="model",
        task="classification",
        labels=("a", "b"),
        input=spec,
        output=OutputSpec(family="classifier", tensors={"scores": ("scores",)}),
        state=(StateTensor(input="h", output="h_next", shape=(1, 1), dtype="float32"),),
        variants=(Variant(name="v", file="v.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    )


def check(spec: InputSpec, source: str, *, sinks: tuple[str, ...] = ("jsonl:-",), **camera: Any) -> None:
    check_fits(Config(cameras={"door": CameraConfig(source=source, **camera)}, sinks=sinks), manifest(spec))


def test_texts_go_to_models_that_read_them_and_pictures_to_the_others() -> None:
    check(TEXT, "text:-")
    check(PICTURE, "synthetic:", motion=True)


def test_a_model_is_not_fed_with_what_it_cannot_read() -> None:
    with pytest.raises(UsageError, match="camera door gives texts, but model reads pictures"):
        check(PICTURE, "text:-")
    with pytest.raises(UsageError, match="camera door gives pictures, but model reads texts"):
        check(TEXT, "synthetic:")


@pytest.mark.parametrize("asked", [{"motion": True}, {"rotate": 90}, {"crop": (0.0, 0.0, 0.5, 0.5)}])
def test_what_is_for_pictures_is_not_asked_of_texts(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(asked))} is for pictures"):
        check(TEXT, "text:-", **asked)


def test_nobody_draws_a_text() -> None:
    with pytest.raises(UsageError, match="snapshots: draws pictures"):
        check(TEXT, "text:-", sinks=("console:", "snapshots:shots"))


def test_a_score_to_leave_at_above_the_models_own_is_refused() -> None:
    detector = msgspec.structs.replace(manifest(PICTURE), task="detection", score=0.4)
    camera = CameraConfig(source="synthetic:", events=EventsConfig(leave=0.5))
    with pytest.raises(ConfigError, match=r"camera door: events: leave must not be above .* found 0.5 and 0.4"):
        check_fits(Config(cameras={"door": camera}), detector)
    check_fits(Config(cameras={"door": camera}), msgspec.structs.replace(detector, score=0.5))
