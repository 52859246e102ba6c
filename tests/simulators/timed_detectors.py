"""A bundle of small detectors that find the same six things in every bright picture, at different speeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgemass import manifest as manifests
from edgemass.bundles import Bundle
from edgemass.manifest import InputSpec, Manifest, Nms, OutputSpec, Resize, Variant
from tests.simulators import tiny_models

SIDE = 64
CELLS = 84
CLASSES = 3
_WIDE = 192  # of the matrices that only cost time


def onnx_detector(path: Path, *, seed: int = 0, work: int = 0) -> Path:
    """[1, 3, 64, 64] -> [1, 84, 7]: boxes cx, cy, w, h in pixels and a score per class.

    seed: another one finds other things. work: products of matrices that change nothing, about 0.3 ms each.
    """
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rows = np.zeros((1, CELLS, 4 + CLASSES), np.float32)
    rng = np.random.default_rng(seed)
    for index in range(6):  # of 10 pixels, on a grid, so that none suppresses another
        rows[0, index * 9, :4] = (8 + index % 3 * 20 + rng.integers(0, 12), 12 + index // 3 * 32, 10, 10)
        rows[0, index * 9, 4 + rng.integers(0, CLASSES)] = 0.9
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["brightest"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["brightest", "ones"], ["matrix0"]),
    ]
    nodes += [helper.make_node("MatMul", [f"matrix{i}", "idle"], [f"matrix{i + 1}"]) for i in range(work)]
    nodes += [
        helper.make_node("ReduceMax", [f"matrix{work}"], ["last"], axes=[0, 1], keepdims=0),
        helper.make_node("Mul", ["last", "zero"], ["nothing"]),
        helper.make_node("Add", ["brightest", "nothing"], ["light"]),
        helper.make_node("Mul", ["rows", "light"], ["output"]),
    ]
    constants: dict[str, Any] = {
        "rows": rows,
        "ones": np.ones((_WIDE, _WIDE), np.float32),
        "idle": np.eye(_WIDE, dtype=np.float32),
        "zero": np.zeros((), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", kind, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", kind, [1, CELLS, 4 + CLASSES])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return tiny_models.save_onnx(graph, path)


def write(folder: Path, variants: Mapping[str, Mapping[str, Any]]) -> Bundle:
    """A bundle folder, the stock file first.

    variants: name -> `seed` and `work` of its file, and fields of its Variant.
    """
    folder.mkdir(parents=True)
    made: list[Variant] = []
    for name, given in variants.items():
        fields = dict(given)
        path = onnx_detector(folder / f"{name}.onnx", seed=fields.pop("seed", 0), work=fields.pop("work", 0))
        data = path.read_bytes()
        made.append(
            Variant(
                name=name,
                file=path.name,
                runtime="onnx",
                sha256=hashlib.sha256(data).hexdigest(),
                size_bytes=len(data),
                made_from="" if not made else made[0].name,
                **fields,
            )
        )
    manifest = Manifest(
        name="tiny",
        task="detection",
        labels=("cat", "dog", "bird"),
        input=InputSpec(
            name="images",
            layout="NCHW",
            dtype="float32",
            width=SIDE,
            height=SIDE,
            resize=Resize(rule="stretch"),
            std=(255.0,),
        ),
        output=OutputSpec(
            family="yolo_v8", tensors={"output": ("output",)}, options={"layout": "NC", "normalized": False}, nms=Nms()
        ),
        variants=tuple(made),
    )
    (folder / "manifest.toml").write_bytes(manifests.to_toml(manifest))
    return Bundle(manifest, folder)
