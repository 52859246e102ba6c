"""`edgemass-tools train`: weights from annotated pictures, or for classifiers from folders of them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.training.runs import Order

EPILOG = """\
Learns a net from COCO-style annotations. -o holds model.pt for the other verbs, last.pt to go on from after an
interruption (the same command goes on), history.jsonl and curves.png. --from begins with the weights of another
checkpoint: the same classes or new ones, the same net or, with --net, another one that shares layers with it.

Classifiers (squeezenet, cnn) learn from --folders, one folder of pictures for each class. What they are measured with
is listed in -o/held.csv, so that `edgemass eval BUNDLE --images DIR --labels held.csv` says the same afterwards:
  edgemass-tools train --net squeezenet --folders animals/ --val-folders animals-val/ --epochs 40 -o runs/animals

example: edgemass-tools train --annotations train.json --images train/ --val-annotations val.json --val-images val/ \\
    --labels person --size 320x320 --epochs 60 -o runs/person
"""
DETECTION_SIZE = (320, 320)


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "train", help="train a net", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, epochs=30)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call)


def add_options(parser: argparse.ArgumentParser, *, epochs: int) -> None:
    """All that says what is trained and how; `tune training` takes the same."""
    add = parser.add_argument
    add("--net", default="", metavar="KIND", help="which net (default: that of --from, else edge-detector)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of the net, such as neck=48")
    add("--from", dest="start", type=Path, metavar="PT", help="begin with the weights of this checkpoint")
    training.add_data(parser)
    add("--folders", type=Path, metavar="DIR", help="what a classifier learns from: one folder for each class")
    add("--val-folders", type=Path, metavar="DIR", help="the like to measure with (default: a fifth of --folders)")
    training.add_schedule(parser, epochs=epochs, lr=2.5e-3, size=None)
    add("--soft", action="store_true", help="the annotators' scores are the targets, as `distill` has them")


def order_of(options: argparse.Namespace) -> Order:
    """What the options ask for; imports PyTorch.

    Raises:
        UsageError, ConfigError: they do not go together, or PyTorch is missing.
    """
    training.need_torch(options.threads)
    from edgemass_tools import checkpoint, nets

    start = checkpoint.load(options.start) if options.start else None
    net = options.net or (start.net if start else "edge-detector")
    kind = nets.load(net)
    classifies = kind.TASK == "classification"
    if not classifies and options.folders:
        raise UsageError(f"--folders is for classifiers; {net} learns from --annotations and --images")
    if classifies and options.annotations:
        raise UsageError(f"{net} is a classifier: it learns from --folders, not from --annotations")
    if not options.size:
        width, height = (start.width, start.height) if start else getattr(kind, "SIZE", DETECTION_SIZE)
        options.size = f"{width}x{height}"
    order = training.order(options, "train", net=net, start=options.start, detects=not classifies)
    return replace(order, folders=options.folders, val_folders=options.val_folders)


def call(options: argparse.Namespace) -> int:
    order = order_of(options)
    from edgemass_tools.training import runs

    steps = training.Steps("train")
    try:
        made = runs.run(order, steps)
    finally:
        steps.end()
    print(training.figures(made.results))
    if not made.finished:
        print("not finished: the same command goes on")
    print(
        f"written to {options.output / 'model.pt'}; try: edgemass-tools export {options.output / 'model.pt'} -o BUNDLE"
    )
    return 0
