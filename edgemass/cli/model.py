"""`edgemass model`: import, optimize, inspect, pull, push, list and activate models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemass.cli import model_orders, model_pack, model_push, model_store, state

if TYPE_CHECKING:
    from edgemass.bundles import Bundle, Entry
    from edgemass.manifest import Manifest

IMPORT_EPILOG = """\
Reads the graph, tells the family, takes that family's published preprocessing and lists it under `assumed`, and writes
a bundle folder that run, eval and bench take. --set overrides what was assumed or answers what nothing decides:
--set anchors=yolov3-tiny, --set color=BGR, --set mean=103.53,116.28,123.675, --set nms.iou=0.5.

example: edgemass model import yolov8n.onnx -o bundles/yolov8n --labels coco.txt
"""

OPTIMIZE_EPILOG = """\
Rewrites an ONNX detector without changing its answers: the graph takes uint8 pixels, ends before its activations, and
loses what only costs time. Both files are compared on made-up pictures and on those of --images; what answers
otherwise is not kept. The stock file stays in the bundle as the reference. `run` does the same by itself when it first
loads a model, and keeps it in its cache.

example: edgemass model optimize yolov8n.onnx -o bundles/yolov8n
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    model = verbs.add_parser(
        "model",
        help="import, optimize, inspect, pull, push, list and activate models",
        epilog="example: edgemass model inspect yolov8n.onnx",
    )
    actions = model.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_import(actions)
    parser = actions.add_parser(
        "inspect",
        help="show what is known of a bundle or a model file",
        epilog="example: edgemass model inspect bundles/yolov8n",
    )
    parser.add_argument("model", metavar="MODEL", help="a name of `model list`, a bundle folder, a model file, demo:")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call_inspect)
    _add_optimize(actions)
    model_push.add_pull(actions)
    model_push.add_push(actions)
    model_pack.add_pack(actions)
    parser = actions.add_parser(
        "list", help="show the models that have a name, and those of the store", epilog="example: edgemass model list"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    state.add_options(parser, slot=False)
    parser.set_defaults(call=call_list)
    model_store.add_verify(actions)
    model_orders.add_activate(actions)
    model_orders.add_rollback(actions)
    model_store.add_prune(actions)
    model_store.add_history(actions)


def _add_import(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="override or answer one thing; repeatable")
    add("--no-optimize", action="store_true", help="leave out the variant that `model optimize` would make")
    parser.set_defaults(call=call_import)


def _add_optimize(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "optimize",
        help="rewrite an ONNX detector to the same answers in less time",
        epilog=OPTIMIZE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a bundle folder or an .onnx file")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="the bundle's folder (default: the bundle itself; for a file its name without suffix)",
    )
    add("--images", type=Path, metavar="DIR", help="compare on these pictures too")
    add("--anyway", action="store_true", help="keep it where it is not faster on this board")
    parser.set_defaults(call=call_optimize)


def call_import(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass.errors import BundleError

    output = options.output or Path(options.file.stem)
    manifest = bundles.import_model(options.file, labels=options.labels, family=options.family, settings=options.set)
    bundle = bundles.write_bundle(manifest, options.file, output)
    if not options.no_optimize:
        try:
            bundle = _optimized(bundle, output)
        except BundleError as error:  # the bundle is written and whole
            print(f"not optimized: {error}")
    print(bundles.describe(bundle))
    print(f"written to {output}; try: edgemass run --camera 0 --model {output}")
    return 0


def call_optimize(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass.errors import UsageError

    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"--images {options.images} is no folder; wanted one with pictures")
    bundle = bundles.resolve(options.model)
    given = Path(options.model)
    in_place = given.is_dir()
    output = options.output or (given if in_place else Path(given.stem or options.model))
    pictures = sorted(options.images.iterdir()) if options.images is not None else ()
    made = _optimized(bundle, output, pictures=pictures, anyway=options.anyway)
    if made is bundle:
        print("nothing was written: the stock file is the best there is")
        return 0
    print(f"written to {output}; try: edgemass bench {output}")
    return 0


def _optimized(bundle: Bundle, output: Path, *, pictures: Sequence[Path] = (), anyway: bool = False) -> Bundle:
    """The bundle in `output` with its rewritten variant, after telling what was done; itself where nothing was kept."""
    import tempfile

    from edgemass import bundles
    from edgemass.bundles.optimize import rewrite

    with tempfile.TemporaryDirectory(prefix="edgemass-") as folder:
        outcome = rewrite(bundle, Path(folder), pictures=pictures, anyway=anyway)
        for sentence in outcome.done:
            print(f"optimized: {sentence}")
        for sentence in outcome.kept_out:
            print(f"not optimized: {sentence}")
        if outcome.variant is None or outcome.file is None:
            return bundle
        if outcome.ratio is not None:
            print(f"optimized: a frame takes {outcome.ratio:.2f} of the stock file's time on this machine")
        return bundles.add_variant(bundle, outcome.variant, outcome.file, output)


def call_inspect(options: argparse.Namespace) -> int:
    from edgemass import bundles

    bundle = bundles.resolve(options.model)
    print(bundles.describe_json(bundle) if options.json else bundles.describe(bundle))
    return 0


def call_list(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass import bundles

    entries, stored = bundles.entries(), model_store.stored(options)
    if options.json:
        print(msgspec.json.encode({"models": [_json(entry) for entry in entries], "stored": stored}).decode())
        return 0
    rows = [("name", "task", "size", "accuracy", "licence", "pulled")]
    rows += [
        (
            entry.name,
            entry.manifest.task,
            _megabytes(entry.manifest),
            _accuracy(entry.manifest),
            entry.manifest.licence,
            str(entry.bundle.folder) if entry.bundle else "no",
        )
        for entry in entries
    ]
    _print_table(rows)
    if stored:
        print(f"\nin the store {state.folder(options) / state.STORE}:")
        _print_table(model_store.rows(stored))
    return 0


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _json(entry: Entry) -> dict[str, Any]:
    import msgspec

    manifest = entry.manifest
    return {
        "name": entry.name,
        "task": manifest.task,
        "size_bytes": _size(manifest),
        "accuracy": msgspec.to_builtins(manifest.accuracy),
        "licence": manifest.licence,
        "source": manifest.source,
        "pulled": entry.bundle is not None,
        "folder": str(entry.bundle.folder) if entry.bundle else None,
    }


def _accuracy(manifest: Manifest) -> str:
    """As in `mAP 0.288 (coco-val)`; the first measurement counts."""
    for measured in manifest.accuracy:
        name, value = ("mAP", measured.map_50_95) if measured.map_50_95 is not None else ("top-1", measured.top1)
        if value is not None:
            return f"{name} {value:.3f} ({measured.data})"
    return "not measured"


def _size(manifest: Manifest) -> int:
    return sum(variant.size_bytes for variant in manifest.variants)


def _megabytes(manifest: Manifest) -> str:
    return f"{_size(manifest) / 1e6:.2f} MB"
