"""What the rewriting of ONNX detectors costs in accuracy and gains in time.

    python tests/benchmarks/lossless.py [--assets FOLDER] [NAME ...]

Each detector is rewritten whether it gains or not, and both files are evaluated on the same pictures, alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from edgemass import bundles, evaluate
from edgemass.bundles import Bundle
from edgemass.bundles.optimize import Outcome, rewrite

DEFAULT_ASSETS = Path(__file__).parents[3] / "shared" / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, default=Path(os.environ.get("EDGEMASS_ASSETS", DEFAULT_ASSETS)))
    parser.add_argument("names", nargs="*", metavar="NAME", help="ONNX files below detectors/ (default: all)")
    options = parser.parse_args()
    names = options.names or sorted(path.name for path in (options.assets / "detectors").glob("*.onnx"))
    print("| model | mAP 50-95 stock | rewritten | mAP 50 stock | rewritten | time of a frame | what was done |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        print(row(options.assets, name), flush=True)


def row(assets: Path, name: str) -> str:
    stock = bundles.resolve(str(assets / "detectors" / name))
    with tempfile.TemporaryDirectory() as folder:
        outcome = rewrite(stock, Path(folder), anyway=True)
        if outcome.variant is None:
            return f"| {name} | | | | | | {'; '.join(outcome.kept_out)} |"
        both = Bundle(stock.manifest, stock.folder, (outcome.variant,), Path(folder))
        return _compared(assets, name, both, outcome)


def _compared(assets: Path, name: str, both: Bundle, outcome: Outcome) -> str:
    found = []
    for variant in both.variants:
        detector, _ = bundles.open_detector(both, variant=variant.name, threads=os.cpu_count())
        truth = assets / "coco-val"
        found.append(
            evaluate.detection(
                detector.stream(), both.manifest.labels, truth / "images", truth / "instances.json", _silent
            )
        )
    before, after = found
    return (
        f"| {name} | {before.map_50_95:.4f} | {after.map_50_95:.4f} | {before.map_50:.4f} | {after.map_50:.4f} | "
        f"{outcome.ratio:.2f} | {'; '.join(outcome.done[:-1])} |"
    )


def _silent(_done: int, _total: int) -> None:
    pass


if __name__ == "__main__":
    main()
