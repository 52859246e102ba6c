"""Start-up and memory of `edgemass run`: fresh processes from their start to the first document, and what they import.

    python tests/benchmarks/startup_memory.py [MODEL] [--bundle DIR] [--rounds N] [--cores 0]

bundle            a folder that `edgemass model import` made (or --bundle)
bare, first time  the file itself, nothing kept of it: it is tried out in child processes and optimized
bare, again       the file itself, with what the first time left in the cache
floor             Python with NumPy, OpenCV and ONNX Runtime: load the stock file, run it once, print; no edgemass

The camera is one 720p JPEG file. Files lie in the disk cache. cpu_s is that of the whole run; rss_mb its peak.
Imports are told by `python -X importtime`: the least of several runs, modules of one package together.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.benchmarks._fresh_process import Start, environment, start_to_first_line
from tests.benchmarks._harness import MODELS, REPOSITORY, Row, arguments, finish, need_models, pin

DEFAULT_MODEL = MODELS / "yolov8n_320.onnx"
IMPORT_RUNS = 5
TOP = 12
_PICTURE = "from tests.benchmarks import _clip; print(_clip.picture())"
_FLOOR = """
import sys
import cv2
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
taken = session.get_inputs()[0]
cv2.imread(sys.argv[2])
print(len(session.run(None, {taken.name: np.zeros(taken.shape, np.float32)})), flush=True)
"""


def run_command(model: str, picture: str) -> list[str]:
    command = [sys.executable, "-m", "edgemass", "run", "--camera", picture, "--model", model]
    return [*command, "--sink", "jsonl:-", "--threads", "1"]


def import_bundle(model: Path, folder: Path, cache: str) -> str:
    target = folder / "bundle"
    command = [sys.executable, "-m", "edgemass", "model", "import", str(model), "-o", str(target)]
    subprocess.run(command, check=True, capture_output=True, env=environment({"EDGEMASS_CACHE": cache}))
    return str(target)


def starts(model: Path, bundle: str, picture: str, folder: Path, rounds: int) -> dict[str, list[Start]]:
    """Fresh processes in turns; a first round fills the disk cache and edgemass's own, and is left out."""
    cache = {"EDGEMASS_CACHE": str(folder / "cache")}
    found: dict[str, list[Start]] = {name: [] for name in ("bundle", "bare, first time", "bare, again", "floor")}
    floor = [sys.executable, "-c", _FLOOR, str(model), picture]
    for turn in range(rounds + 1):
        empty = {"EDGEMASS_CACHE": str(folder / f"empty{turn}")}
        taken = {
            "bundle": start_to_first_line(run_command(bundle, picture), cache),
            "bare, first time": start_to_first_line(run_command(str(model), picture), empty),
            "bare, again": start_to_first_line(run_command(str(model), picture), cache),
            "floor": start_to_first_line(floor),
        }
        if turn:
            for name, start in taken.items():
                found[name].append(start)
    return found


def imports(command: list[str], cache: dict[str, str]) -> list[Row]:
    """Milliseconds that packages take to import, the longest first."""
    least: dict[str, int] = {}
    for _ in range(IMPORT_RUNS):
        timed = [command[0], "-X", "importtime", *command[1:]]
        done = subprocess.run(timed, capture_output=True, text=True, check=True, env=environment(cache))
        for line in done.stderr.splitlines():
            own, _, rest = line.removeprefix("import time:").partition("|")
            if line.startswith("import time:") and own.strip().isdigit():
                module = rest.rpartition("|")[2].strip()
                least[module] = min(int(own), least.get(module, int(own)))
    packages: Counter[str] = Counter()
    for module, microseconds in least.items():
        packages[module.partition(".")[0]] += microseconds
    rows: list[Row] = [
        {"package": name, "import_ms": round(microseconds / 1e3, 1)} for name, microseconds in packages.most_common(TOP)
    ]
    rows.append({"package": f"all {len(least)} modules", "import_ms": round(packages.total() / 1e3, 1)})
    return rows


def main() -> int:
    parser = arguments(__doc__, "startup_memory", rounds=7)
    parser.add_argument("model", nargs="?", type=Path, default=DEFAULT_MODEL)
    parser.add_argument("--bundle", default="", metavar="DIR", help="of the same model (default: made from it)")
    parser.add_argument("--cores", default="0", help="pin to these (default: 0)")
    options = parser.parse_args()
    need_models([options.model])
    asked = subprocess.run([sys.executable, "-c", _PICTURE], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    picture = asked.stdout.strip()
    pin(options.cores)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = options.bundle or import_bundle(options.model, folder, str(folder / "cache"))
        found = starts(options.model, bundle, picture, folder, options.rounds)
        imported = imports(run_command(bundle, picture), {"EDGEMASS_CACHE": str(folder / "cache")})
    rows: list[Row] = []
    figures: dict[str, float] = {}
    for case, taken in found.items():
        first = [start.first_s for start in taken]
        rows.append(
            {
                "case": case,
                "first_detection_s": round(statistics.median(first), 3),
                "min": round(min(first), 3),
                "cpu_s": round(statistics.median(start.cpu_s for start in taken), 3),
                "rss_mb": round(statistics.median(start.rss_bytes for start in taken) / 1e6, 1),
            }
        )
        figures[f"{case}, first detection, s"] = statistics.median(first)
    finish("startup_memory", options.json, rows=rows, figures=figures, more_rows=imported)
    return 0


if __name__ == "__main__":
    sys.exit(main())
