"""What a bundle runs on where nobody asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemass import backends
from edgemass.agent.slot import board_defaults
from edgemass.agent.tuner import refusal
from edgemass.backends.choice import Choice
from edgemass.bundles import Bundle
from edgemass.bundles.loading import default_choices
from edgemass.config import Config
from edgemass.device_profile import Defaults
from edgemass.manifest import Variant
from edgemass.messages import ModelRef
from tests.simulators.bundles import made_of

BOARDS = Path(__file__).resolve().parents[2] / "data" / "boards"


class Installed:
    """A backend module that has some providers."""

    def __init__(self, *providers: str) -> None:
        self._providers = providers

    def offers(self, provider: str) -> bool:
        return provider in self._providers


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Installed]:
    modules = {"onnx": Installed(), "tflite": Installed()}
    monkeypatch.setattr(backends, "load", lambda runtime: modules[runtime])
    return modules


def bundle(*runtimes: str, targets: tuple[str, ...] = ()) -> Bundle:
    return made_of(
        *(
            Variant(name=runtime, file="x", runtime=runtime, sha256="0" * 64, size_bytes=1, targets=targets)  # type: ignore[arg-type]
            for runtime in runtimes
        )
    )


def told(choices: tuple[Choice, ...]) -> list[str]:
    return [f"{choice.runtime}:{choice.provider}" if choice.provider else choice.runtime for choice in choices]


def test_without_a_profile_the_model_decides() -> None:
    assert told(default_choices(bundle("tflite", "onnx"), Defaults())) == ["tflite", "onnx"]


def test_the_order_of_the_board_comes_first_and_nothing_is_lost() -> None:
    assert told(default_choices(bundle("tflite", "onnx"), Defaults(("onnx",)))) == ["onnx", "tflite"]
    assert told(default_choices(bundle("onnx"), Defaults(("tflite",)))) == ["onnx"]


def test_an_accelerator_that_is_not_installed_is_not_tried(installed: dict[str, Installed]) -> None:
    jetson = Defaults(("onnx:tensorrt,cuda", "onnx"))
    assert told(default_choices(bundle("onnx"), jetson)) == ["onnx"]
    installed["onnx"] = Installed("cuda")
    assert told(default_choices(bundle("onnx"), jetson)) == ["onnx:cuda", "onnx"]
    installed["onnx"] = Installed("tensorrt", "cuda")
    assert told(default_choices(bundle("onnx"), jetson)) == ["onnx:tensorrt", "onnx:cuda", "onnx"]


def test_the_edge_tpu_gets_only_what_was_made_for_it(installed: dict[str, Installed]) -> None:
    installed["tflite"] = Installed("edgetpu")
    coral = Defaults(("tflite:edgetpu", "tflite"))
    assert told(default_choices(bundle("tflite"), coral)) == ["tflite"]
    assert told(default_choices(bundle("tflite", targets=("edgetpu",)), coral)) == ["tflite:edgetpu", "tflite"]


def test_strictness_never_refuses_for_an_accelerator_that_nobody_asked_for(installed: dict[str, Installed]) -> None:
    installed["onnx"] = Installed("cuda")
    assert told(default_choices(bundle("onnx"), Defaults(("onnx:cuda", "onnx")), strict=True)) == ["onnx"]


def test_where_the_board_s_accelerator_may_run_no_cpu_is_measured(installed: dict[str, Installed]) -> None:
    jetson = Config(cameras={}, root=str(BOARDS / "jetson-nano"))
    running = ModelRef("toy", "1", "", "onnx")
    installed["onnx"] = Installed("cuda")
    assert refusal(jetson, bundle("onnx"), running) == "the board's accelerator is for this model"
    installed["onnx"] = Installed()
    assert "accelerator" not in refusal(jetson, bundle("onnx"), running)


def test_what_the_profile_says_is_what_the_agent_asks_for() -> None:
    asked = {board: board_defaults(Config(cameras={}, root=str(BOARDS / board))) for board in ("rock-5", "mini-pc")}
    assert asked == {
        "rock-5": Defaults(("tflite", "onnx"), threads=4),
        "mini-pc": Defaults(("onnx", "tflite")),
    }
    assert board_defaults(Config(cameras={}, root=str(BOARDS / "mini-pc"), profile="rock-5")).threads == 4
