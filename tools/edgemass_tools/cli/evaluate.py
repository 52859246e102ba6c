"""`edgemass-tools evaluate`: accuracy, latency and size of variants side by side, and a gate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli.progress import Progress
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass_tools.evaluating.gate import Bounds

EXIT_MISSED = 1

EPILOG = """\
Measures all variants of one model or several, as a device runs them: float and compressed ones, and those that a device
derives. The first variant of the first MODEL is the reference, against which losses are told. Variants take turns, so
that latencies compare.

The bounds of a gate (--min-..., --max-...) hold for the compressed variants, or for those that --variant names; of a
MODEL without compressed variants for the one that a device runs. The exit code is 1 where one is missed.

example: edgemass-tools evaluate bundles/yolov8n --images val2017/ --annotations instances_val2017.json
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("evaluate", help="measure variants side by side", epilog=EPILOG)
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help="a name of `edgemass model list`, a bundle folder, .onnx or .tflite")
    add("--images", type=Path, required=True, metavar="DIR", help="the folder of pictures")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", type=Path, metavar="JSON", help="COCO instances, for detectors")
    truth.add_argument("--labels", type=Path, metavar="CSV", help="file,label, for classifiers")
    truth.add_argument("--folders", action="store_true", help="DIR has a folder for each class, for classifiers")
    add("--variant", action="append", default=[], metavar="NAME", help="only this one beside the reference; repeatable")
    add("--score", type=float, metavar="S", help="where precision and recall are told (default: the model's own)")
    add("--threads", type=int, default=1, metavar="T", help="threads of the runtime (default: 1)")
    add("--skip-broken", action="store_true", help="leave out pictures that are missing or cannot be read")
    add("--report", type=Path, metavar="FILE", help="write a report: .html (one file) or .png")
    add("--json", action="store_true", help="print one JSON object")
    gate = parser.add_argument_group("gate")
    gate.add_argument("--min-map", type=float, metavar="M", help="least mAP 50-95 of a detector")
    gate.add_argument("--min-map50", type=float, metavar="M", help="least mAP at IoU 0.5 of a detector")
    gate.add_argument("--min-top1", type=float, metavar="A", help="least top-1 of a classifier")
    gate.add_argument("--max-loss", type=float, metavar="L", help="most mAP 50-95 or top-1 lost to the reference")
    gate.add_argument("--max-ms", type=float, metavar="MS", help="most milliseconds of a frame, median")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass_tools import evaluating
    from edgemass_tools.evaluating import report, result

    _check_truth(options)
    if options.report is not None:
        report.check(options.report)
    order = evaluating.Order(
        images=options.images,
        annotations=options.annotations,
        labels=options.labels,
        folders=options.folders,
        variants=tuple(dict.fromkeys(options.variant)),
        threads=options.threads,
        score=options.score,
        skip_broken=options.skip_broken,
        bounds=_bounds(options),
    )
    models = [(given, bundles.resolve(given)) for given in options.models]
    progress = Progress("evaluate")
    try:
        found = evaluating.evaluate(models, order, progress)
    finally:
        progress.end()
    print(result.as_json(found) if options.json else result.as_text(found))
    if options.report is not None:
        report.write(found, options.report)
        if not options.json:
            print(f"report: {options.report}")
    for miss in found.misses:
        print(f"edgemass-tools: missed: {miss}", file=sys.stderr)
    if found.misses:
        return EXIT_MISSED
    if found.bounds and not options.json:
        held = ", ".join(found.name(row) for row in found.rows if row.held)
        print(f"gate passed by {held}: {', '.join(found.bounds)}")
    return 0


def _check_truth(options: argparse.Namespace) -> None:
    for option, path in (("--annotations", options.annotations), ("--labels", options.labels)):
        if path is not None and not path.is_file():
            raise UsageError(f"{option}: {path} is not a file")


def _bounds(options: argparse.Namespace) -> Bounds:
    from edgemass_tools.evaluating.gate import Bounds

    return Bounds(
        min_map=options.min_map,
        min_map50=options.min_map50,
        min_top1=options.min_top1,
        max_loss=options.max_loss,
        max_ms=options.max_ms,
    )
