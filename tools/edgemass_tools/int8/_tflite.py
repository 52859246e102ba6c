"""The child process that quantizes a TFLite file: the quantizer prints, and watches every tensor of the graph.

python -m edgemass_tools.int8._tflite FLOAT.tflite INPUTS.npz LOW HIGH OUT.tflite
INPUTS: one array (n, ...) of the float input; LOW, HIGH: what pixels can become.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgemass_tools.int8.ranges import ROOM

KEPT = 0.95
"""Share of the pictures whose largest value a tensor's range holds: the odd one out would make every step coarser."""


def main(arguments: list[str]) -> int:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 (seconds)
    from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415

    source, inputs, low, high, target = arguments
    signature, names = next(iter(Interpreter(model_path=source).get_signature_list().items()))
    name = names["inputs"][0]
    work = quantizer.Quantizer(source, recipe.static_wi8_ai8())
    seen = [work.calibrate({signature: [{name: picture[None]}]}) for picture in np.load(inputs)["inputs"]]
    outputs = {info["name"] for info in Interpreter(model_path=source).get_output_details()}
    # A reshaped answer has the range of what it was made from, so that counts as an answer too: the same values.
    answers = {_values(seen, tensor) for tensor in seen[0] if tensor in outputs}
    limits = {
        tensor: _range([item[tensor] for item in seen], answer=_values(seen, tensor) in answers) for tensor in seen[0]
    }
    for tensor, found in limits.items():
        if tensor.removeprefix(f"{signature}_").partition(":")[0] == name:
            found["min"], found["max"] = np.full_like(found["min"], low), np.full_like(found["max"], high)
    work.quantize(limits).export_model(target, overwrite=True)
    return 0


def _values(seen: list[Any], tensor: str) -> tuple[bytes, ...]:
    """Least and largest values of a tensor in each picture."""
    return tuple(np.asarray(item[tensor][end]).tobytes() for item in seen for end in ("min", "max"))


def _range(seen: list[Any], *, answer: bool) -> dict[str, Any]:
    """From what each picture showed of a tensor: least and largest value, without the few largest of all.

    answer: with them and room beyond, see `ranges.ROOM`.
    """
    low, high = (np.stack([item[end] for item in seen]) for end in ("min", "max"))
    if not answer:
        return {"min": np.quantile(low, 1 - KEPT, axis=0), "max": np.quantile(high, KEPT, axis=0)}
    room = ROOM * (high.max(axis=0) - low.min(axis=0))
    return {"min": low.min(axis=0) - room, "max": high.max(axis=0) + room}


if __name__ == "__main__":
    Path(sys.argv[-1]).unlink(missing_ok=True)
    sys.exit(main(sys.argv[1:]))
