"""The child process that reads what a model file says of itself: graph, metadata, labels.

A parser makes dozens of bytes of every byte of a malicious file: this happens beside the program, within limits.
Standard output: one msgpack `Answer`.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from edgemass.backends import own_process
from edgemass.bundles import child, onnx_graph, tflite_graph
from edgemass.bundles.onnx_graph import OnnxFile
from edgemass.bundles.tflite_graph import Appendix
from edgemass.errors import BundleError

MOST_MEMORY_BYTES = 4 * child.GIB  # a protobuf file ends at 2 GiB


class Answer(msgspec.Struct, frozen=True):
    """onnx or tflite as the file is; error: why it must not be used."""

    onnx: OnnxFile | None = None
    tflite: Appendix | None = None
    error: str = ""


def main(runtime: str, model: str) -> None:
    answer = own_process.open_answer()
    child.limit_memory(MOST_MEMORY_BYTES)
    encoded = msgspec.msgpack.encode(_read(runtime, Path(model)))
    if len(encoded) > child.MAX_ANSWER_BYTES:
        encoded = msgspec.msgpack.encode(Answer(error=f"{model}: its graph is too large for this program"))
    with answer as pipe:
        pipe.write(encoded)


def _read(runtime: str, model: Path) -> Answer:
    try:
        return Answer(onnx=onnx_graph.read(model)) if runtime == "onnx" else Answer(tflite=tflite_graph.read(model))
    except BundleError as error:
        return Answer(error=str(error))
    except MemoryError:
        return Answer(error=f"{model}: reading it takes more memory than there is; it is damaged")
