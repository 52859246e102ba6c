"""`edgemass model`: import and inspect model files and bundles."""

from __future__ import annotations

import argparse
from pathlib import Path

IMPORT_EPILOG = """\
Reads the graph, tells the family, takes that family's published preprocessing and lists it under `assumed`, and writes
a bundle folder that run, eval and bench take. --set overrides what was assumed or answers what nothing decides:
--set anchors=yolov3-tiny, --set color=BGR, --set mean=103.53,116.28,123.675, --set nms.iou=0.5.

example: edgemass model import yolov8n.onnx -o bundles/yolov8n --labels coco.txt
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    model = verbs.add_parser(
        "model", help="import and inspect models", epilog="example: edgemass model inspect yolov8n.onnx"
    )
    actions = model.add_subparsers(dest="action", required=True, metavar="ACTION")
    parser = actions.add_parser(
        "import",
        help="make a bundle of a model file",
        epilog=IMPORT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="an .onnx or .tflite file")
    add(
        "-o", "--output", type=Path, metavar="DIR", help="the bundle's folder (default: the file's name without suffix)"
    )
    add("--labels", type=Path, metavar="F", help="one label a line, in the order of the classes, without background")
    add("--family", metavar="F", help="the model family, where the graph does not decide it")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="override or answer one thing; may be repeated")
    parser.set_defaults(call=call_import)
    parser = actions.add_parser(
        "inspect",
        help="show what is known of a bundle or a model file",
        epilog="example: edgemass model inspect bundles/yolov8n",
    )
    parser.add_argument("model", metavar="MODEL", help="a bundle folder, a bare .onnx or .tflite, demo:")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call_inspect)


def call_import(options: argparse.Namespace) -> int:
    from edgemass import bundles

    output = options.output or Path(options.file.stem)
    manifest = bundles.import_model(options.file, labels=options.labels, family=options.family, settings=options.set)
    bundles.write_bundle(manifest, options.file, output)
    print(bundles.describe(bundles.load_bundle(output)))
    print(f"written to {output}; try: edgemass run --camera 0 --model {output}")
    return 0


def call_inspect(options: argparse.Namespace) -> int:
    from edgemass import bundles

    bundle = bundles.resolve(options.model)
    print(bundles.describe_json(bundle) if options.json else bundles.describe(bundle))
    return 0
