"""What the rewriting of ONNX detectors costs in accuracy and gains in time.

    python tests/benchmarks/lossless.py [--assets FOLDER] [--json FILE] [NAME ...]

Each detector is rewritten whether it gains or not, and both files are evaluated on the same pictures. A model that
knows none of the annotated classes is rewritten and timed only.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from edgemass import bundles, evaluate
from edgemass.bundles import Bundle
from edgemass.bundles.optimize import Outcome, rewrite
from edgemass.errors import UsageError
from tests.benchmarks._harness import Row, arguments, finish, skip


def main() -> int:
    parser = arguments(__doc__, "lossless", rounds=1)
    parser.add_argument("--assets", type=Path, default=os.environ.get("EDGEMASS_ASSETS"), metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help="ONNX files below detectors/ (default: all)")
    options = parser.parse_args()
    if options.assets is None or not Path(options.assets).is_dir():
        skip("no models and pictures; set EDGEMASS_ASSETS to their folder")
    assets = Path(options.assets)
    rows: list[Row] = []
    for name in options.names or sorted(path.name for path in (assets / "detectors").glob("*.onnx")):
        rows.append(row(assets, name))
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    finish("lossless", options.json, rows=rows, figures={})
    return 0


def row(assets: Path, name: str) -> Row:
    stock = bundles.resolve(str(assets / "detectors" / name))
    with tempfile.TemporaryDirectory() as folder:
        outcome = rewrite(stock, Path(folder), anyway=True)
        found: Row = {"model": name, "map_stock": None, "map_rewritten": None, "map_50_stock": None}
        found |= {"map_50_rewritten": None, "time": outcome.ratio and round(outcome.ratio, 2)}
        if outcome.variant is not None:
            both = Bundle(stock.manifest, stock.folder, (outcome.variant,), Path(folder))
            found |= _accuracy(assets, both)
        return found | {"done": _told(outcome)}


def _told(outcome: Outcome) -> str:
    return "; ".join(outcome.done[:-1]) or "; ".join(outcome.kept_out)


def _accuracy(assets: Path, both: Bundle) -> Row:
    found = []
    truth = assets / "coco-val"
    for variant in both.variants:
        detector, _ = bundles.open_detector(both, variant=variant.name, threads=os.cpu_count())
        try:
            found.append(
                evaluate.detection(
                    detector.stream(), both.manifest.labels, truth / "images", truth / "instances.json", _silent
                )
            )
        except UsageError:  # no annotated class has a label's name
            return {}
        finally:
            detector.backend.close()
    before, after = found
    return {
        "map_stock": round(before.map_50_95, 4),
        "map_rewritten": round(after.map_50_95, 4),
        "map_50_stock": round(before.map_50, 4),
        "map_50_rewritten": round(after.map_50, 4),
    }


def _silent(_done: int, _total: int) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
