"""`edgemass annotate`: a video with everything drawn that is seen in it."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass import config
from edgemass.cli import signals
from edgemass.cli.progress import Progress
from edgemass.config import CameraConfig, Config
from edgemass.errors import EdgemassError, UsageError

if TYPE_CHECKING:
    from edgemass.annotate import Annotated

EPILOG = """\
Boxes with labels, tracks with their tails, how many there are; with --config also the zones and lines of a camera, as
it would count them. Frames keep their own times. Ctrl-C ends it with what is done. The sound is left out.

example: edgemass annotate clip.mp4 -o annotated.mp4 --model yolov8n.onnx
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("annotate", help="draw on a video what is seen in it", epilog=EPILOG)
    add = parser.add_argument
    add("video", metavar="VIDEO", help="a video file, a folder or glob of pictures, demo:; a camera with --frames")
    add("-o", "--output", type=Path, required=True, metavar="OUT.mp4", help="what to write (.mp4, .mov or .mkv)")
    add("--model", metavar="MODEL", help="the model to run (default: the configuration's, else edgemass-person)")
    add("--config", type=Path, metavar="FILE", help="TOML configuration whose zones, lines and scores to use")
    add("--camera", metavar="NAME", help="the camera of the configuration (default: its only one)")
    add("--score", type=float, metavar="S", help="only what is found with a score above S (default: the model's own)")
    add("--frames", type=int, metavar="N", help="end after N frames")
    add("--max-fps", type=float, metavar="F", help="look at F frames a second, and leave the others out")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    _check_ranges(options)
    base = config.load(options.config) if options.config else Config(cameras={})
    camera = _camera(options, base)
    from edgemass import annotate, bundles
    from edgemass.agent.starting import DEFAULT_MODEL
    from edgemass.imaging import leave_cores_to_the_runtime

    leave_cores_to_the_runtime()
    source = annotate.open_source(options.video, camera, options.output, frames=options.frames)
    bundle = bundles.resolve(options.model or base.model or DEFAULT_MODEL)
    detector, _ = bundles.open_detector(bundle, threads=annotate.threads())
    stop = threading.Event()
    _end_on_signals(stop)
    progress = Progress("annotate")
    try:
        result = annotate.annotate(
            source, options.output, detector, camera, frames=options.frames, stop=stop, progress=progress
        )
    except OSError as error:  # the source's own are SourceErrors
        raise EdgemassError(
            f"cannot write {options.output}: {error.strerror or error}; make room, or give a file in a folder that can "
            "be written"
        ) from error
    finally:
        progress.end()
        detector.backend.close()
    print(_summary(options.output, result), file=sys.stderr)
    return 0


def _check_ranges(options: argparse.Namespace) -> None:
    for name, value in (("--frames", options.frames), ("--max-fps", options.max_fps)):
        if value is not None and not value > 0:  # nor NaN
            raise UsageError(f"{name} must be above 0, found {value}")
    if options.score is not None and not 0 <= options.score <= 1:
        raise UsageError(f"--score must lie between 0 and 1, found {options.score}")
    if options.camera is not None and options.config is None:
        raise UsageError("--camera names one of a configuration; give --config FILE too")


def _camera(options: argparse.Namespace, base: Config) -> CameraConfig:
    """The configuration's camera with the video as its source and the command line laid over it.

    Raises:
        UsageError: there is none of that name, or several and none was named.
        ConfigError: a value out of range.
    """
    table: dict[str, object] = {}
    if options.config is not None:
        known = ", ".join(base.cameras) or "none"
        if options.camera is None and len(base.cameras) != 1:
            raise UsageError(f"{options.config} has the cameras {known}; say which with --camera NAME")
        name = options.camera or next(iter(base.cameras))
        if name not in base.cameras:
            raise UsageError(f"{options.config} has no camera {name!r}; it has {known}")
        table = {field: getattr(base.cameras[name], field) for field in CameraConfig.__struct_fields__}
    over = {"score": options.score, "max_fps": options.max_fps}
    given = {key: value for key, value in over.items() if value is not None}
    return config.convert({**table, "source": options.video, **given}, CameraConfig, "annotate")


def _end_on_signals(stop: threading.Event) -> None:
    """The first SIGINT or SIGTERM asks to end, the second one ends at once."""

    def on_signal(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler)

    signals.answer({signal.SIGINT: stop.set, signal.SIGTERM: stop.set}, on_signal)


def _summary(target: Path, result: Annotated) -> str:
    """out.mp4: 795 frames (79.4 s, 768 x 576, libx264, 12.3 MB), 21.3 a second; 34 person; gate: 12 in, 4 out."""
    shape = (
        f"{result.seconds:.1f} s, {result.width} x {result.height}, {result.encoder}, {result.size_bytes / 1e6:.1f} MB"
    )
    parts = [f"{target}: {result.frames} frames ({shape}), {result.frames / max(result.took_s, 1e-3):.1f} a second"]
    if result.things:
        parts.append(", ".join(f"{count} {label}" for label, count in result.things.items()))
    parts += [f"{name}: {in_} in, {out} out" for name, (in_, out) in result.lines.items()]
    return "; ".join(parts) + (" (stopped before the end)" if result.stopped else "")
