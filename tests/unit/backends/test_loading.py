"""The table of runtimes, and what a user reads when one is not there."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from edgemass import backends
from edgemass.errors import BackendUnavailableError


def hide(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for adapter in backends.BACKENDS.values():
        monkeypatch.delitem(sys.modules, adapter, raising=False)
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_an_unknown_runtime_is_refused_with_those_that_exist() -> None:
    with pytest.raises(BackendUnavailableError, match=r"'openvino'.*onnx, tflite"):
        backends.load("openvino")


@pytest.mark.parametrize(
    ("runtime", "modules"), [("onnx", ("onnxruntime",)), ("tflite", ("ai_edge_litert", "tflite_runtime"))]
)
def test_a_missing_runtime_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, runtime: str, modules: tuple[str, ...]
) -> None:
    hide(monkeypatch, *modules)
    with pytest.raises(BackendUnavailableError, match=rf"pip install 'edgemass\[{runtime}\]'"):
        backends.load(runtime)


@pytest.mark.skipif(int(np.__version__.split(".", maxsplit=1)[0]) < 2, reason="needs NumPy 2 to be refused")
def test_a_tflite_runtime_built_for_numpy_1_is_refused_before_it_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "ai_edge_litert")
    old = ModuleType("tflite_runtime")
    old.__dict__["__version__"] = "2.14.0"
    monkeypatch.setitem(sys.modules, "tflite_runtime", old)
    with pytest.raises(BackendUnavailableError, match=r"2\.14\.0 .* pip install 'numpy<2'"):
        backends.load("tflite")
