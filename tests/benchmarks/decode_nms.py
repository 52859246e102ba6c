"""Decoding and NMS of edgemass beside Ultralytics' own `non_max_suppression`, on the same tensors, one thread each.

    python tests/benchmarks/decode_nms.py [--size 640] [--rounds N] [--runs N] [--cores 0]

Each side is a process in its own environment (`peers_env.py` makes Ultralytics'); they take turns. The tensors are the
made-up heads of synthetic_load.py: about 300 candidates above 0.25, and one where every cell passes 0.001; each with
the best label of a box and, as accuracy is measured, with all of them. Both keep at most --most boxes and find the same
ones (their number and the sum of their corners are held against each other).
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._harness import RESULTS, Row, arguments, finish, pin, ratios, skip, take_turns
from tests.benchmarks.peers_env import ULTRALYTICS
from tests.benchmarks.synthetic_load import scene

WORKER = Path(__file__).with_name("peers") / "nms_worker.py"
IOU = 0.6
PATIENCE_S = 300.0


class Side:
    """One process that does it on demand."""

    def __init__(self, name: str, python: str) -> None:
        self.found: dict[str, Any] = {}
        self._name = name
        self._process = subprocess.Popen(
            [python, str(WORKER), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        )

    def turn(self, order: dict[str, Any]) -> float:
        """Median milliseconds of one turn."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_S)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise SystemExit(f"{self._name} gave no answer within {PATIENCE_S:.0f} s")
        self.found = json.loads(line)
        return float(statistics.median(self.found["ms"]))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def tensors(size: int) -> dict[str, tuple[Path, float]]:
    """File and threshold of each case."""
    cases = {}
    for name, score, background in (("300 candidates", 0.25, 1e-4), ("score 0.001", 0.001, 0.005)):
        path = RESULTS / f"head_{size}_{score}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, scene(size, size, background=background).stock()[None])
        cases[name] = (path, score)
    return cases


def compare(name: str, order: dict[str, Any], sides: dict[str, Side], rounds: int) -> Row:
    ms = take_turns({side: (lambda side=side: sides[side].turn(order)) for side in sides}, rounds)  # type: ignore[misc]
    ours, theirs = sides["edgemass"].found, sides["ultralytics"].found
    same = ours["found"] == theirs["found"] and abs(ours["sum"] - theirs["sum"]) < 1e-3 * abs(theirs["sum"])
    ratio = ratios(ms["edgemass"], ms["ultralytics"])
    return {
        "case": name,
        "labels": "all" if order["multi_label"] else "best",
        "edgemass_ms": round(statistics.median(ms["edgemass"]), 3),
        "edgemass_min": round(min(ms["edgemass"]), 3),
        "ultralytics_ms": round(statistics.median(ms["ultralytics"]), 3),
        "ultralytics_min": round(min(ms["ultralytics"]), 3),
        "ratio": round(statistics.median(ratio), 3),
        "ratio_max": round(max(ratio), 3),
        "boxes": ours["found"],
        "same": "yes" if same else f"no: {theirs['found']} boxes",
    }


def main() -> int:
    parser = arguments(__doc__, "decode_nms", rounds=9)
    parser.add_argument("--size", type=int, default=640, help="of the picture (default: 640)")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="of a turn at 300 candidates (default: 50)")
    parser.add_argument("--most", type=int, default=100, metavar="N", help="boxes that both keep (default: 100)")
    parser.add_argument("--cores", default="0", help="pin to these (default: 0)")
    options = parser.parse_args()
    if not ULTRALYTICS.complete():
        skip("no environment of Ultralytics; `python tests/benchmarks/peers_env.py ultralytics` makes it")
    pin(options.cores)
    rows = []
    sides = {"edgemass": Side("edgemass", sys.executable), "ultralytics": Side("ultralytics", str(ULTRALYTICS.python))}
    try:
        for name, (path, score) in tensors(options.size).items():
            for multi_label in (False, True):
                runs = options.runs if score > 0.01 else max(3, options.runs // 10)
                order = {"tensor": str(path), "score": score, "iou": IOU, "most": options.most, "runs": runs}
                rows.append(compare(name, {**order, "multi_label": multi_label}, sides, options.rounds))
                print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    finally:
        for side in sides.values():
            side.close()
    figures = {f"{row['case']}, {row['labels']} labels": float(row["ratio"] or 0) for row in rows}
    finish("decode_nms", options.json, rows=rows, figures=figures, extra_versions=ULTRALYTICS.versions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
