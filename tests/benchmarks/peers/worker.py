"""One contender in a process of its own, in its own environment; `peers.py` starts it and lets it take turns.

    python tests/benchmarks/peers/worker.py NAME --model FILE ... [--once PICTURE]

NAME is a module beside this file with `open(setup) -> Contender`. Nothing of edgemass or of the other contenders is
imported here, so that each pays for itself alone.

Standard output is for JSON lines: after loading {"ready": ...}; then for each line of standard input, {"kind": "array"
or "video", "seconds": s}, one {"fps": ..., "found": ...}. With --once: load, detect in one picture, tell, end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

WARM_UP = 5


@dataclass(frozen=True)
class Setup:
    """What to load, and how.

    head: the answers to put in place of the network's (1, 4 + classes, cells), or None.
    bundle: a bundle of the same model, for whoever takes one.
    """

    model: str
    bundle: str
    size: int
    score: float
    iou: float
    threads: int
    head: Any


class Contender(Protocol):
    def detect(self, image: Any) -> int:
        """Boxes found in a BGR picture (height, width, 3), all of them ready to be read."""

    def picture(self, path: str) -> int:
        """The same for a picture file."""

    def video(self, path: str) -> Iterator[int]:
        """Boxes found in each frame of a video file, once through."""


def instrument_onnxruntime(setup: Setup) -> None:
    """Give every session of this process the same threads, and the prepared answers where there are some.

    The real run happens all the same. For contenders that do not let their user say how many threads there are.
    """
    import onnxruntime

    original = onnxruntime.InferenceSession

    class Session:
        def __init__(self, path_or_bytes: Any, sess_options: Any = None, **others: Any) -> None:
            options = sess_options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = setup.threads
            options.inter_op_num_threads = 1
            self._session = original(path_or_bytes, options, **others)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def run(self, *arguments: Any, **others: Any) -> Any:
            answer = self._session.run(*arguments, **others)
            return answer if setup.head is None else [setup.head]

    onnxruntime.InferenceSession = Session


def _round(contender: Contender, order: dict[str, Any], frames: Any) -> dict[str, float]:
    done = found = 0
    started = time.perf_counter()
    ends = started + order["seconds"]
    if order["kind"] == "array":
        while time.perf_counter() < ends:
            found += contender.detect(frames[done % len(frames)])
            done += 1
    else:
        while time.perf_counter() < ends:
            stream = contender.video(order["video"])
            found += next(stream)  # opening the file is not counted
            started_here = time.perf_counter()
            if not done:
                started = started_here
                ends = started + order["seconds"]
            for boxes in stream:
                found += boxes
                done += 1
    return {"fps": done / (time.perf_counter() - started), "found": found / max(done, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--model", required=True)
    parser.add_argument("--bundle", default="")
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--score", type=float, default=0.25)
    parser.add_argument("--iou", type=float, default=0.45)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--head", type=Path, help=".npy of answers")
    parser.add_argument("--frames", type=Path, help=".npy (n, height, width, 3) of pictures in memory")
    parser.add_argument("--once", metavar="PICTURE")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is for the standard error
    head = None if options.head is None else np.load(options.head)
    setup = Setup(options.model, options.bundle, options.size, options.score, options.iou, options.threads, head)
    contender: Contender = importlib.import_module(options.name).open(setup)
    if options.once:
        answers.write(json.dumps({"found": contender.picture(options.once)}) + "\n")
        return
    frames = np.load(options.frames)
    for index in range(WARM_UP):
        contender.detect(frames[index % len(frames)])
    answers.write(json.dumps({"ready": options.name}) + "\n")
    for line in sys.stdin:
        answers.write(json.dumps(_round(contender, json.loads(line), frames)) + "\n")


if __name__ == "__main__":
    main()
