"""What the steps around the runtime cost: a 720p frame into the model's tensor, and NMS with very many candidates.

    python tests/benchmarks/preprocess.py [--rounds N] [--cores 0]

One thread of OpenCV. ours: edgemass's own preprocessor, for the stock input (float32 planes, RGB, 0 to 1) and for the
one of an optimized graph (uint8 pixels, BGR). The others are the usual ways to the stock input.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from edgemass.detections import Detections
from edgemass.frame import Image
from edgemass.imaging import leave_cores_to_the_runtime, nms
from edgemass.imaging.preprocess import Preprocessor
from edgemass.manifest import InputSpec
from tests.benchmarks._clip import load_arrays
from tests.benchmarks._harness import Row, arguments, finish, pin, take_turns, times_ms

SIZES = (320, 640)
CANDIDATES = 30_000
GREY = 114


def _letterbox(image: Image, size: int) -> Image:
    scale = min(size / image.shape[0], size / image.shape[1])
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    canvas = np.full((size, size, 3), GREY, np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    return canvas


def ways(size: int) -> dict[str, Callable[[Image], object]]:
    stock = InputSpec(name="in", layout="NCHW", dtype="float32", width=size, height=size, std=(255.0,))
    pixels = InputSpec(name="in", layout="NHWC", dtype="uint8", width=size, height=size, color="BGR")
    return {
        "ours, stock input": Preprocessor(stock),
        "ours, optimized input": Preprocessor(pixels),
        "blobFromImage": lambda image: cv2.dnn.blobFromImage(_letterbox(image, size), 1 / 255, swapRB=True),
        "transpose, / 255 in float32": lambda image: (
            np.ascontiguousarray(_letterbox(image, size)[..., ::-1].transpose(2, 0, 1), np.float32)[None]
            / np.float32(255)
        ),
        "x / 255.0 in float64": lambda image: (
            (_letterbox(image, size)[..., ::-1] / 255.0).transpose(2, 0, 1)[None].astype(np.float32)
        ),
    }


def candidates() -> Detections:
    """As a dense detector gives them at a threshold of 0.01 with several labels a box."""
    random = np.random.default_rng(0)
    corner = random.uniform(0, 560, (CANDIDATES, 2))
    boxes = np.concatenate([corner, corner + random.uniform(10, 80, (CANDIDATES, 2))], axis=1).astype(np.float32)
    return Detections(boxes, random.beta(0.3, 6, CANDIDATES).astype(np.float32), random.integers(0, 80, CANDIDATES))


def suppress_all(found: Detections) -> Detections:
    """Without the short look at the best ones first."""
    first_look, nms.FIRST_LOOK = nms.FIRST_LOOK, CANDIDATES
    try:
        return nms.suppress(found, iou=0.6, max_detections=100)
    finally:
        nms.FIRST_LOOK = first_look


def compare(title: str, contenders: dict[str, Callable[[], object]], rounds: int, runs: int) -> list[Row]:
    least: dict[str, list[float]] = {name: [] for name in contenders}

    def turn(name: str) -> float:
        found = times_ms(contenders[name], runs)
        least[name].append(min(found))
        return statistics.median(found)

    medians = take_turns({name: (lambda name=name: turn(name)) for name in contenders}, rounds)  # type: ignore[misc]
    first = statistics.median(next(iter(medians.values())))
    return [
        {
            "step": title,
            "way": name,
            "median_ms": round(statistics.median(ms), 3),
            "min_ms": round(min(least[name]), 3),
            "over_first": round(statistics.median(ms) / first, 2),
        }
        for name, ms in medians.items()
    ]


def main() -> int:
    parser = arguments(__doc__, "preprocess", rounds=7)
    parser.add_argument("--runs", type=int, default=30, metavar="N", help="of a turn (default: 30)")
    parser.add_argument("--cores", default="0", help="pin to these (default: 0)")
    options = parser.parse_args()
    pin(options.cores)
    leave_cores_to_the_runtime()
    frames = load_arrays()
    rows: list[Row] = []
    for size in SIZES:
        for work in (steps := ways(size)).values():
            work(frames[0])
        turns: dict[str, Callable[[], object]] = {name: partial(work, frames[0]) for name, work in steps.items()}
        rows += compare(f"720p to {size}", turns, options.rounds, options.runs)
    found = candidates()
    looks: dict[str, Callable[[], object]] = {
        "ours, best first": lambda: nms.suppress(found, iou=0.6, max_detections=100),
        "all of them": lambda: suppress_all(found),
    }
    rows += compare(f"NMS of {CANDIDATES}", looks, min(3, options.rounds), 1)
    figures = {f"{row['step']}, {row['way']}, ms": float(row["median_ms"] or 0) for row in rows}
    finish("preprocess", options.json, rows=rows, figures=figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
