"""`edgemass-tools train`: weights from annotated pictures, or for sequence nets from labelled pictures or texts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.training.loop import Outcome

EPILOG = """\
Learns a net from COCO-style annotations. -o holds model.pt for the other verbs, last.pt to go on from after an
interruption (the same command goes on), history.jsonl and curves.png. --from begins with the weights of another
checkpoint: the same classes, or new ones.

Nets that read sequences (lstm-digits, lstm-text) learn from --data: a folder with one folder of pictures a class, a
sheet of 5,000 digits, or a CSV of text,label. They always train in fp32, and -o/held holds what they were measured on:
  edgemass-tools train --net lstm-digits --data digits.png --epochs 40 -o runs/digits

example: edgemass-tools train --annotations train.json --images train/ --val-annotations val.json --val-images val/ \\
    --labels person --size 320x320 --epochs 60 -o runs/person
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "train", help="train a net", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--net", default="edge-detector", metavar="KIND", help="which net (default: edge-detector)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of the net, such as neck=48")
    add("--from", dest="start", type=Path, metavar="PT", help="begin with the weights of this checkpoint")
    training.add_data(parser)
    add("--data", type=Path, metavar="PATH", help="what a sequence net learns from")
    add("--val", type=Path, metavar="PATH", help="the like to measure with (default: a fifth of --data)")
    training.add_schedule(parser, epochs=30, lr=2.5e-3)
    add("--soft", action="store_true", help="the annotators' scores are the targets, as `distill` has them")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(options.threads)
    from edgemass_tools import nets
    from edgemass_tools.training import runs

    if options.epochs < 1 or options.batch < 1:
        raise UsageError("--epochs and --batch must be at least 1")
    steps = training.Steps("train")
    if nets.load(options.net).TASK == "sequence":
        return _sequence(options, steps)
    if options.data or options.val:
        raise UsageError(
            f"--data and --val are for sequence nets, {options.net} learns from --annotations and --images"
        )
    order = runs.Order(
        verb="train",
        net=options.net,
        net_options=runs.net_options(options.option),
        start=options.start,
        pairs=tuple(training.pairs(options)),
        labels=tuple(options.labels.split(",")) if options.labels else (),
        held=runs.held(options.val_annotations, options.val_images),
        weights=training.numbers(options.weight, "--weight"),
        size=training.size(options.size),
        first_size=training.size(options.first_size) if options.first_size else None,
        first_epochs=options.first_epochs,
        plain_epochs=options.epochs // 6 if options.plain_epochs is None else options.plain_epochs,
        batch=options.batch,
        per_epoch=options.per_epoch,
        workers=options.workers,
        soft=options.soft,
        settings=runs.Settings(
            epochs=options.epochs,
            lr=options.lr,
            measure_every=options.measure_every,
            precision=options.precision,
            seed=options.seed,
        ),
        output=options.output,
        stop_after_s=None if options.stop_after is None else options.stop_after * 60,
    )
    try:
        made = runs.run(order, steps)
    finally:
        steps.end()
    return _told(options, made)


def _sequence(options: argparse.Namespace, steps: training.Steps) -> int:
    from edgemass_tools.training import runs, sequence_runs

    if options.data is None:
        raise UsageError(f"{options.net} learns from --data, which is missing")
    if options.annotations or options.images:
        raise UsageError(f"{options.net} learns from --data, not from --annotations and --images")
    order = sequence_runs.Order(
        net=options.net,
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
        stop_after_s=None if options.stop_after is None else options.stop_after * 60,
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
