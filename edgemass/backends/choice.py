"""What a person asks to run on: `onnx:tensorrt,cuda`, `tflite:edgetpu`, `tflite:/usr/lib/libfoo.so?option=value`.

    choice   = runtime [":" provider *("," provider)]
    provider = name ["?" key "=" value *("&" key "=" value)]

Names, keys and values may hold percent-encoded characters: %2C is a comma. Several choices make one longer list. The
order is the order of preference.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from edgemass.backends import BACKENDS
from edgemass.errors import UsageError

ENGINES = {"onnx": "onnxruntime", "tflite": "litert"}
"""Runtime of a variant -> how documents call it."""

PROVIDERS = {  # runtime -> what a typing error is told from; ONNX Runtime's by its own names, and LiteRT's
    "onnx": (
        *("cpu", "cuda", "tensorrt", "openvino", "nvtensorrtrtx", "migraphx", "rocm", "qnn", "vitisai", "cann"),
        *("acl", "armnn", "rknpu", "xnnpack", "webgpu", "coreml", "dml", "dnnl", "azure"),
    ),
    "tflite": ("cpu", "xnnpack", "builtin", "edgetpu"),
}
_ON_THE_CPU = {("tflite", "xnnpack"), ("tflite", "builtin")}
_LIBRARY = re.compile(r"(?:lib)?(?P<name>.+?)\.so(?:\.[\d.]+)?")


@dataclass(frozen=True)
class Choice:
    """One runtime on one provider; provider None is the runtime's best on the CPU."""

    runtime: str
    provider: str | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def accelerated(self) -> bool:
        """Whether it runs on something that may be absent, break or hang."""
        return self.provider is not None and (self.runtime, self.provider) not in _ON_THE_CPU

    @property
    def name(self) -> str:
        """As `Backend.requested` says it: "onnxruntime/tensorrt", "litert/edgetpu"."""
        return f"{ENGINES[self.runtime]}/{short_name(self.provider or 'cpu')}"


def on_the_cpu(name: str) -> bool:
    """Whether a backend of this name in documents ("litert/xnnpack") runs on no accelerator."""
    return name.rpartition("/")[2] in ("cpu", *(provider for _, provider in _ON_THE_CPU))


def short_name(provider: str) -> str:
    """A provider in documents: a delegate's library gives its name without path, `lib` and `.so`."""
    library = _LIBRARY.fullmatch(provider.rpartition("/")[2])
    return library["name"] if library else provider


def parse(text: str | Sequence[str]) -> tuple[Choice, ...]:
    """The choices of one text or of several, in order.

    Raises:
        UsageError: an unknown runtime or provider, or an option without a value.
    """
    texts = [text] if isinstance(text, str) else list(text)
    found = [choice for item in texts for choice in _parse(item.strip())]
    if not found:
        raise UsageError("backend is an empty list; wanted something like onnx:cuda, or leave it out")
    return tuple(found)


def _parse(text: str) -> list[Choice]:
    runtime, colon, providers = text.partition(":")
    if runtime not in BACKENDS:
        raise UsageError(f"unknown backend {runtime!r} in {text!r}; known are {', '.join(BACKENDS)}, such as onnx:cuda")
    if not colon:
        return [Choice(runtime)]
    return [_provider(runtime, item.strip(), text) for item in providers.split(",")]


def _provider(runtime: str, item: str, text: str) -> Choice:
    encoded, _, query = item.partition("?")
    name = unquote(encoded)
    if runtime == "tflite" and ("/" in name or ".so" in name):
        return Choice(runtime, name, _options(query, text))
    name = name.lower().removesuffix("executionprovider").replace("_", "")
    if name not in PROVIDERS[runtime]:
        near = difflib.get_close_matches(name, PROVIDERS[runtime], n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(PROVIDERS[runtime])}"
        library = ", and the path of a delegate's .so" if runtime == "tflite" and not near else ""
        raise UsageError(f"unknown provider {name!r} in backend {text!r}; {hint}{library}")
    return Choice(runtime, None if name == "cpu" else name, _options(query, text))


def _options(query: str, text: str) -> dict[str, str]:
    options = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise UsageError(f"option {pair!r} in backend {text!r} has no value; wanted key=value")
        options[unquote(key)] = unquote(value)
    return options
