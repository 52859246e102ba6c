"""`edgemass-tools quantize`: an 8-bit variant beside the float one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import UsageError
from edgemass_tools.cli import training

if TYPE_CHECKING:
    from edgemass_tools.quantizing import Outcome

NO_GAIN = 0.95

EPILOG = """\
Runs the model on pictures like those that its cameras will see, and writes a bundle with all that the model had and a
variant `int8` for ONNX Runtime: 8-bit activations and weights, in float what 8 bits hurt most. With --runtime tflite it
is a variant `int8-tflite`, made of the float TFLite one: all in 8 bits, the input too. It states what that costs: mAP
of both with --annotations, else how many detections both have in common. What costs too much is not written.

example: edgemass-tools quantize yolov8n.onnx --images pictures/ -o bundles/yolov8n
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("quantize", help="make an 8-bit variant of a model", epilog=EPILOG)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name of `edgemass model list`, a bundle folder, or a bare .onnx")
    pictures = parser.add_mutually_exclusive_group(required=True)
    pictures.add_argument("--images", type=Path, metavar="DIR", help="a folder of pictures to calibrate with")
    pictures.add_argument("--clip", type=Path, metavar="VIDEO", help="a video to calibrate with")
    add("-o", "--output", type=Path, required=True, metavar="BUNDLE", help="the bundle's folder")
    add("--annotations", type=Path, metavar="JSON", help="COCO instances to measure what is lost; no calibration")
    add("--eval-images", type=Path, metavar="DIR", help="the pictures of --annotations")
    add("--samples", type=int, default=64, metavar="N", help="pictures to calibrate with (default: 64)")
    add(
        "--method",
        choices=("minmax", "percentile", "entropy"),
        default="percentile",
        help="how the range of values is chosen (default: percentile)",
    )
    add(
        "--budget",
        type=float,
        metavar="E",
        help="error that 8 bits may add before decoding (default: 0.02 of variance)",
    )
    add("--max-loss", type=float, default=0.010, metavar="L", help="mAP that may be lost (default: 0.010)")
    add("--seed", type=int, default=0, metavar="S", help="of the choice of pictures (default: 0)")
    add("--force", action="store_true", help="write the variant whatever it loses")
    add("--runtime", choices=("onnx", "tflite"), help="that runs it (default: that of the model's stock file)")
    add("--drop", action="append", default=[], metavar="VARIANT", help="leave this variant out; may be repeated")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass_tools import quantizing
    from edgemass_tools.int8.recipe import BUDGET

    if options.samples < 1:
        raise UsageError(f"--samples must be at least 1, found {options.samples}")
    budget = BUDGET if options.budget is None else options.budget
    if not 0 <= budget < float("inf"):
        raise UsageError(f"--budget must be a share from 0 up, found {budget}")
    order = quantizing.Order(
        output=options.output,
        images=options.images,
        clip=options.clip,
        annotations=options.annotations,
        eval_images=options.eval_images,
        samples=options.samples,
        method=options.method,
        budget=budget,
        max_loss=options.max_loss,
        seed=options.seed,
        force=options.force,
        runtime=options.runtime,
        drop=tuple(options.drop),
    )
    steps = training.Steps("quantize")
    try:
        outcome = quantizing.quantize(bundles.resolve(options.model), order, steps)
    finally:
        steps.end()
    _print(outcome)
    return 0


def _print(outcome: Outcome) -> None:
    agreed, used = outcome.agreement, outcome.used
    left_out = f" ({used.unreadable} more could not be read)" if used.unreadable else ""
    print(f"pictures   {len(used.paths)}{left_out}")
    print(f"layers     {outcome.layers} in 8 bits")
    if agreed.share is not None:
        print(f"agreement  {agreed.share:.1%} of {agreed.all} answers in {agreed.pictures} pictures held out")
    if outcome.accuracy is not None:
        before, after = outcome.accuracy
        print(
            f"mAP 50-95  float {before.map_50_95:.3f}, int8 {after.map_50_95:.3f}, lost "
            f"{before.map_50_95 - after.map_50_95:.3f} ({before.images} images)"
        )
    slow = "; no gain here: keep the float variant" if outcome.time > NO_GAIN * outcome.time_of_source else ""
    print(
        f"time       {outcome.time:.2f} of the stock file's, the best float variant {outcome.time_of_source:.2f}, one "
        f"thread on this machine{slow}"
    )
    size = outcome.bundle.manifest.reference.size_bytes
    print(f"size       {outcome.variant.size_bytes / 1e6:.1f} MB, stock file {size / 1e6:.1f} MB")
    print(f"written to {outcome.bundle.folder}; try: edgemass model inspect {outcome.bundle.folder}")
