"""What the motion gate costs beside an inference, which it can spare.

    python tests/benchmarks/motion_gate.py MODEL [--rounds N] [--json FILE]

Decoded pictures (YUV 4:2:0, more of them than fit into the caches) go through the gate, from the decoder's buffer to
the decision; the model runs alone, one thread, on one prepared tensor. All take turns. Milliseconds.

cold: right after an inference, which has emptied the caches. warm: once more, on the next picture.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np

from edgemass import bundles
from edgemass.config.motion import MotionConfig
from edgemass.detector import made_up_inputs
from edgemass.frame import Frame
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.imaging.orient import Orientation
from edgemass.scene.motion import MotionGate, brightness
from edgemass.sources import _av
from edgemass.sources.synthetic import draw

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
PICTURES = 48  # 66 MB at 720p
STEP_NS = 100_000_000
WARM_UP = 5


def frames(width: int, height: int) -> list[Frame]:
    """Frames as a video file gives them: discs that go round, and noise."""
    random = np.random.default_rng(0)
    made = []
    for number in range(PICTURES):
        image = draw(width, height, number / PICTURES)
        noisy = image + random.integers(0, 4, image.shape, np.uint8)
        picture = av.VideoFrame.from_ndarray(noisy, format="bgr24").reformat(format="yuv420p")
        look = partial(_av.luma, picture, Orientation())
        at_ns = number * STEP_NS
        load = partial(_av.to_bgr, picture, Orientation())
        made.append(Frame(load, width=width, height=height, mono_ns=at_ns, time_ns=at_ns, arrived_ns=at_ns, look=look))
    return made


def timed_ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def measure(model: str, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every call by what was called."""
    bundle = bundles.resolve(model)
    detector, _ = bundles.open_detector(bundle, threads=1)
    inputs = made_up_inputs(detector.manifest)
    pictures = {name: frames(*size) for name, size in SIZES.items()}
    gates = {name: MotionGate(MotionConfig()) for name in SIZES}
    times: dict[str, list[float]] = {"inference": []}

    def gate(name: str, number: int) -> None:
        frame = pictures[name][number % PICTURES]
        gates[name].passes(brightness(frame), number * STEP_NS)

    for number in range(rounds):
        for name in SIZES:
            times["inference"].append(timed_ms(lambda: detector.backend.run(inputs)))
            for state, shown in (("cold", 2 * number), ("warm", 2 * number + 1)):
                times.setdefault(f"{name} {state}", []).append(timed_ms(partial(gate, name, shown)))
    detector.backend.close()
    return {name: found[WARM_UP:] for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    leave_cores_to_the_runtime()
    times = measure(options.model, max(options.rounds, 2 * WARM_UP))
    inference_ms = statistics.median(times["inference"])
    rows = {
        name: {
            "median_ms": statistics.median(found),
            "min_ms": min(found),
            "of_inference": statistics.median(found) / inference_ms,
        }
        for name, found in times.items()
    }
    print(f"{Path(options.model).name}, {platform.machine()}, OpenCV {cv2.__version__}, NumPy {np.__version__}")
    for name, row in rows.items():
        print(
            f"  {name:12} median {row['median_ms']:8.3f} ms   min {row['min_ms']:8.3f} ms   "
            f"{100 * row['of_inference']:7.2f} % of the inference"
        )
    if options.json is not None:
        machine = {"machine": platform.machine(), "python": platform.python_version(), "opencv": cv2.__version__}
        told = {"model": Path(options.model).name, **machine, "numpy": np.__version__, "rows": rows}
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
