"""Does a search find something better than the default, and does it hold on what it was not chosen with?

    python tests/benchmarks/workshop_tune.py ASSETS OUTPUT [--trials N] [--model FILE]

ASSETS: the folder of real models and pictures (EDGEMASS_ASSETS). Two searches, each within N trials:

thresholds  of a real detector, chosen on one half of 300 annotated pictures and confirmed on the other half
training    of the small CNN on 200 of 5,000 handwritten digits for few epochs; the winner and the default are then
            trained again with seeds that were not searched with, and measured on 1,000 other digits

Prints a table in Markdown. Some minutes of one core.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import tempfile
from pathlib import Path
from typing import Any

import cv2
import msgspec

from edgemass.sources.images import read
from edgemass_tools import checkpoint, cli

CELL = 20
LEARNT_COLUMNS = 4
"""Of 100 in each of 50 rows: 20 pictures of each digit."""
OTHER_SEEDS = (101, 102, 103)
NET = ("--net", "cnn", "--option", "color=GRAY", "--option", "widths=[16,32,64]", "--size", "20x20")
SCHEDULE = ("--epochs", "10", "--measure-every", "2", "--batch", "20", "--per-epoch", "200", "--augment", "flip=0")
QUICK = ("--threads", "1", "--workers", "0")


def run(*arguments: object) -> None:
    words = [str(item) for item in arguments]
    print(f"$ edgemass-tools {shlex.join(words)}", flush=True)
    code = cli.main(words)
    if code:
        raise SystemExit(code)


def best(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.toml.decode((folder / "best.toml").read_bytes())
    return found


def digits(sheet: Path, folder: Path) -> tuple[Path, Path, Path]:
    """To learn from, to choose with, and to confirm with: columns that do not overlap."""
    image = read(sheet)
    parts = folder / "learnt", folder / "chosen", folder / "confirmed"
    for row in range(image.shape[0] // CELL):
        for column in range(image.shape[1] // CELL):
            if column % 5 == 4:
                part = parts[2]
            elif column < LEARNT_COLUMNS:
                part = parts[0]
            elif 50 <= column < 62:
                part = parts[1]
            else:
                continue
            place = part / str(row // 5)
            place.mkdir(parents=True, exist_ok=True)
            cell = image[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]
            cv2.imwrite(str(place / f"{row:02d}-{column:03d}.png"), cell)
    return parts


def thresholds(assets: Path, output: Path, model: Path, trials: int) -> str:
    place = output / "thresholds"
    truth = ("--images", assets / "train" / "images", "--annotations", assets / "train" / "heldout.json")
    run("tune", "thresholds", model, *truth, "--trials", trials, "-o", place)
    found = best(place)
    return (
        f"| thresholds of {model.stem}, F1 | {found['value_of_default']:.4f} | {found['value']:.4f} (trial "
        f"{found['trial']} of {trials}) | {found['confirmed_default']:.4f} | {found['confirmed']:.4f} |"
    )


def trainings(assets: Path, output: Path, trials: int) -> str:
    place = output / "training"
    with tempfile.TemporaryDirectory() as folder:
        learnt, chosen, confirmed = digits(assets / "pictures" / "digits.png", Path(folder))
        given = (*NET, *SCHEDULE, *QUICK, "--folders", learnt)
        run("tune", "training", *given, "--val-folders", chosen, "--trials", trials, "-o", place)
        found = best(place)
        settings = found["settings"]
        scale = f"scale=[{settings['scale_low']},{settings['scale_high']}]"
        augment = [scale, *(f"{name}={settings[name]}" for name in ("stretch", "turn", "recolor", "blur"))]
        winner = ["--lr", settings["lr"], "--decay", settings["decay"], "--loss", f"smoothing={settings['smoothing']}"]
        winner += [word for item in augment for word in ("--augment", item)]
        figures: dict[str, list[float]] = {"default": [], "winner": []}
        for seed in OTHER_SEEDS:
            for name, more in (("default", []), ("winner", winner)):
                target = output / f"{name}-{seed}"
                run("train", *given, "--val-folders", confirmed, *more, "--seed", seed, "-o", target)
                figures[name].append(checkpoint.load(target / "model.pt").record[-1].results["top1"])
    told = {name: f"{statistics.mean(top1):.4f} ({min(top1):.4f} to {max(top1):.4f})" for name, top1 in figures.items()}
    return (
        f"| CNN on 200 digits, 10 epochs, top-1 | {found['value_of_default']:.4f} | {found['value']:.4f} (trial "
        f"{found['trial']} of {trials}) | {told['default']} | {told['winner']} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--model", type=Path, help="default: picodet_s_320_coco.onnx of the assets")
    options = parser.parse_args()
    model = options.model or options.assets / "detectors" / "picodet_s_320_coco.onnx"
    rows = [
        thresholds(options.assets, options.output, model, options.trials),
        trainings(options.assets, options.output, options.trials),
    ]
    print(f"\n{checkpoint.machine()}\n")
    print("| search | default | best | default, confirmed | best, confirmed |\n|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
