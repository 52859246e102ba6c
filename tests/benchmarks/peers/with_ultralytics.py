"""Ultralytics' `predict`, as its documentation shows it, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.benchmarks.peers.worker import Contender, Setup


def open(setup: Setup) -> Contender:  # noqa: A001 (as the worker calls it)
    return _Ultralytics(setup)


class _Ultralytics:
    def __init__(self, setup: Setup) -> None:
        from worker import instrument_onnxruntime  # type: ignore[import-not-found] # lies beside the started program

        instrument_onnxruntime(setup)
        import torch
        from ultralytics import YOLO

        torch.set_num_threads(setup.threads)
        self._model: Any = YOLO(setup.model, task="detect")
        self._options: dict[str, Any] = {
            "imgsz": setup.size,
            "conf": setup.score,
            "iou": setup.iou,
            "device": "cpu",
            "verbose": False,
        }

    def detect(self, image: Any) -> int:
        return sum(len(result.boxes.xyxy) for result in self._model.predict(image, **self._options))

    def picture(self, path: str) -> int:
        return self.detect(path)

    def video(self, path: str) -> Iterator[int]:
        for result in self._model.predict(path, stream=True, **self._options):
            yield len(result.boxes.xyxy)
