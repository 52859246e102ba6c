"""OpenCV alone: letterbox, `cv2.dnn` on the same ONNX file, vectorised decoding, `NMSBoxesBatched`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from tests.benchmarks.peers.worker import Contender, Setup

GREY = 114


def open(setup: Setup) -> Contender:  # noqa: A001 (as the worker calls it)
    return _OpenCv(setup)


class _OpenCv:
    def __init__(self, setup: Setup) -> None:
        cv2.setNumThreads(setup.threads)
        self._setup = setup
        self._net: Any = cv2.dnn.readNetFromONNX(setup.model)

    def detect(self, image: Any) -> int:
        size = self._setup.size
        scale = min(size / image.shape[0], size / image.shape[1])
        height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
        canvas = np.full((size, size, 3), GREY, np.uint8)
        top, left = (size - height) // 2, (size - width) // 2
        canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height))
        self._net.setInput(cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True))
        answer = self._net.forward()
        return self._boxes(answer if self._setup.head is None else self._setup.head)

    def _boxes(self, answer: Any) -> int:
        table = answer[0]
        scores = table[4:].max(axis=0)
        some = np.flatnonzero(scores > self._setup.score)
        boxes = table[:4, some].T.copy()
        boxes[:, :2] -= boxes[:, 2:] / 2
        classes = table[4:, some].argmax(axis=0)
        kept = cv2.dnn.NMSBoxesBatched(
            boxes.tolist(), scores[some].tolist(), classes.tolist(), self._setup.score, self._setup.iou
        )
        return len(kept)

    def picture(self, path: str) -> int:
        return self.detect(cv2.imread(path))

    def video(self, path: str) -> Iterator[int]:
        capture = cv2.VideoCapture(path)
        while True:
            read, image = capture.read()
            if not read:
                return
            yield self.detect(image)
