"""The grammar of `--backend`."""

from __future__ import annotations

import pytest

from edgemass.backends.choice import Choice, parse
from edgemass.errors import UsageError


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("onnx", [Choice("onnx")]),
        ("onnx:cpu", [Choice("onnx")]),
        ("onnx:tensorrt,cuda, cpu", [Choice("onnx", "tensorrt"), Choice("onnx", "cuda"), Choice("onnx")]),
        ("onnx:CUDAExecutionProvider", [Choice("onnx", "cuda")]),
        ("onnx:openvino?device_type=AUTO:GPU%2CCPU", [Choice("onnx", "openvino", {"device_type": "AUTO:GPU,CPU"})]),
        ("tflite:edgetpu?device=usb:0&a=", [Choice("tflite", "edgetpu", {"device": "usb:0", "a": ""})]),
        ("tflite:/opt/a%2Cb/libx.so.1?k=v", [Choice("tflite", "/opt/a,b/libx.so.1", {"k": "v"})]),
        (("tflite:edgetpu", "onnx:cuda"), [Choice("tflite", "edgetpu"), Choice("onnx", "cuda")]),
    ],
)
def test_a_text_or_a_list_gives_the_choices_in_order(text: str | tuple[str, ...], choices: list[Choice]) -> None:
    assert list(parse(text)) == choices


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openvino", "unknown backend 'openvino'.*onnx, tflite"),
        ("onnx:tensort", "did you mean tensorrt"),
        ("onnx:", "unknown provider ''.*cuda"),
        ("tflite:hexagon9", "edgetpu, and the path of a delegate"),
        ("onnx:cuda?device_id", "'device_id'.*key=value"),
        ((), "empty list"),
    ],
)
def test_a_typing_error_is_told_at_once(text: str | tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("choice", "name", "accelerated"),
    [
        (Choice("onnx"), "onnxruntime/cpu", False),
        (Choice("onnx", "tensorrt"), "onnxruntime/tensorrt", True),
        (Choice("tflite", "xnnpack"), "litert/xnnpack", False),
        (Choice("tflite", "edgetpu"), "litert/edgetpu", True),
        (Choice("tflite", "/usr/lib/libarmnnDelegate.so.29.1"), "litert/armnnDelegate", True),
    ],
)
def test_a_choice_is_called_as_documents_call_it(choice: Choice, name: str, accelerated: bool) -> None:
    assert (choice.name, choice.accelerated) == (name, accelerated)
