"""Weights stored as halves, for half the size: the graph still computes in single precision.

Each becomes a constant of float16 and a Cast, which every runtime folds when it loads the file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

LEAST_ELEMENTS = 64
"""Smaller tensors, biases among them, stay as they are: nothing is won by them."""


def store(path: Path) -> None:
    """Rewrite an ONNX file in place."""
    import onnx  # noqa: PLC0415 (heavy)

    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LEAST_ELEMENTS:
            continue
        halves = onnx.numpy_helper.from_array(values.astype(np.float16), f"{weight.name}.half")
        casts.append(onnx.helper.make_node("Cast", [halves.name], [weight.name], to=onnx.TensorProto.FLOAT))
        weight.CopyFrom(halves)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
