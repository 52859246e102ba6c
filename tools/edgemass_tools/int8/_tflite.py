"""The child process that quantizes a TFLite file: the quantizer prints, and watches every tensor of the graph.

python -m edgemass_tools.int8._tflite FLOAT.tflite INPUTS.npz LOW HIGH OUT.tflite
INPUTS: one array (n, ...) of the float input; LOW, HIGH: what pixels can become.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

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
    limits = {tensor: _range([item[tensor] for item in seen]) for tensor in seen[0]}
    for tensor, found in limits.items():
        if tensor.removeprefix(f"{signature}_").partition(":")[0] == name:
            found["min"], found["max"] = np.full_like(found["min"], low), np.full_like(found["max"], high)
    work.quantize(limits).export_model(target, overwrite=True)
    return 0


def _range(seen: list[Any]) -> dict[str, Any]:
    """From what each picture showed of a tensor: least and largest value, without the few largest of all."""
    return {
        "min": np.quantile(np.stack([item["min"] for item in seen]), 1 - KEPT, axis=0),
        "max": np.quantile(np.stack([item["max"] for item in seen]), KEPT, axis=0),
    }


if __name__ == "__main__":
    Path(sys.argv[-1]).unlink(missing_ok=True)
    sys.exit(main(sys.argv[1:]))
