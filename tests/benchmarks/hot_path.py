"""What the steps around the runtime cost: pixels into a tensor, and NMS with very many candidates.

    python tests/benchmarks/hot_path.py

Minimum over many runs, in milliseconds, one thread of OpenCV.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from edgemass.detections import Detections
from edgemass.imaging import leave_cores_to_the_runtime, nms
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec

SIZE = 640
CANDIDATES = 30_000


def best_ms(work: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times) * 1e3


def preprocessing() -> dict[str, float]:
    """One picture of the model's own size: no resize, conversion alone."""
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    spec = InputSpec(name="in", layout="NCHW", dtype="float32", width=SIZE, height=SIZE, std=(255.0,))
    prepare = Preprocessor(spec)
    prepare(picture)
    blob = np.empty((1, 3, SIZE, SIZE), np.float32)
    wanted = cv2.dnn.Image2BlobParams()
    wanted.scalefactor = (1 / 255, 1 / 255, 1 / 255, 1 / 255)
    wanted.swapRB = True
    return {
        "resize and planes (ours)": best_ms(lambda: prepare(picture), 100),
        "blobFromImageWithParams": best_ms(lambda: cv2.dnn.blobFromImageWithParams(picture, blob, wanted), 100),
        "blobFromImage": best_ms(lambda: cv2.dnn.blobFromImage(picture, 1 / 255, swapRB=True), 30),
    }


def suppression() -> dict[str, float]:
    """Candidates as a dense detector gives them at a threshold of 0.01 with several labels a box."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, SIZE - 80, (CANDIDATES, 2))
    boxes = np.concatenate([corner, corner + random.uniform(10, 80, (CANDIDATES, 2))], axis=1).astype(np.float32)
    found = Detections(boxes, random.beta(0.3, 6, CANDIDATES).astype(np.float32), random.integers(0, 80, CANDIDATES))
    answers = {"best first (ours)": best_ms(lambda: nms.suppress(found, iou=0.6, max_detections=100), 5)}
    nms.FIRST_LOOK = CANDIDATES
    answers["all of them"] = best_ms(lambda: nms.suppress(found, iou=0.6, max_detections=100), 2)
    return answers


def main() -> None:
    leave_cores_to_the_runtime()
    for title, figures in ((f"pixels to tensor, {SIZE}x{SIZE}", preprocessing()), ("NMS", suppression())):
        print(title)
        for name, milliseconds in figures.items():
            print(f"  {name:26} {milliseconds:9.3f} ms")


if __name__ == "__main__":
    main()
