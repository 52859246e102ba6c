"""`edgemass eval`: accuracy on pictures with known truth."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgemass.cli.progress import Progress
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass.evaluate import ClassificationAccuracy, DetectionAccuracy
    from edgemass.manifest import Manifest

EPILOG = """\
Detection: COCO mAP of --annotations instances.json over the pictures in --images.
Classification: top-1 and top-5 of --labels truth.csv, lines of file,label; of a model that reads texts --texts
truth.csv, with the columns text,label.

example: edgemass eval yolov8n.onnx --images val2017/ --annotations instances_val2017.json
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("eval", help="measure a model's accuracy", epilog=EPILOG)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name of `model list`, a bundle folder, a bare .onnx or .tflite, demo:")
    add("--images", type=Path, metavar="DIR", help="the folder of pictures")
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument("--annotations", type=Path, metavar="JSON", help="COCO instances, for a detector")
    truth.add_argument("--labels", type=Path, metavar="CSV", help="file,label, for a classifier")
    truth.add_argument("--texts", type=Path, metavar="CSV", help="text,label, for a classifier of texts")
    add("--threads", type=int, metavar="T", help="threads of the runtime (default: all cores)")
    add("--backend", metavar="B", help="what to run on, as `edgemass run` takes it; never on anything else")
    add("--variant", metavar="NAME", help="measure this variant and no other, see `edgemass model inspect`")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import bundles, evaluate

    bundle = bundles.resolve(options.model)
    manifest = bundle.manifest
    _check_truth(manifest, options)
    detector, variant = bundles.open_detector(
        bundle,
        runtime=options.backend,
        threads=options.threads or os.cpu_count(),
        strict=bool(options.backend),
        variant=options.variant,
    )
    progress = Progress("eval")
    if manifest.task == "detection":
        result = evaluate.detection(detector.stream(), manifest.labels, options.images, options.annotations, progress)
        progress.end()
        _print_detection(result, variant.name, as_json=options.json)
        return 0
    if options.texts:
        accuracy = evaluate.texts(detector.stream(), manifest.labels, options.texts, progress)
    else:
        accuracy = evaluate.classification(detector.stream(), manifest.labels, options.images, options.labels, progress)
    progress.end()
    if options.json:
        _print_json(accuracy, variant.name)
    else:
        print(f"top-1 {accuracy.top1:.3f}  top-5 {accuracy.top5:.3f}  ({accuracy.right} of {accuracy.images} right)")
    return 0


def _check_truth(manifest: Manifest, options: argparse.Namespace) -> None:
    """Raises UsageError where the truth is for another kind of model."""
    if manifest.input.text is not None:
        wanted, given = "--texts truth.csv", options.texts is not None and options.images is None
    elif manifest.task == "detection":
        wanted, given = "--images DIR --annotations instances.json", bool(options.images and options.annotations)
    else:
        wanted, given = "--images DIR --labels truth.csv", bool(options.images and options.labels)
    if not given:
        kind = "reads texts" if manifest.input.text is not None else f"is a {manifest.task} model"
        raise UsageError(f"{manifest.name} {kind}: give {wanted}")


def _print_json(result: DetectionAccuracy | ClassificationAccuracy, variant: str) -> None:
    print(msgspec.json.encode({**msgspec.to_builtins(result), "variant": variant}).decode())


def _print_detection(result: DetectionAccuracy, variant: str, *, as_json: bool) -> None:
    if as_json:
        _print_json(result, variant)
        return
    width = max((len(label) for label in result.per_class), default=5)
    print(f"{'class':{width}}  mAP 50-95  mAP 50")
    for label, values in sorted(result.per_class.items(), key=lambda item: -item[1]["map_50_95"]):
        print(f"{label:{width}}  {values['map_50_95']:9.3f}  {values['map_50']:6.3f}")
    print(f"{'all':{width}}  {result.map_50_95:9.3f}  {result.map_50:6.3f}   ({result.images} images)")
    if result.unknown_categories:
        print(f"not counted, the model does not know them: {', '.join(result.unknown_categories)}")
