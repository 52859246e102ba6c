"""One contender in a process of its own, in its own environment; `peers.py` starts it and lets it take turns.

    python tests/benchmarks/peers/worker.py NAME --model FILE ... [--once PICTURE]

NAME is a module beside this file with `open(setup) -> Contender`. Nothing of edgemass or of the other contenders is
imported here, so that each pays for itself alone.

Standard output is for JSON lines: after loading {"ready": ...}; then for each line of standard input, {"kind": "array"
or "video", "seconds": s}, one {"fps", "found", "cpu_ms"}. With --once: load, detect in one picture, tell, end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Generator, Iterator
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


def _arrays(contender: Contender, frames: Any) -> Generator[int, None, None]:
    while True:
        for image in frames:
            yield contender.detect(image)


def _videos(contender: Contender, path: str) -> Generator[int, None, None]:
    while True:
        yield from contender.video(path)


def _turn(results: Iterator[int], seconds: float) -> dict[str, float]:
    """Rate and mean of what was found; opening and the first frames are not counted."""
    for _ in range(WARM_UP):
        next(results)
    done = found = 0
    started_cpu = time.process_time()
    started = now = time.perf_counter()
    while now < started + seconds:
        found += next(results)
        done += 1
        now = time.perf_counter()
    cpu_ms = 1e3 * (time.process_time() - started_cpu) / done
    return {"fps": done / (now - started), "found": found / done, "cpu_ms": cpu_ms}


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
    _turn(_arrays(contender, frames), 0.1)
    answers.write(json.dumps({"ready": options.name}) + "\n")
    for line in sys.stdin:
        order = json.loads(line)
        results = _arrays(contender, frames) if order["kind"] == "array" else _videos(contender, order["video"])
        answers.write(json.dumps(_turn(results, order["seconds"])) + "\n")
        results.close()  # the file, and the threads that read it


if __name__ == "__main__":
    main()
