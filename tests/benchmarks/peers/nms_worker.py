"""Decoding and NMS of one side, in a process of its own; `decode_nms.py` starts it.

    python tests/benchmarks/peers/nms_worker.py ultralytics|edgemass

Standard input: lines of {"tensor": FILE.npy, "score": s, "iou": i, "most": n, "runs": r, "multi_label": bool}.
Standard output: for each line {"ms": [...], "found": boxes, "sum": of their corners}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Work = Callable[[], Any]
"""Does it once; returns xyxy (n, 4)."""


def ultralytics(order: dict[str, Any]) -> Work:
    import torch
    import torchvision  # noqa: F401 (as `predict` does before its first frame: then its NMS is torchvision's)
    from ultralytics.utils.nms import non_max_suppression

    torch.set_num_threads(1)
    tensor = torch.from_numpy(np.load(order["tensor"]))
    options = {"max_det": order["most"], "multi_label": order["multi_label"], "max_time_img": 60.0}

    def work() -> Any:
        with torch.inference_mode():
            return non_max_suppression(tensor, order["score"], order["iou"], **options)[0][:, :4].numpy()

    return work


def edgemass(order: dict[str, Any]) -> Work:
    from edgemass import families
    from edgemass.detections import Detections
    from edgemass.imaging import leave_cores_to_the_runtime
    from edgemass.imaging.nms import suppress
    from edgemass.manifest import InputSpec, Manifest, OutputSpec, Variant
    from edgemass.tensors import Tensor, TensorInfo

    leave_cores_to_the_runtime()
    array = np.load(order["tensor"])
    manifest = Manifest(
        name="bench",
        task="detection",
        labels=tuple(f"class_{n}" for n in range(array.shape[1] - 4)),
        licence="none",
        input=InputSpec(name="images", layout="NCHW", dtype="float32", width=640, height=640, std=(255.0,)),
        output=OutputSpec(family="yolo_v8", tensors={"output": ("output0",)}),
        variants=(Variant(name="v", file="v.onnx", runtime="onnx", sha256="0" * 64, size_bytes=1),),
    )
    decode = families.prepare(manifest, {"output0": TensorInfo("output0", array.shape, "float32")})
    outputs = {"output0": Tensor(array)}

    def work() -> Any:
        found = decode(outputs, score_threshold=order["score"], multi_label=order["multi_label"])
        assert isinstance(found, Detections)
        return suppress(found, iou=order["iou"], max_detections=order["most"]).xyxy

    return work


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    prepare = {"ultralytics": ultralytics, "edgemass": edgemass}[sys.argv[1]]
    prepared: dict[str, Work] = {}
    for line in sys.stdin:
        order = json.loads(line)
        runs = order.pop("runs")
        key = json.dumps(order)
        work = prepared.get(key) or prepared.setdefault(key, prepare(order))
        boxes = work()
        ms = []
        for _ in range(runs):
            started = time.perf_counter_ns()
            work()
            ms.append((time.perf_counter_ns() - started) / 1e6)
        answers.write(json.dumps({"ms": ms, "found": len(boxes), "sum": float(np.sum(boxes))}) + "\n")


if __name__ == "__main__":
    main()
