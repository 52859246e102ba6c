"""`edgemass run`: cameras in, documents out, until a signal or the end of the files."""

from __future__ import annotations

import argparse
import faulthandler
import os
import re
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edgemass import config, sdnotify
from edgemass.cli import signals, state
from edgemass.config import CameraConfig, Config, credentials
from edgemass.config.http import LOOPBACK, PORT, HttpConfig, address
from edgemass.config.scene import EventsConfig
from edgemass.errors import UsageError

if TYPE_CHECKING:
    from edgemass.agent import Agent

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)=(?P<source>.+)", re.DOTALL)

ROOT_VARIABLE = "EDGEMASS_ROOT"
"""What /proc and /sys are read under, where that is not /: in a container that has the host's mounted elsewhere."""

EPILOG = """\
SOURCE: 0, /dev/video0, rtsp://user@host/path, http://host/mjpeg, csi://0,
        'gst:PIPELINE', clip.mp4, folder/ or a glob of pictures, synthetic:,
        demo:, text:FILE or text:- for a model that reads texts, a text a line
MODEL:  a name of `edgemass model list`, a bundle folder, a bare .onnx or
        .tflite, demo:
URI:    console: (default), jsonl:- , jsonl:PATH, mqtt://host, mqtts://host,
        snapshots:DIR, serial:///dev/ttyUSB0?baud=115200 for a microcontroller

example: edgemass run --camera demo: --sink jsonl:- --frames 3
example: edgemass run --camera demo:live --http
"""

AFTER_DEMO = """
That was the demo. Go on with
  edgemass run --camera 0                                           your own camera
  edgemass run --camera 0 --model yolov8n.onnx                      your own model, as it was exported
  edgemass run --camera 0 --mqtt mqtt://broker                      for other programs to read
  edgemass run --help                                               everything else"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("run", help="detect in the frames of cameras and publish what is found", epilog=EPILOG)
    add = parser.add_argument
    add(
        "--camera",
        action="append",
        default=[],
        metavar="[NAME=]SOURCE",
        help="a camera, file or folder; may be repeated",
    )
    add("--model", metavar="MODEL", help="the model to run (default: the configuration's, else edgemass-person)")
    add("--mqtt", metavar="URL", help="publish to this broker; the same as --sink URL")
    add("--sink", action="append", default=[], metavar="URI", help="where documents go; may be repeated")
    add(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"TOML configuration, to which the other options add (default without --camera: {config.SYSTEM})",
    )
    add("--score", type=float, metavar="S", help="only what is found with a score above S (default: the model's own)")
    add("--max-fps", type=float, metavar="F", help="frames a second offered to the detector, per camera")
    add(
        "--events",
        action=argparse.BooleanOptionalAction,
        help="follow objects and tell when they come and go (default: with a broker, a zone, a line or a rule)",
    )
    add("--frames", type=int, metavar="N", help="end after N frames of each camera")
    add(
        "--backend",
        action="append",
        metavar="B",
        help="what to run on, best first: onnx:tensorrt,cuda, tflite:edgetpu, tflite:/delegate.so?option=value; "
        "the CPU takes over from what fails; may be repeated (default: as `edgemass profile show` says)",
    )
    add("--threads", type=int, metavar="T", help="threads of the runtime (default: cores minus one for decoding)")
    add("--variant", metavar="NAME", help="run this variant of the model and no other, see `edgemass model inspect`")
    add("--profile", metavar="NAME", help="of `edgemass profile list`, instead of what this board is recognised as")
    add("--no-tune", action="store_true", help="do not measure in the background what else would run faster here")
    add(
        "--state",
        metavar="DIR",
        help="run what was activated there (default: EDGEMASS_STATE, else for root /var/lib/edgemass and for others "
        "~/.local/state/edgemass, where it is in use)",
    )
    add("--record", type=Path, metavar="DIR", help="take down what is detected, for `edgemass replay`")
    add("--record-frames", action="store_true", help="with --record: the frames too, without loss")
    add(
        "--http",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help=f"serve the device page there (default: {LOOPBACK}:{PORT}); for others than this machine with a token",
    )
    add("--strict", action="store_true", help="refuse to run on anything else than the first --backend")
    add("--realtime", action="store_true", help="play files at their own speed, dropping frames as a camera would")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    wanted = _config(options)
    from edgemass.agent import Agent  # after what may be wrong: an error need not wait for OpenCV

    stop = threading.Event()
    manager = _service_manager()
    agent = Agent(wanted, reread=lambda: _config(options), restartable=bool(manager.address), notifier=manager)
    _answer_signals(stop, agent, reloadable=bool(wanted.file) and not sys.stderr.isatty())
    code = agent.run(stop)
    if code == 0 and any(camera.source.startswith("demo:") for camera in wanted.cameras.values()):
        print(AFTER_DEMO, file=sys.stderr)
    return code


def _service_manager() -> sdnotify.Notifier:
    """Who watches over this process and is told how it is; its children have nothing to tell."""
    notifier = sdnotify.from_environment(os.environ, os.getpid())
    for name in (sdnotify.NOTIFY_SOCKET, sdnotify.WATCHDOG_USEC, sdnotify.WATCHDOG_PID):
        os.environ.pop(name, None)
    if notifier.watchdog_s is not None and sys.stderr is not None:
        faulthandler.enable()  # whoever is killed by the watchdog tells where every thread was
    return notifier


def _answer_signals(stop: threading.Event, agent: Agent, *, reloadable: bool) -> None:
    """The first SIGINT or SIGTERM asks to end, the second one ends at once; so does the first while a model loads.

    reloadable: SIGHUP reads the configuration again; else the terminal is gone, and so is who started it.
    """

    def on_signal(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            return
        signal.signal(number, signal.SIG_DFL)
        if agent.loading:  # which may take minutes and leaves nothing behind
            raise KeyboardInterrupt

    answers = {signal.SIGINT: stop.set, signal.SIGTERM: stop.set}
    signals.answer({**answers, signal.SIGHUP: agent.reload} if reloadable else answers, on_signal)


def _config(options: argparse.Namespace) -> Config:
    """The file's configuration with the command line's laid over it.

    Raises:
        UsageError: no camera, or a value out of range.
        ConfigError: the file is bad.
    """
    _check_ranges(options)
    if options.record_frames and not options.record:
        raise UsageError("--record-frames needs --record DIR")
    file = options.config or (config.SYSTEM if not options.camera and config.SYSTEM.is_file() else None)
    base = config.load(file) if file else Config(cameras={})
    over = {
        "max_fps": options.max_fps,
        "score": options.score,
        "realtime": options.realtime or None,
        "events": options.events,
    }
    given = {key: value for key, value in over.items() if value is not None}
    tables = {name: _as_table(camera) for name, camera in base.cameras.items()}
    tables |= {name: {"source": source} for name, source in _cameras(options.camera, taken=tables).items()}
    if not tables:
        raise UsageError(
            "no camera: give --camera 0, --camera rtsp://..., --camera clip.mp4, --camera demo: or --config FILE "
            f"(default: {config.SYSTEM})"
        )
    cameras = {
        name: config.convert({**table, **_over(table, given)}, CameraConfig, f"camera {name}")
        for name, table in tables.items()
    }
    given_by = os.environ.get(credentials.VARIABLE)
    secrets = Path(given_by) if given_by else None
    cameras = {
        name: msgspec.structs.replace(camera, source=credentials.resolve(camera.source, secrets))
        for name, camera in cameras.items()
    }
    sinks = (*base.sinks, *options.sink, *([options.mqtt] if options.mqtt else []))
    sinks = tuple(credentials.resolve(sink, secrets) for sink in sinks)
    return msgspec.structs.replace(
        base,
        cameras=cameras,
        model=options.model or base.model,
        device=base.device or config.device_id(),
        sinks=sinks or ("console:",),
        backend=tuple(options.backend) if options.backend else base.backend,
        threads=options.threads or base.threads,
        strict=options.strict or base.strict,
        variant=options.variant or base.variant,
        profile=options.profile or base.profile,
        tune=base.tune and not options.no_tune,
        frames=options.frames or base.frames,
        state=state.asked(options.state, base.state),
        root=os.environ.get(ROOT_VARIABLE) or base.root,
        http=_http(options.http, base.http),
        runtime=str(state.runtime(state.asked(options.state, base.state))),
        record=config.Record(options.record, options.record_frames) if options.record else None,
    )


def _http(listen: str | None, base: HttpConfig | None) -> HttpConfig | None:
    """The table with the address of the command line. listen: "" leaves it as it is, None asks for no page.

    Raises:
        UsageError: it is no address.
    """
    if listen is None:
        return base
    wanted = base or HttpConfig()
    if not listen:
        return wanted
    try:
        address(listen)
    except ValueError as error:
        raise UsageError(str(error).replace("listen", "--http", 1)) from error
    return msgspec.structs.replace(wanted, listen=listen)


def _over(table: Mapping[str, object], given: Mapping[str, object]) -> Mapping[str, object]:
    """What the command line lays over a camera's table: --events takes nothing away from a table of events."""
    if given.get("events") is True and isinstance(table.get("events"), EventsConfig):
        return {key: value for key, value in given.items() if key != "events"}
    return given


