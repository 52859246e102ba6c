"""`edgemass-tools export`: a checkpoint as a bundle that devices run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.exporting.bundle import Order

EPILOG = """\
Writes a bundle: an ONNX file, with --tflite a TFLite file beside it, the manifest, golden samples with what is found in
them, the time of a run on this machine, and a card with the data, settings and hours of every step. Afterwards
`edgemass-tools quantize` adds 8-bit variants, `edgemass run --model` runs it.

Nets that read sequences are measured on what training held out, which lies beside the checkpoint in held/ and gives the
golden samples too. --per-run splits a frame into several runs with the state carried between them: rows of a picture
(default: all in one run, without a state), bytes of a text (default: 64).

example: edgemass-tools export runs/person/model.pt -o bundles/person --licence Apache-2.0 --tflite
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("export", help="make a bundle of a checkpoint", epilog=EPILOG)
    add = parser.add_argument
    add("checkpoint", type=Path, metavar="PT", help="what train, distill or prune wrote")
    add("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle's folder, new or empty")
    add("--name", metavar="N", help="of the model (default: that of the folder)")
    add("--model-version", default="1", metavar="V", help="for people (default: 1)")
    add("--release", type=int, default=1, metavar="N", help="counts up; what older means (default: 1)")
    add("--licence", default="unknown", metavar="L", help="an SPDX name (default: unknown)")
    add("--labels", metavar="A,B", help="keep these classes only (default: all that it was trained on)")
    add("--size", metavar="WxH", help="pixels of the picture (default: that of the training)")
    add("--score", type=float, metavar="S", help="default threshold of `edgemass run`")
    add(
        "--golden",
        type=Path,
        nargs="+",
        default=[],
        metavar="PNG",
        help="pictures for golden samples (default: imagined)",
    )
    add("--halves", action="store_true", help="store weights as float16: half the size, computed as before")
    add("--tflite", action="store_true", help="write a TFLite variant too")
    add("--per-run", type=int, metavar="N", help="rows or bytes that a run of a sequence net reads")
    add("--notes", type=Path, metavar="MD", help="text for the card: what it is for, what its limits are")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    training.need_torch(1)
    from edgemass_tools import checkpoint, nets
    from edgemass_tools.exporting import bundle

    if options.score is not None and not 0 < options.score < 1:
        raise UsageError(f"--score must lie between 0 and 1, found {options.score}")
    try:
        notes = options.notes.read_text(encoding="utf-8") if options.notes else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --notes {options.notes}: {error}") from error
    order = bundle.Order(
        output=options.output,
        name=options.name or options.output.resolve().name,
        version=options.model_version,
        release=options.release,
        licence=options.licence,
        score=options.score,
        golden=tuple(options.golden),
        halves=options.halves,
        tflite=options.tflite,
        notes=notes,
        size=training.size(options.size) if options.size else None,
        labels=tuple(options.labels.split(",")) if options.labels else (),
    )
    steps = training.Steps("export")
    if nets.load(checkpoint.load(options.checkpoint).net).TASK == "sequence":
        return _sequence(options, order, steps)
    if options.per_run is not None:
        raise UsageError("--per-run is for sequence nets; leave it out")
    try:
        made = bundle.export(options.checkpoint, order, steps)
    finally:
        steps.end()
    for variant in made.bundle.manifest.variants:
        fast = min(variant.measured_ms.values())
        print(f"{variant.name:10} {variant.size_bytes / 1e6:6.2f} MB  {fast:6.2f} ms a run, one thread")
    print(
        f"golden     {len(made.bundle.manifest.golden)} samples; raw answers differ by {made.worst:.1e} from PyTorch's"
    )
    print(f"written to {options.output}; try: edgemass run --model {options.output} --camera 0")
    return 0


def _sequence(options: argparse.Namespace, order: Order, steps: training.Steps) -> int:
    from edgemass_tools.exporting import sequences

    if options.golden or options.halves or options.labels:
        raise UsageError("--golden, --halves and --labels are not for sequence nets; leave them out")
    try:
        made = sequences.export(options.checkpoint, order, options.per_run, steps)
    finally:
        steps.end()
    print(f"{'training':10} {training.figures(made.trained)}")
    for variant in made.bundle.manifest.variants:
        measured = "".join(f", top1 {item.top1:.3f} of {item.images} held out" for item in variant.accuracy)
        fast = min(variant.measured_ms.values())
        print(f"{variant.name:10} {variant.size_bytes / 1e6:6.2f} MB  {fast:6.2f} ms a run, one thread{measured}")
    camera = "text:-" if made.bundle.manifest.input.text else "0"
    print(f"written to {options.output}; try: edgemass run --model {options.output} --camera {camera}")
    return 0
