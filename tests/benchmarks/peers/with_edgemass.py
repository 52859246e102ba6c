"""edgemass: its detector for pictures in memory; for files the whole line of one camera, with documents as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import cv2

from edgemass import bundles, sources
from edgemass.clock import SystemClock
from edgemass.counters import Counters
from edgemass.detector import Thresholds
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.pipeline.capture import Capture
from edgemass.sources import CaptureOptions
from tests.benchmarks._line import counting_line, load

if TYPE_CHECKING:
    from tests.benchmarks.peers.worker import Contender, Setup


def open(setup: Setup) -> Contender:  # noqa: A001 (as the worker calls it)
    return _Edgemass(setup)


class _Edgemass:
    def __init__(self, setup: Setup) -> None:
        leave_cores_to_the_runtime()
        bundle = bundles.resolve(setup.bundle or setup.model)
        self._detector, variant = load(bundle, setup.threads, synthetic=setup.head is not None)
        self._stream = self._detector.stream()
        self._line = counting_line(bundle, self._detector, variant, score=setup.score)
        self._thresholds = Thresholds(setup.score)

    def detect(self, image: Any) -> int:
        return len(self._stream.detect(image, self._thresholds).found)

    def picture(self, path: str) -> int:
        return self.detect(cv2.imread(path))

    def video(self, path: str) -> Iterator[int]:
        clock = SystemClock()
        capture = Capture("bench", sources.open(path, CaptureOptions(), clock), clock=clock, counters=Counters())
        capture.start()
        try:
            while True:
                frame = capture.slot.get(1.0)
                if frame is not None:
                    yield len(self._line.process(frame).detections)  # type: ignore[union-attr]
                elif capture.slot.closed:
                    break
        finally:
            capture.stop()
        if capture.error is not None:
            raise capture.error
