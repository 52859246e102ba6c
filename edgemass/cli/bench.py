"""`edgemass bench`: frames a second of the whole line beside those of the bare runtime."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgemass.cli.progress import Progress
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass.tuning.comparing import Comparison

DEFAULT_SECONDS = 10.0
DEFAULT_FRAMES = "synthetic:?width=1280&height=720&frames=1000000"

EPILOG = """\
bare      the stock file on the plain runtime, same threads, one prepared tensor
pipeline  capture, resize, inference, decoding, NMS, JSON: all but the network

Both run in turn in one process; the ratio is the median over the pairs.

--all measures every variant on every backend with 1, all but one and all cores instead, each in a process of its own,
in turn with the reference variant, and checks that it finds the same. --pick keeps the best for this board: `edgemass
run` takes it where nothing else is asked for, `edgemass model inspect` shows it, --forget drops it.

example: edgemass bench yolov8n.onnx --all --camera clip.mp4 --pick --plot speed.png
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("bench", help="measure a model's speed on this board", epilog=EPILOG)
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name of `model list`, a bundle folder, a bare .onnx or .tflite, demo:")
    add(
        "--camera",
        metavar="SOURCE",
        help="frames to use (default: made-up 720p; with --all made-up pictures)",
    )
    add("--variant", metavar="NAME", help="measure this variant only, see `edgemass model inspect`")
    add("--threads", type=int, metavar="T", help="threads of the runtime (default: cores minus one for decoding)")
    add("--seconds", type=float, metavar="S", help="how long to measure (default: 10; with --all 4 for each row)")
    add("--all", action="store_true", help="every variant x backend x number of threads")
    add("--pick", action="store_true", help="keep the best for this board; with it --all is understood")
    add("--max-loss", type=float, default=0.010, metavar="L", help="mAP that a pick may lose (default: 0.010)")
    add(
        "--min-agreement",
        type=float,
        default=0.9,
        metavar="F1",
        help="agreement with the reference that a pick needs where the manifest states no accuracy (default: 0.9)",
    )
    add("--plot", type=Path, metavar="PNG", help="draw the p95 of every row; with it --all is understood")
    add("--forget", action="store_true", help="forget what was picked for this board, and measure nothing")
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    if options.seconds is not None and not options.seconds > 0:  # nor NaN
        raise UsageError(f"--seconds must be above 0, found {options.seconds}")
    if options.threads is not None and options.threads <= 0:
        raise UsageError(f"--threads must be above 0, found {options.threads}")
    if options.forget:
        return _forget(options)
    _check_runs(options.model)
    if options.all or options.pick or options.plot:
        return _compare(options)
    return _measure(options)


def _check_runs(model: str) -> None:
    """Raises UsageError where a frame takes several runs, so that it cannot be compared with one run."""
    from edgemass import bundles

    manifest = bundles.resolve(model).manifest
    if manifest.input.in_parts:
        raise UsageError(
            f"{manifest.name} reads a frame in several runs, bench compares a frame with one run; `edgemass run` tells "
            "how long its frames take (latency_ms)"
        )


def _measure(options: argparse.Namespace) -> int:
    """The whole line beside the bare runtime."""
    from edgemass import bench, bundles
    from edgemass.tuning.quantization import dynamic

    camera = options.camera or DEFAULT_FRAMES
    result = bench.measure(
        options.model,
        camera,
        threads=options.threads,
        seconds=options.seconds or DEFAULT_SECONDS,
        variant=options.variant,
    )
    notes = dynamic(bundles.resolve(options.model))
    if options.json:
        print(msgspec.json.encode({**msgspec.to_builtins(result), "notes": notes}).decode())
        return 0
    runtime = f"{result.backend} {result.runtime_version}, {result.threads} thread(s), {result.variant}"
    spread = f"({result.ratio_min:.3f} to {result.ratio_max:.3f} over {result.rounds} rounds)"
    print(f"bare runtime     {result.bare_fps:9.1f} fps   {runtime}")
    print(f"whole line       {result.pipeline_fps:9.1f} fps   {result.frame_width}x{result.frame_height} {camera}")
    print(f"ratio            {result.ratio:9.3f}       {spread}")
    print(f"first detection  {result.first_detection_s:9.2f} s     from the start of a new process")
    print(f"memory           {result.rss_bytes / 1e6:9.0f} MB    peak resident set of that process")
    for note in notes:
        print(f"note: {note}")
    return 0


def _compare(options: argparse.Namespace) -> int:
    """Every variant, backend and number of threads."""
    from edgemass import bundles, cache
    from edgemass.bundles import picks
    from edgemass.tuning import comparing, plot
    from edgemass.tuning.choosing import Limits

    limits = Limits(options.max_loss, options.min_agreement)
    comparing.check_limits(limits)
    if options.threads is not None:
        raise UsageError("--threads does not go with --all, which tries several; leave one of them out")
    if options.plot:
        plot.check(options.plot)
    if options.pick:
        _check_place()
    progress = Progress("bench, rows")
    try:
        found = comparing.compare(
            bundles.resolve(options.model),
            camera=options.camera,
            variant=options.variant,
            seconds=options.seconds,
            limits=limits,
            progress=progress,
        )
    finally:
        progress.end()
    picked = options.pick and _keep(found)
    print(comparing.as_json(found, picked=picked) if options.json else comparing.told(found))
    if picked and not options.json:
        print(
            f"kept in {cache.folder(picks.KIND)}: `edgemass run --model {options.model}` of whoever keeps things there "
            "takes it from now on; --forget drops it"
        )
    if options.plot:
        plot.write(options.plot, found.title, found.rows, found.choice.best)
    return 0 if found.choice.best else 1


def _check_place() -> None:
    """Before minutes of measuring: whether what they end with can be kept.

    Raises:
        UsageError: it cannot.
    """
    from edgemass import cache
    from edgemass.bundles import picks

    try:
        cache.folder(picks.KIND)
    except OSError as error:
        raise UsageError(
            f"a pick cannot be kept: {error.filename}: {error.strerror}; name a folder that can be written with "
            "EDGEMASS_CACHE, or measure with --all and keep nothing"
        ) from error


def _keep(found: Comparison) -> bool:
    """Keep the best; False where there is none."""
    from edgemass.bundles import picks
    from edgemass.clock import rfc3339
    from edgemass.tuning.choosing import pick

    best = pick(found.bundle, found.choice, rfc3339(time.time_ns()))
    if best is not None:
        picks.keep(found.bundle, best)
    return best is not None


def _forget(options: argparse.Namespace) -> int:
    from edgemass import bundles
    from edgemass.bundles import picks

    bundle = bundles.resolve(options.model)
    was_there = picks.forget(bundle)
    print(f"{bundle.manifest.name}: {'the pick is forgotten' if was_there else 'nothing was picked on this board'}")
    return 0
