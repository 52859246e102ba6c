"""What teachers add where few pictures are annotated: a student of the annotations beside one of both.

    python tests/benchmarks/workshop_distill.py [--pictures N] [--epochs N] [--per-epoch N] [--seeds N] [--json FILE]

People have few annotated pictures and many others. Annotated: those that come from COCO, as hard targets; most of their
boxes were drawn by people (`score` is 1), the others came with the set. Not annotated: others of the set, without their
boxes; the teachers are YOLOX-nano and PicoDet-s. Both students are the same small net with the same seed, steps,
pictures of 192x160 and settings; only the data and the targets differ. Goes on after an interruption.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from statistics import mean
from typing import Any

from tests.benchmarks._harness import RESULTS, Row, arguments, finish
from tests.benchmarks._workshop import ASSETS, TRAIN, ap50, need_assets, tool

HUMAN = ("coco_train2017", "coco_other")
TEACHERS = ("yolox_nano_416.onnx", "picodet_s_320_coco.onnx")
NET = (
    *("--option", "widths=[16,32,48,64,96]", "--option", "depths=[1,1,1]"),
    *("--option", "neck=32", "--option", "head_depth=1"),
)


def split(folder: Path, count: int) -> tuple[Path, Path]:
    """The annotations that people made, and a folder of `count` other pictures."""
    whole: dict[str, Any] = json.loads((TRAIN / "train.json").read_text(encoding="utf-8"))
    images = [image for image in whole["images"] if image["source"] in HUMAN]
    numbers = {image["id"] for image in images}
    boxes = [box for box in whole["annotations"] if box["image_id"] in numbers]
    folder.mkdir(parents=True, exist_ok=True)
    annotated = folder / "annotated.json"
    annotated.write_text(json.dumps({**whole, "images": images, "annotations": boxes}), encoding="utf-8")
    others = [image["file_name"] for image in whole["images"] if image["source"] not in HUMAN]
    pictures = folder / f"others-{count}"
    pictures.mkdir(exist_ok=True)
    for name in random.Random(0).sample(others, count):
        link = pictures / Path(name).name
        if not link.exists():
            link.symlink_to((TRAIN / "images" / link.name).resolve())
    return annotated, pictures


def main() -> None:
    parser = arguments(__doc__, "workshop_distill")
    parser.add_argument("--pictures", type=int, default=1200, help="without annotations (default: 1200)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--per-epoch", type=int, default=1280)
    parser.add_argument("--seeds", type=int, default=1, help="pairs of students (default: 1)")
    options = parser.parse_args()
    need_assets()
    place = RESULTS / "workshop-distill"
    annotated, pictures = split(place, options.pictures)
    data = ("--annotations", str(annotated), "--images", str(TRAIN / "images"), "--labels", "person")
    teachers = [part for name in TEACHERS for part in ("--teacher", str(ASSETS / "detectors" / name))]
    rows: list[Row] = []
    for seed in range(options.seeds):
        common = (
            *("--epochs", str(options.epochs), "--per-epoch", str(options.per_epoch), "--seed", str(seed)),
            *("--size", "192x160", "--batch", "16", "--workers", "0", "--threads", "1", *NET),
        )
        name = f"{options.pictures}-{options.epochs}x{options.per_epoch}-{seed}"
        alone, distilled = place / f"alone-{name}", place / f"distilled-{name}"
        tool("train", *data, *common, "-o", str(alone))
        tool("distill", *teachers, "--no-mirror", *data, "--unlabelled", str(pictures), *common, "-o", str(distilled))
        for what, folder in (("annotations alone", alone), ("with teachers", distilled)):
            found = ap50(folder / "model.pt")
            steps = options.epochs * (options.per_epoch // 16)
            rows.append(
                {"trained on": what, "seed": seed, "steps": steps, **{f"AP50 {k}": v for k, v in found.items()}}
            )
    figures = {
        f"gain_{name}": mean(float(row[f"AP50 {name}"] or 0) for row in rows[1::2])
        - mean(float(row[f"AP50 {name}"] or 0) for row in rows[::2])
        for name in ("heldout", "coco")
    }
    finish("workshop_distill", options.json, rows=rows, figures=figures)


if __name__ == "__main__":
    main()
