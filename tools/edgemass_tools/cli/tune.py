"""`edgemass-tools tune`: better settings than the default, found by trying."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgemass.errors import UsageError
from edgemass_tools.cli import train, training

if TYPE_CHECKING:
    from edgemass_tools.tuning.space import Space
    from edgemass_tools.tuning.study import Found, Objective, Plan

PRUNERS = ("median", "hyperband", "none")
METRICS = ("f1", "map_50", "map_50_95")
EPILOG = """\
Tries settings one after the other (Optuna's TPE), the default first, and keeps every trial in a file: the same command
goes on after an interruption, and --trials counts those that are done. -o holds best.toml, trials.csv and study.png
(history, and how much each setting matters).

example: edgemass-tools tune thresholds bundles/person --images val/ --annotations val.json --trials 40 -o tuned/person
"""
TRAINING = """\
Trains briefly with each setting; those that fall behind are given up. It takes the options of `train`, which give the
default, and prints the command to train on with the best.

example: edgemass-tools tune training --net cnn --folders animals/ --epochs 6 --measure-every 1 --trials 20 -o tuned/cnn
"""
THRESHOLDS = """\
Looks for the score threshold and the NMS overlap with the best F1 (or the NMS with the best mAP) on one half of the
annotated pictures, confirms it on the other half, and writes -o/bundle with them where it is better there too.

example: edgemass-tools tune thresholds bundles/person --images val/ --annotations val.json --trials 40 -o tuned/person
"""
COMPRESSION = """\
Looks for the way of making a model smaller that keeps the most accuracy: 8 bits or not, how they are calibrated, the
input size (--size, of checkpoints), and which of several models, such as one pruned to 80 and one to 60 percent. What
takes longer than --max-ms a frame on this machine, one thread, is out. Writes -o/bundle.

example: edgemass-tools tune compression runs/person/model.pt runs/person-60/model.pt --calibrate train/ \\
    --images val/ --annotations val.json --size 256x192 --size 320x256 --max-ms 8 --trials 20 -o tuned/small
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("tune", help="search for better settings", epilog=EPILOG)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT", parser_class=type(parser))
    one = subjects.add_parser("training", help="settings of a training", epilog=TRAINING)
    train.add_options(one, epochs=6)
    _add_search(one, tune_training)
    one = subjects.add_parser("thresholds", help="score and NMS of a bundle", epilog=THRESHOLDS)
    one.add_argument("model", metavar="MODEL", help="a name of `edgemass model list`, a bundle folder, or a bare file")
    one.add_argument("--images", type=Path, required=True, metavar="DIR", help="the pictures of --annotations")
    one.add_argument("--annotations", type=Path, required=True, metavar="JSON", help="COCO instances")
    one.add_argument("--metric", choices=METRICS, default="f1", help="what is made large (default: f1, at IoU 0.5)")
    one.add_argument("--variant", metavar="V", help="run this one (default: what a device takes)")
    one.add_argument("--seed", type=int, default=0, metavar="S", help="of all that is drawn (default: 0)")
    _add_search(one, tune_thresholds)
    one = subjects.add_parser("compression", help="8 bits, size, pruning", epilog=COMPRESSION)
    add = one.add_argument
    add("models", nargs="+", metavar="MODEL", help="bundles or checkpoints; the first is the default")
    add("--calibrate", type=Path, required=True, metavar="DIR", help="pictures to calibrate and to time with")
    add("--images", type=Path, required=True, metavar="DIR", help="the pictures to measure accuracy with")
    add("--annotations", type=Path, metavar="JSON", help="COCO instances of --images, for detectors")
    add("--labels", type=Path, metavar="CSV", help="file,label of --images, for classifiers")
    add("--metric", choices=METRICS[1:], default="map_50_95", help="of detectors (default: map_50_95); else top-1")
    add("--size", action="append", default=[], metavar="WxH", help="input size to try, of checkpoints; may be repeated")
    add("--max-ms", type=float, metavar="MS", help="most milliseconds of a frame, one thread of this machine")
    add("--samples", type=int, default=32, metavar="N", help="pictures to calibrate with (default: 32)")
    add("--seed", type=int, default=0, metavar="S", help="of all that is drawn (default: 0)")
    _add_search(one, tune_compression)


def _add_search(parser: argparse.ArgumentParser, call: Callable[[argparse.Namespace], int]) -> None:
    add = parser.add_argument
    add("--trials", type=int, default=30, metavar="N", help="in all, with those that are done (default: 30)")
    add("--over", metavar="A,B", help="search only these (default: all; a wrong name lists them)")
    add("--pruner", choices=PRUNERS, default="median", help="who gives up hopeless trials (default: median)")
    add("--storage", type=Path, metavar="FILE", help="SQLite (.db) or else a journal (default: -o/study.log)")
    add("--timeout", type=float, metavar="MIN", help="no trial begins afterwards; go on with the same command")
    add("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for what is found")
    parser.set_defaults(call=call)


def tune_training(options: argparse.Namespace) -> int:
    order = train.order_of(options)
    _need_optuna()
    from edgemass_tools.tuning import training as subject

    space = _space(subject.space(order), options)
    steps = training.Steps("tune")
    plan = _plan(options, "training", subject.described(order, space))
    found = _search(space, subject.objective(order, steps), plan, steps)
    settings = found.best.settings if found.best else {}
    best = subject.applied(order, settings)
    command = train_command(options, best.settings.lr, best.settings.decay, best.augment, best.loss)
    _tell(found, options, {"objective": subject.KEYS[subject.task(order)], "command": command})
    print(f"go on with it, for more --epochs:\n  {command}")
    return 0


def tune_thresholds(options: argparse.Namespace) -> int:
    _need_optuna()
    from edgemass import bundles
    from edgemass_tools.tuning import thresholds as subject

    bundle = bundles.resolve(options.model)
    space = _space(subject.space(bundle.manifest, options.metric), options)
    steps = training.Steps("tune")
    judge = subject.Judge(bundle, options.images, options.annotations, metric=options.metric, variant=options.variant)
    try:
        choose, confirm = judge.halves(options.seed)
        asked = subject.described(bundle, judge, options.images, options.metric, space)
        found = _search(space, judge.objective(choose, steps), _plan(options, "thresholds", asked), steps)
        default, best = found.default, found.best
        about: dict[str, Any] = {"objective": options.metric, "chosen_with_pictures": len(choose.images)}
        if default is None or best is None:
            _tell(found, options, about)
            return 0
        confirmed = subject.confirm(judge, confirm, default.settings, best.settings, steps("confirming"))
        about |= {"confirmed": confirmed.best, "confirmed_default": confirmed.default}
    finally:
        steps.end()
        judge.close()
    _tell(found, options, about)
    print(
        f"confirmed on {len(confirm.images)} other pictures: default {confirmed.default:.4f}, best {confirmed.best:.4f}"
    )
    if not confirmed.better:
        print("no better on pictures that it was not chosen with: nothing was changed")
        return 0
    written = subject.write(bundle, best.settings, options.output / subject.MODEL)
    print(f"written to {written.folder}; try: edgemass run --model {written.folder} --camera 0")
    return 0


def tune_compression(options: argparse.Namespace) -> int:
    _need_optuna()
    from edgemass_tools.tuning import compression as subject

    if (options.annotations is None) == (options.labels is None):
        raise UsageError("give --annotations for a detector, or --labels for a classifier")
    if options.samples < 1 or (options.max_ms is not None and options.max_ms <= 0):
        raise UsageError("--samples must be at least 1, and --max-ms above 0")
    if any(Path(model).suffix == subject.CHECKPOINT for model in options.models):
        training.need_torch(1)
    order = subject.Order(
        models=tuple(options.models),
        sizes=tuple(training.size(text) for text in options.size),
        calibration=options.calibrate,
        images=options.images,
        truth=options.annotations or options.labels,
        key=options.metric if options.annotations else "top1",
        max_ms=options.max_ms,
        samples=options.samples,
        seed=options.seed,
    )
    space = _space(subject.space(order), options)
    steps = training.Steps("tune")
    with tempfile.TemporaryDirectory(prefix="edgemass-tune.") as work:
        maker = subject.Maker(order, Path(work), steps)
        plan = _plan(options, "compression", subject.described(order, list(space)))
        found = _search(space, maker.objective(), plan, steps)
        _tell(found, options, {"objective": order.key, **({"max_ms": order.max_ms} if order.max_ms else {})})
        if found.best is None:
            print("nothing is good enough: allow more --max-ms, or give smaller models")
            return 1
        try:
            written = maker.write(found.best.settings, options.output / "bundle")
        finally:
            steps.end()
    print(f"written to {written.folder}; try: edgemass bench {written.folder} --all")
    return 0


def _need_optuna() -> None:
    """Raises ConfigError where a library is missing."""
    training.need("optuna", "Optuna")
    training.need("matplotlib", "Matplotlib")


def _space(known: Space, options: argparse.Namespace) -> Space:
    from edgemass_tools.tuning import space

    return space.only(known, options.over.split(",") if options.over else ())


def _plan(options: argparse.Namespace, subject: str, asked: Mapping[str, Any]) -> Plan:
    from edgemass_tools.tuning import study

    if options.trials < 1:
        raise UsageError(f"--trials must be at least 1, found {options.trials}")
    return study.Plan(
        subject=subject,
        storage=options.storage or options.output / "study.log",
        trials=options.trials,
        seed=options.seed,
        pruner=options.pruner,
        timeout_s=None if options.timeout is None else options.timeout * 60,
        asked=asked,
    )


def _search(space: Space, objective: Objective, plan: Plan, steps: training.Steps) -> Found:
    from edgemass_tools.tuning import study

    def progress(done: int, total: int) -> None:
        steps("trials")(done, total)  # a line of its own: a trial's own steps end the one before

    try:
        return study.search(space, objective, plan, progress)
    finally:
        steps.end()


def _tell(found: Found, options: argparse.Namespace, about: Mapping[str, Any]) -> None:
    from edgemass_tools.tuning import report

    report.write(found, options.output, about)
    print("\n".join(report.lines(found)))
    if found.best is not None and found.best is found.default:
        print("nothing was better than the default")
    if not found.finished:
        print("not finished: the same command goes on")
    print(f"written to {options.output}: {report.BEST}, {report.TABLE}, {report.PICTURE}")


_GIVEN = (  # options of `train` that a search leaves as they are
    *("net", "option", "annotations", "images", "labels", "val_annotations", "val_images", "weight", "folders"),
    *("val_folders", "epochs", "batch", "size", "first_size", "first_epochs", "plain_epochs", "per_epoch"),
    *("measure_every", "precision", "seed", "workers", "threads", "soft"),
)


def train_command(
    options: argparse.Namespace, lr: float, decay: float, augment: Mapping[str, Any], loss: Mapping[str, Any]
) -> str:
    """The `train` command with the settings that were found; it begins from the start."""
    words = ["edgemass-tools", "train"]
    given: list[tuple[str, Any]] = [("from", options.start), *((name, getattr(options, name)) for name in _GIVEN)]
    given += [("lr", f"{lr:.4g}"), ("decay", f"{decay:.4g}")]
    given += [("augment", [f"{name}={_rounded(value)}" for name, value in augment.items()])]
    given += [("loss", [f"{name}={_rounded(value)}" for name, value in loss.items()])]
    for name, value in given:
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, list):
            words += [word for item in value for word in (flag, str(item))]
        elif value not in (None, "") and value is not False:
            words += [flag, str(value)]
    return shlex.join([*words, "-o", str(options.output / "train")])


def _rounded(value: Any) -> str:
    """As `--augment` reads it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(_rounded(item) for item in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
