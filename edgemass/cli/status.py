"""`edgemass status`: how the daemon on this machine is, as it said last."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.cli import state
from edgemass.errors import EdgemassError

if TYPE_CHECKING:
    from edgemass.messages.health import CameraHealth, HealthMessage, OutputHealth, Percentiles, System

EPILOG = """\
The exit code is 0 while all is well, 1 where there are problems, or no daemon runs.

example: edgemass status --json
"""
START = (
    "start it with `edgemass run --config FILE`, or `sudo systemctl start edgemass` where the service is installed; "
    "--state names the state folder of one that has its own. One whose disk is read-only keeps no status: see its log"
)


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "status", help="show how the daemon on this machine is: board, cameras, model, outputs, problems", epilog=EPILOG
    )
    parser.add_argument("--json", action="store_true", help="print the document edgemass.health/1")
    state.add_options(parser, slot=False)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    from edgemass.clock import boot_id
    from edgemass.health.judging import is_old
    from edgemass.messages import to_json

    message, running = find(state.runtimes(state.asked(options.state)))
    if message is None:
        raise EdgemassError(
            "the daemon has not said how it is yet; ask again" if running else f"no daemon runs; {START}"
        )
    age_s = (time.monotonic_ns() - message.mono_ns) / 1e9 if message.boot_id == boot_id() else None
    trouble = ""
    if not running:
        trouble = f"no daemon runs, it ended without a word; {START}"
    elif age_s is None or is_old(message, age_s):
        trouble = "the daemon runs, and has not said how it is for too long: it may hang; see its log"
    since = "before this machine was started" if age_s is None else f"{duration(age_s)} ago"
    print(to_json(message).decode() if options.json else "\n".join(told(message, since)))
    if trouble:
        raise EdgemassError(trouble)
    return 1 if message.problems else 0


def find(folders: Sequence[Path]) -> tuple[HealthMessage | None, bool]:
    """The newest word of a daemon, of one that runs first; and whether it runs.

    Raises:
        EdgemassError: the file cannot be read.
    """
    from edgemass.agent.status_file import STATUS, held

    running = [folder for folder in folders if held(folder)]
    for folder in (*running, *folders):
        path = folder / STATUS
        try:
            document = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise EdgemassError(f"{path}: {error.strerror}; ask as the user whom the daemon runs as") from error
        return decode(path, document), folder in running
    return None, bool(running)


def decode(path: Path, document: bytes) -> HealthMessage:
    """Raises EdgemassError where that is no health document."""
    import msgspec

    from edgemass.messages.health import HealthMessage

    try:
        return msgspec.json.decode(document, type=HealthMessage)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EdgemassError(
            f"{path} is no status of edgemass: {error}; take it away, a running daemon writes it anew"
        ) from error


def told(message: HealthMessage, since: str) -> Iterator[str]:
    """Lines for people."""
    yield f"{message.device}  edgemass {message.version}, up {duration(message.uptime_s)}, as of {since}"
    profile = f" ({message.board.profile})" if message.board.profile else ""
    yield row("board", ", ".join([f"{message.board.model or 'unknown'}{profile}", *of_system(message.system)]))
    for name, camera in message.cameras.items():
        yield row(f"camera {name}", of_camera(camera))
    for slot, model in message.models.items():
        yield row(f"model {slot}", f"{model.name} {model.version} {model.digest[:19]} {model.variant}")
        yield row("", f"on {model.backend}, {of_times(model.infer_ms)}")
    for name, output in message.outputs.items():
        yield row(f"output {name}", of_output(output))
    for name, queue in message.queues.items():
        waiting = f", the oldest for {duration(queue.oldest_s)}" if queue.oldest_s is not None else ""
        yield row(f"queue {name}", f"{queue.messages} events{waiting}")
    if message.governor is not None and message.governor.level:
        yield row("held back", f"to {message.governor.fps_ratio:.0%}: {message.governor.reason}")
    for index, problem in enumerate(message.problems):
        yield row("" if index else "problems", problem)
    if not message.problems:
        yield row("problems", "none" if message.ready else "none, but not every camera gives frames yet")


def row(title: str, text: str) -> str:
    return f"  {title:14}  {text}"


def of_system(system: System) -> Iterator[str]:
    from edgemass.health.problems import size

    if system.temperature is not None:
        yield f"{system.temperature.hottest_c:.0f} °C"
    if system.throttling is not None and system.throttling.undervoltage_before and not system.throttling.undervoltage:
        yield "undervoltage since it was switched on"
    if system.cpu is not None and system.cpu.used_ratio is not None:
        yield f"CPU {system.cpu.used_ratio:.0%} of {system.cpu.cores} cores"
    if system.memory is not None:
        yield f"{size(system.memory.rss_bytes)} taken, {size(system.memory.available_bytes)} of memory left"
    if system.disk is not None:
        yield f"{size(system.disk.free_bytes)} of disk left"
    if system.power is not None and system.power.watts is not None:
        yield f"{system.power.watts:.1f} W"


def of_camera(camera: CameraHealth) -> str:
    asked = f" of {camera.fps_asked:g}" if camera.fps_asked is not None else ""
    parts = [
        f"{camera.state}, {camera.fps_captured:.1f} frames/s captured, {camera.fps_processed:.1f}{asked} processed",
        f"latency {of_times(camera.total_ms)}",
    ]
    if camera.quality is not None:
        parts.append(f"connection {camera.quality}")
    return ", ".join(parts)


def of_times(times: Percentiles | None) -> str:
    return "no run yet" if times is None else f"{times.p50:.1f} ms (p95 {times.p95:.1f}, p99 {times.p99:.1f})"


def of_output(output: OutputHealth) -> str:
    link = {True: "connected, ", False: "not connected, ", None: ""}[output.connected]
    lost = output.counters.get("dropped", 0) + output.counters.get("failed", 0)
    return f"{link}{output.counters.get('published', 0)} documents{f', {lost} lost' if lost else ''}"


def duration(seconds: float) -> str:
    """For people: 42 s, 12 min, 3 h, 5 d."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
