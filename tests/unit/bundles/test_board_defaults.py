"""What a bundle runs on where nobody asks."""

from __future__ import annotations

import pytest

from edgemass import backends
from edgemass.backends.choice import Choice
from edgemass.bundles import Bundle
from edgemass.bundles.loading import default_choices
from edgemass.device_profile import Defaults
from edgemass.manifest import Variant
from tests.simulators.bundles import made_of


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
