"""Accuracy of every detector of reference.json beside its reference, as a table for docs/benchmarks.md.

    python tests/benchmarks/accuracy.py [--assets DIR] [--backend onnx:openvino] [NAME ...]

Each model is given as a bare file to `edgemass eval`, or imported with the answers that its graph does not give
(ANSWERS). Ends with 1 when a model stays more than 0.005 behind its reference.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TOLERANCE = 0.005
REPOSITORY = Path(__file__).resolve().parents[2]
ASSETS = Path(os.environ.get("EDGEMASS_ASSETS", REPOSITORY.parent / "shared" / "assets"))
ANSWERS: dict[str, list[str]] = {}


def edgemass(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "edgemass", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"edgemass {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def measure(assets: Path, name: str, backend: str | None) -> dict[str, Any]:
    model = str(assets / "detectors" / name)
    truth = (
        "--images",
        str(assets / "coco-val" / "images"),
        "--annotations",
        str(assets / "coco-val" / "instances.json"),
    )
    with tempfile.TemporaryDirectory() as folder:
        if name in ANSWERS:
            answers = [part for answer in ANSWERS[name] for part in ("--set", answer)]
            edgemass("model", "import", model, "-o", f"{folder}/bundle", *answers)
            model = f"{folder}/bundle"
        chosen = ("--backend", backend) if backend else ()
        result: dict[str, Any] = json.loads(edgemass("eval", model, *truth, *chosen, "--json"))
    return result


def _names(reference: dict[str, Any], backend: str | None) -> list[str]:
    runtime = backend.partition(":")[0] if backend else ""
    return sorted(name for name in reference if name.endswith(f".{runtime}" if runtime else ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--assets", type=Path, default=ASSETS)
    parser.add_argument("--backend", help="as `edgemass eval` takes it; without NAME only models of its runtime")
    options = parser.parse_args()
    reference = json.loads((options.assets / "reference.json").read_text())["detectors"]
    behind = []
    print("| model | mAP 50-95 | reference | mAP 50 | reference | seconds |\n|---|---|---|---|---|---|")
    for name in options.names or _names(reference, options.backend):
        started = time.monotonic()
        found, wanted = measure(options.assets, name, options.backend), reference[name]
        cells = [f"{found[key]:.3f} | {wanted[key]:.3f}" for key in ("map_50_95", "map_50")]
        late = any(found[key] < wanted[key] - TOLERANCE for key in ("map_50_95", "map_50"))
        behind += [name] * late
        print(
            f"| {name}{' **behind**' if late else ''} | {' | '.join(cells)} | {time.monotonic() - started:.0f} |",
            flush=True,
        )
    if behind:
        print(f"\nmore than {TOLERANCE} behind: {', '.join(behind)}")
    return bool(behind)


if __name__ == "__main__":
    sys.exit(main())
