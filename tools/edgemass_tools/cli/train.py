"""`edgemass-tools train`: weights from annotated pictures, from folders of them, or from sequences."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.training.loop import Outcome
    from edgemass_tools.training.runs import Order

EPILOG = """\
Learns a net from COCO-style annotations. -o holds model.pt for the other verbs, last.pt to go on from after an
interruption (the same command goes on), history.jsonl and curves.png. --from begins with the weights of another
checkpoint: the same classes or new ones, the same net or, with --net, another one that shares layers with it.

Classifiers (squeezenet, cnn) learn from --folders, one folder of pictures for each class. What they are measured with
is listed in -o/held.csv, so that `edgemass eval BUNDLE --images DIR --labels held.csv` says the same afterwards:

  edgemass-tools train --net squeezenet --folders animals/ --val-folders animals-val/ --epochs 40 -o runs/animals

Nets that read sequences (lstm-digits, lstm-text) learn from --data: a folder with one folder of pictures a class, a
sheet of 5,000 digits, or a CSV of text,label. They always train in fp32, and -o/held holds what they were measured on:

  edgemass-tools train --net lstm-digits --data digits.png --epochs 40 -o runs/digits

example: edgemass-tools train --annotations train.json --images train/ --val-annotations val.json --val-images val/ \\
    --labels person --size 320x320 --epochs 60 -o runs/person
"""
DETECTION_SIZE = (320, 320)


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("train", help="train a net", epilog=EPILOG)
    add_options(parser, epochs=30)
    parser.add_argument("--data", type=Path, metavar="PATH", help="what a sequence net learns from")
    parser.add_argument(
        "--val", type=Path, metavar="PATH", help="the like to measure with (default: a fifth of --data)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call)


def add_options(parser: argparse.ArgumentParser, *, epochs: int) -> None:
    """All that says what is trained and how; `tune training` takes the same."""
    add = parser.add_argument
    add("--net", default="", metavar="KIND", help="which net (default: that of --from, else edge-detector)")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="of the net, such as neck=48")
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
    if kind.TASK == "sequence":
        raise UsageError(f"{net} learns from --data, which only `train` takes")
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
    training.need_torch(options.threads)
    from edgemass_tools import checkpoint, nets
    from edgemass_tools.training import runs

    steps = training.Steps("train")
    net = options.net or (checkpoint.load(options.start).net if options.start else "edge-detector")
    if nets.load(net).TASK == "sequence":
        return _sequence(options, net, steps)
    if options.data or options.val:
        raise UsageError(f"--data and --val are for sequence nets, {net} learns from pictures")
    order = order_of(options)
    try:
        made = runs.run(order, steps)
    finally:
        steps.end()
    return _told(options, made)


def _sequence(options: argparse.Namespace, net: str, steps: training.Steps) -> int:
    from edgemass_tools.training import runs, sequence_runs

    if options.data is None:
        raise UsageError(f"{net} learns from --data, which is missing")
    if options.annotations or options.images:
        raise UsageError(f"{net} learns from --data, not from --annotations and --images")
    order = sequence_runs.Order(
        net=net,
        net_options=runs.net_options(options.option),
        start=options.start,
        data=options.data,
        val=options.val,
        batch=options.batch,
        settings=runs.Settings(
            epochs=options.epochs,
            lr=options.lr,
            measure_every=options.measure_every,
            precision="fp32",
            seed=options.seed,
        ),
        output=options.output,
        stop=training.stop(options),
    )
    try:
        made = sequence_runs.run(order, steps)
    finally:
        steps.end()
    return _told(options, made)


def _told(options: argparse.Namespace, made: Outcome) -> int:
    print(training.figures(made.results))
    if not made.finished:
        print("not finished: the same command goes on")
    print(
        f"written to {options.output / 'model.pt'}; try: edgemass-tools export {options.output / 'model.pt'} -o BUNDLE"
    )
    return 0
