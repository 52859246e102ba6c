"""`edgemass-tools train`: weights from annotated pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemass_tools.cli import training

EPILOG = """\
Learns a net from COCO-style annotations. -o holds model.pt for the other verbs, last.pt to go on from after an
interruption (the same command goes on), history.jsonl and curves.png. --from begins with the weights of another
checkpoint: the same classes or new ones, the same net or, with --net, another one that shares layers with it.

example: edgemass-tools train --annotations train.json --images train/ --val-annotations val.json --val-images val/ \\
    --labels person --size 320x320 --epochs 60 -o runs/person
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "train", help="train a net", epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--net", default="", metavar="KIND", help="which net (default: that of --from, else edge-detector)")
    add("--option", action="append", default=[], metavar="KEY=VALUE", help="of the net, such as neck=48")
    add("--from", dest="start", type=Path, metavar="PT", help="begin with the weights of this checkpoint")
    training.add_data(parser)
    training.add_schedule(parser, epochs=30, lr=2.5e-3)
    add("--soft", action="store_true", help="the annotators' scores are the targets, as `distill` has them")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(options.threads)
    from edgemass_tools.training import runs

    steps = training.Steps("train")
    order = training.order(options, "train", net=options.net, start=options.start)
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
