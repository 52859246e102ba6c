"""`edgemass replay`: a recording through the same scene again."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgemass import config
from edgemass.errors import UsageError

EPILOG = """\
`edgemass run --record DIR` makes a recording: every detection, with the clock and the configuration. Replayed, it gives
the same events byte for byte, on any machine; with --config, those that other zones, lines and thresholds would give.

example: edgemass replay recordings/gate --config trial.toml
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("replay", help="tell the events of a recording again", epilog=EPILOG)
    add = parser.add_argument
    add("recording", type=Path, metavar="BUNDLE", help="the folder of `edgemass run --record`")
    add("--camera", metavar="NAME", help="this camera only (default: all, one after the other)")
    add("--config", type=Path, metavar="FILE", help="as if the cameras of these names had been configured so")
    add("--model", metavar="MODEL", help="detect anew in the recorded frames (needs --record-frames)")
    add("--sink", metavar="URI", default="jsonl:-", help="where events and counts go (default: jsonl:-)")
    add("--check", action="store_true", help="compare with what was told then: exit code 1 where it differs")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass import replay

    header = replay.read(options.recording)
    names = [options.camera] if options.camera else list(header.cameras)
    others = config.load(options.config).cameras if options.config else {}
    if others and not set(names) & set(others):
        raise UsageError(
            f"{options.config} has none of the cameras {', '.join(names)}; it has {', '.join(others) or 'none'}"
        )
    if options.sink.startswith("mqtt"):
        raise UsageError("a replay does not go to a broker, where it would take the place of the device itself")
    if options.check and (others or options.model):
        raise UsageError("--check compares with what was told then; it does not go with --config or --model")
    if options.check:
        return _check(options.recording, names)
    return _tell(options, names, others)


def _check(recording: Path, names: list[str]) -> int:
    from edgemass import replay

    code = 0
    for name in names:
        told = replay.Told()
        replayed = replay.replay(recording, name, [told], end=False)
        difference = replay.compare(recording, name, told.lines, whole=replayed.whole)
        if difference is None:
            rest = "" if replayed.whole else "; the recording is cut off there"
            print(
                f"{name}: {replayed.frames} frames, {len(told.lines)} documents, all as they were told{rest}",
                file=sys.stderr,
            )
            continue
        code = 1
        print(
            f"{name}: document {difference.line} differs\n  then: {difference.recorded or 'no more'}\n"
            f"  now:  {difference.replayed or 'no more'}",
            file=sys.stderr,
        )
    return code


def _tell(options: argparse.Namespace, names: list[str], others: dict[str, config.CameraConfig]) -> int:
    from edgemass import bundles, replay, sinks
    from edgemass.clock import SystemClock
    from edgemass.counters import Counters
    from edgemass.messages import ModelRef
    from edgemass.pipeline.line import LoadedModel

    model = None
    if options.model:
        bundle = bundles.resolve(options.model)
        detector, variant = bundles.open_detector(bundle)
        reference = ModelRef(bundle.manifest.name, bundle.manifest.version, bundle.digest, variant.name)
        model = LoadedModel(detector, reference)
    sink = sinks.open(options.sink, sinks.SinkContext(config.device_id(), SystemClock(), Counters()))
    try:
        for name in names:
            replayed = replay.replay(options.recording, name, [sink], config=others.get(name), model=model)
            if not replayed.whole:
                print(
                    f"{name}: the recording is cut off after {replayed.frames} frames; what went on is ended there",
                    file=sys.stderr,
                )
    finally:
        sink.close(5.0)
        if model is not None:
            model.detector.backend.close()
    return 0
