"""`edgemass-tools distill`: a small net learns from large ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemass.errors import UsageError
from edgemass_tools.cli import training

EPILOG = """\
Teachers, detectors that edgemass runs, label pictures; the student learns from their scores and boxes. Pictures come
from folders and clips, with or without annotations: where people drew a box it stands, and teachers add what they left
out. -o holds labels.json (labelling goes on after an interruption), model.pt and what `train` leaves.

examples:
  edgemass-tools distill --teacher yolox_nano --net edge-detector --labels person --images pictures/ -o runs/student
  edgemass-tools distill --teacher big.onnx --teacher other.tflite --student runs/person/model.pt --clip door.mp4 \\
      --annotations train.json --images train/ --val-annotations val.json --val-images val/ -o runs/student
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "distill",
        help="train a net on what larger ones say",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--teacher", action="append", required=True, metavar="MODEL", help="a bundle or model file; may be repeated")
    student = parser.add_mutually_exclusive_group()
    student.add_argument("--student", type=Path, metavar="PT", help="go on from this checkpoint, pruned or not")
    student.add_argument("--net", default="edge-detector", metavar="KIND", help="begin afresh (default: edge-detector)")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="of a fresh net, such as neck=48")
    training.add_data(parser)
    add(
        "--unlabelled",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="pictures without annotations, beside those with; without any --annotations, --images are such too",
    )
    add("--clip", type=Path, action="append", default=[], metavar="VIDEO", help="a video to take frames of")
    add("--every", type=int, default=10, metavar="N", help="take every N-th frame of a clip (default: 10)")
    add("--no-mirror", action="store_true", help="teachers do not look at mirrored pictures: half the time")
    add("--tiles", action="store_true", help="teachers look at four enlarged parts too: small objects")
    add("--object", type=float, default=0.36, metavar="S", help="teachers' score of an object (default: 0.36)")
    add("--doubt", type=float, default=0.13, metavar="S", help="score of what may be one (default: 0.13)")
    training.add_schedule(parser, epochs=30, lr=2.5e-3, size=None)
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="the run's folder")
    parser.set_defaults(call=call, soft=True)


def call(options: argparse.Namespace) -> int:
    training.need_torch(options.threads)
    from edgemass_tools import checkpoint
    from edgemass_tools.distilling import running
    from edgemass_tools.teaching import Rule

    if not 0 < options.doubt <= options.object <= 1:
        raise UsageError(f"wanted 0 < --doubt <= --object <= 1, found {options.doubt:g} and {options.object:g}")
    if options.every < 1:
        raise UsageError("--every must be at least 1")
    unlabelled = list(options.unlabelled)
    if not options.annotations:
        unlabelled, options.images = options.images + unlabelled, []
    if options.size is None:
        begun = checkpoint.load(options.student) if options.student else None
        options.size = f"{begun.width}x{begun.height}" if begun else "320x320"
    steps = training.Steps("distill")
    order = running.Order(
        teachers=tuple(options.teacher),
        unlabelled=tuple(unlabelled),
        clips=tuple(options.clip),
        every=options.every,
        rule=Rule(object=options.object, doubt=options.doubt, mirror=not options.no_mirror, tiles=options.tiles),
        training=training.order(
            options, "distill", net="" if options.student else options.net, start=options.student, annotated=False
        ),
    )
    try:
        made = running.run(order, steps)
    finally:
        steps.end()
    print(training.figures(made.results))
    if not made.finished:
        print("not finished: the same command goes on")
    model = options.output / "model.pt"
    print(f"written to {model}; try: edgemass-tools export {model} -o BUNDLE")
    return 0
