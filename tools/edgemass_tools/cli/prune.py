"""`edgemass-tools prune`: a smaller net out of a trained one."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.pruning.running import Pruned

EPILOG = """\
Cuts those channels out of a trained net that matter least for the multiply-accumulates they cost, eight at a time,
until the share of --operations is left, and trains what remains. -o holds cut.pt (after the cut), model.pt (after
fine-tuning) and what `train` leaves; the same command goes on after an interruption.

example: edgemass-tools prune runs/person/model.pt --operations 0.6 --annotations train.json --images train/ \\
    --val-annotations val.json --val-images val/ -o runs/person-60
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("prune", help="cut channels out of a net and fine-tune it", epilog=EPILOG)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="PT", help="what train, distill or prune wrote")
    add("--operations", type=float, required=True, metavar="SHARE", help="of the operations that stays, such as 0.6")
    add("--looks", type=int, default=16, metavar="N", help="batches that tell what channels are worth (default: 16)")
    add("--no-finetune", action="store_true", help="only cut")
    training.add_data(parser)
    training.add_schedule(parser, epochs=10, lr=1e-3, size=None)
    add("--soft", action="store_true", help="the annotators' scores are the targets, as `distill` has them")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(options.threads)
    training.need("torch_pruning", "torch-pruning")
    from edgemass_tools import checkpoint
    from edgemass_tools.pruning import running

    if options.looks < 1:
        raise UsageError("--looks must be at least 1")
    source = checkpoint.load(options.checkpoint)
    if options.labels and tuple(options.labels.split(",")) != source.labels:
        raise UsageError(
            f"--labels {options.labels}: {options.checkpoint} knows {','.join(source.labels)}; leave it out"
        )
    if options.size is None:
        options.size = f"{source.width}x{source.height}"
    steps = training.Steps("prune")
    order = running.Order(
        source=options.checkpoint,
        share=options.operations,
        looks=options.looks,
        finetune=not options.no_finetune,
        tuning=training.order(options, "fine-tune", net=source.net),
    )
    try:
        made = running.run(order, steps)
    finally:
        steps.end()
    print("\n".join(table(made)))
    if not made.finished:
        print("not finished: the same command goes on")
    print(
        f"written to {options.output / 'model.pt'}; try: edgemass-tools export {options.output / 'model.pt'} -o BUNDLE"
    )
    return 0


def table(made: Pruned) -> list[str]:
    """Operations, parameters and AP, before, after the cut, and after fine-tuning."""
    found = made.cut.results

    def row(name: str, size: str, figures: Mapping[str, float], suffix: str) -> str:
        ap = "  ".join(
            f"{key} {figures[key + suffix]:.3f}" for key in ("map_50", "map_50_95") if key + suffix in figures
        )
        millions = found[f"operations_{size}"] / 1e6, found[f"parameters_{size}"] / 1e6
        return f"{name:12} {millions[0]:8.1f} M operations  {millions[1]:6.3f} M parameters  {ap}".rstrip()

    rows = [row("before", "before", found, "_before"), row("after cut", "after", found, "_cut")]
    return [*rows, row("fine-tuned", "after", made.tuned, "")] if made.tuned else rows