def _as_table(camera: CameraConfig) -> dict[str, object]:
    return {field: getattr(camera, field) for field in camera.__struct_fields__}


def _check_ranges(options: argparse.Namespace) -> None:
    for name, value in (("--frames", options.frames), ("--max-fps", options.max_fps), ("--threads", options.threads)):
        if value is not None and value <= 0:
            raise UsageError(f"{name} must be above 0, found {value}")
    if options.mqtt and not options.mqtt.startswith(("mqtt://", "mqtts://")):
        raise UsageError(f"--mqtt must be mqtt://HOST or mqtts://HOST, found {options.mqtt!r}")
    if options.score is not None and not 0 <= options.score <= 1:
        raise UsageError(f"--score must lie between 0 and 1, found {options.score}")


def _cameras(arguments: list[str], *, taken: Collection[str]) -> dict[str, str]:
    """Sources by name; cameras without one are cam0, cam1, ..., with those left out that are taken."""
    cameras: dict[str, str] = {}
    for index, argument in enumerate(arguments, start=len(taken)):
        is_file = os.path.exists(argument)  # noqa: PTH110 (Path.exists raises where a folder may not be searched)
        named = None if is_file else _NAMED.fullmatch(argument)
        name = named["name"] if named else _free_name(index, {*taken, *cameras})
        if name in cameras:
            raise UsageError(f"two cameras are named {name!r}; give each its own NAME=SOURCE")
        if not config.is_name(name):
            raise UsageError(f"camera name {name!r} {config.NAME_WANTED}")
        cameras[name] = named["source"] if named else argument
    return cameras


def _free_name(index: int, taken: Collection[str]) -> str:
    while f"cam{index}" in taken:
        index += 1
    return f"cam{index}"
