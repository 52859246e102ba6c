"""What pruning costs: operations, parameters and AP 50 before, after the cut, and after fine-tuning.

    python tests/benchmarks/workshop_prune.py CHECKPOINT [--operations SHARE] [--epochs N] [--per-epoch N] [--json FILE]

CHECKPOINT: a trained person detector of `edgemass-tools train` (docs/workshop.md has the recipe). A net that is not
trained out would gain by the further training alone. Learns from the training set, measured on pictures that nothing is
learnt from. Goes on after an interruption.
"""

from __future__ import annotations

from pathlib import Path

from edgemass_tools import checkpoint
from edgemass_tools.pruning import operations
from tests.benchmarks._harness import RESULTS, Row, arguments, finish
from tests.benchmarks._workshop import TRAIN, ap50, need_assets, tool

WEIGHTS = ("coco_train2017=6", "coco_other=6", "bsds500=2", "pedbehav=2")
"""Pictures whose labels people made, and those like a camera's, are drawn more often."""


def row(name: str, path: Path) -> Row:
    body = checkpoint.load(path)
    net = checkpoint.module(body)
    return {
        "net": name,
        "M operations": operations.count(net, (body.width, body.height)) / 1e6,
        "M parameters": operations.parameters(net) / 1e6,
        **{f"AP50 {key}": value for key, value in ap50(path).items()},
    }


def main() -> None:
    parser = arguments(__doc__, "workshop_prune")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--operations", type=float, default=0.6, help="share that stays (default: 0.6)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--per-epoch", type=int, default=1600)
    parser.add_argument("--lr", type=float, default=1e-3)
    options = parser.parse_args()
    need_assets()
    place = RESULTS / f"workshop-prune-{options.operations:g}-{options.epochs}x{options.per_epoch}-{options.lr:g}"
    tool(
        *("prune", str(options.checkpoint), "--operations", f"{options.operations:g}", "--soft"),
        *("--annotations", str(TRAIN / "train.json"), "--images", str(TRAIN / "images")),
        *("--val-annotations", str(TRAIN / "heldout.json"), "--val-images", str(TRAIN / "images")),
        *(part for weight in WEIGHTS for part in ("--weight", weight)),
        *("--epochs", str(options.epochs), "--per-epoch", str(options.per_epoch), "--measure-every", "4"),
        *("--first-size", "288x224", "--first-epochs", str(options.epochs * 3 // 4)),
        *("--lr", f"{options.lr:g}", "--workers", "0", "--threads", "1", "-o", str(place)),
    )
    rows = [
        row("before", options.checkpoint),
        row("after the cut", place / "cut.pt"),
        row("fine-tuned", place / "model.pt"),
    ]
    before, _, tuned = rows
    figures = {
        "operations_left": float(tuned["M operations"] or 0) / float(before["M operations"] or 1),
        "lost_heldout": float(before["AP50 heldout"] or 0) - float(tuned["AP50 heldout"] or 0),
        "lost_coco": float(before["AP50 coco"] or 0) - float(tuned["AP50 coco"] or 0),
    }
    finish("workshop_prune", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
