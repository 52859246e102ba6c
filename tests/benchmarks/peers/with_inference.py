"""Roboflow's `inference`: its models, given a local package, and its own pipeline for video files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.peers.worker import Contender, Setup

GREY = 114


def open(setup: Setup) -> Contender:  # noqa: A001 (as the worker calls it)
    return _Inference(setup)


def package(setup: Setup) -> Path:
    """A model package as `inference_models` reads it from disk: the same ONNX file, and what it must know of it."""
    folder = Path(setup.model).with_suffix(".roboflow")
    folder.mkdir(exist_ok=True)
    size = {"height": setup.size, "width": setup.size}
    network = {
        "training_input_size": size,
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": GREY,
        "input_channels": 3,
        "scaling_factor": 255,
    }
    config = {
        "network_input": network,
        "forward_pass": {"static_batch_size": 1},
        "post_processing": {"type": "nms", "fused": False},
    }
    described = {"model_architecture": "yolov8", "task_type": "object-detection", "backend_type": "onnx"}
    (folder / "inference_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model_config.json").write_text(json.dumps(described), encoding="utf-8")
    (folder / "class_names.txt").write_text("\n".join(f"class_{n}" for n in range(80)), encoding="utf-8")
    if not (folder / "weights.onnx").is_file():
        shutil.copyfile(setup.model, folder / "weights.onnx")
    return folder


class _Inference:
    def __init__(self, setup: Setup) -> None:
        os.environ.setdefault("OFFLINE_MODE", "True")
        os.environ.setdefault("ONNXRUNTIME_EXECUTION_PROVIDERS", "[CPUExecutionProvider]")
        os.environ.setdefault("TELEMETRY_OPT_OUT", "True")
        from worker import instrument_onnxruntime  # type: ignore[import-not-found] # lies beside the started program

        instrument_onnxruntime(setup)
        import torch
        from inference_models import AutoModel

        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._model: Any = AutoModel.from_pretrained(str(package(setup)), device=torch.device("cpu"))

    def detect(self, image: Any) -> int:
        (found,) = self._model(image, confidence=self._setup.score, iou_threshold=self._setup.iou)
        return len(found.xyxy)

    def picture(self, path: str) -> int:
        import cv2

        return self.detect(cv2.imread(path))

    def video(self, path: str) -> Iterator[int]:
        """Its frames one after the other: what its pipeline does besides (threads, buffers, watchdogs) is left out."""
        import cv2

        capture = cv2.VideoCapture(path)
        while True:
            read, image = capture.read()
            if not read:
                return
            yield self.detect(image)
