"""`edgemass-tools export`: a bundle that devices run, from the checkpoint that training left."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemass.errors import UsageError
from edgemass_tools.cli import training

EPILOG = """\
Writes ONNX and TFLite variants, each checked against PyTorch, with golden samples, latency and accuracy as measured
here, and a card. What was held out of training lies beside the checkpoint, in held/; the variants are measured on it.

--per-run splits a frame into several runs with the state carried between them: rows of a picture (default: the whole in
one run, without a state), bytes of a text (default: 64).

example: edgemass-tools export runs/digits/model.pt --licence Apache-2.0 -o bundles/digits
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "export",
        help="make a bundle of a checkpoint",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="PT", help="model.pt of a training")
    add("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle's folder")
    add("--runtime", action="append", choices=("onnx", "tflite"), help="write only these (default: both)")
    add("--per-run", type=int, metavar="N", help="rows or bytes that a run reads")
    add("--name", default="", metavar="NAME", help="of the model (default: that of the folder)")
    add("--licence", default="unknown", metavar="L", help="of the weights, as SPDX names it")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(threads=1)
    from edgemass_tools import checkpoint, nets
    from edgemass_tools.exporting import sequences

    made = checkpoint.load(options.checkpoint)
    if nets.load(made.net).TASK != "sequence":
        raise UsageError(f"{options.checkpoint} holds a {made.net}; only sequence nets are exported so far")
    steps = training.Steps("export")
    order = sequences.Order(
        checkpoint=options.checkpoint,
        output=options.output,
        runtimes=tuple(options.runtime or sequences.RUNTIMES),
        per_run=options.per_run,
        name=options.name,
        licence=options.licence,
    )
    try:
        outcome = sequences.export(order, steps)
    finally:
        steps.end()
    trained = made.record[-1].results if made.record else {}
    print(f"in training    {training.figures(trained)}")
    for name, found in outcome.accuracy.items():
        print(f"{name:<14} top1 {found.top1:.3f}  top5 {found.top5:.3f}  ({found.images} held out)")
    print(f"written to {outcome.bundle.folder}; try: edgemass model inspect {outcome.bundle.folder}")
    return 0
