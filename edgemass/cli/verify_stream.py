"""`edgemass verify-stream`: has all come that the device accounts for?"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import EdgemassError, UsageError

if TYPE_CHECKING:
    from edgemass.spool.stream import RunVerdict, Stream, Verdict

EPILOG = """\
Listens to the events and accounts of devices and checks them against each other: gaps in `seq`, documents that came
twice without being flagged, order, and that every account closes (produced = delivered + queued + dropped). A run that
it hears from its first event on is checked exactly, another from the first event on that it hears. Ends after --for
seconds or with Ctrl-C; exit code 1 where something is missing, is still queued, or has no account yet.
Instead of a broker: a file of the documents, one JSON object a line, in the order in which they came; - reads stdin.

example: edgemass verify-stream mqtt://broker --device pi-7f3a --for 600
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser("verify-stream", help="check that no event was lost or doubled unsaid", epilog=EPILOG)
    parser.add_argument("source", metavar="URL", help="mqtt://[user@]host[:port], mqtts://..., a file, or -")
    parser.add_argument(
        "--device",
        metavar="D",
        action="append",
        default=[],
        help="this device only (default: all that the broker shows); again for its earlier name, if it was renamed",
    )
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="end after so long (default: Ctrl-C)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    import msgspec

    from edgemass.spool.stream import Stream

    if options.seconds is not None and not 0 < options.seconds < threading.TIMEOUT_MAX:
        raise UsageError(f"--for must be above 0, found {options.seconds}")
    stream = Stream(options.device)
    lost = 0
    if options.source.startswith(("mqtt://", "mqtts://")):
        lost = _listen(options, stream)
    else:
        _read(options, stream)
    verdict = stream.verdict()
    if options.json:
        print(msgspec.json.encode({**msgspec.to_builtins(verdict), "connections_lost": lost}).decode())
    else:
        _print(verdict, lost)
    return 0 if verdict.ok else 1


def _listen(options: argparse.Namespace, stream: Stream) -> int:
    """Take in what a broker sends, until the time is over; how often the connection was lost."""
    import uuid

    from edgemass.mqtt import Message, MqttConnection, parse
    from edgemass.sinks.mqtt import PREFIX, topic_level

    address = parse(options.source)
    connection = MqttConnection(address.with_client_id(f"edgemass-verify-{uuid.uuid4().hex[:12]}"))
    devices = [topic_level(name) for name in options.device] or ["+"]
    connected: list[None] = []
    over = threading.Event()

    def take(message: Message) -> None:
        stream.take(message.payload, retained=message.retain)

    connection.on_connected(lambda: connected.append(None))
    for leaf in ("camera/+/events", "account/+"):
        for device in devices:
            connection.subscribe(f"{PREFIX}/{device}/{leaf}", take)
    connection.start()
    try:
        over.wait(options.seconds)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        trouble = connection.trouble
        connection.close(0)
    if not connected:
        raise EdgemassError(f"nothing was heard: {trouble or f'cannot connect to {address.where}'}")
    return len(connected) - 1


def _read(options: argparse.Namespace, stream: Stream) -> None:
    path = Path(options.source)
    if options.source != "-" and not path.exists():
        raise UsageError(
            f"cannot read {options.source!r}: there is no such file; wanted mqtt://HOST, mqtts://HOST, a file or -"
        )
    with sys.stdin.buffer if options.source == "-" else path.open("rb") as lines:
        for line in lines:
            if line.strip():
                stream.take(line)


def _print(verdict: Verdict, lost: int) -> None:
    if lost:
        print(f"this subscriber itself lost its broker {lost} times; what came in between is missing here")
    if verdict.unreadable:
        print(f"{verdict.unreadable} documents cannot be read")
    for run in verdict.runs:
        print(f"{run.device} run {run.run_id[:12]}: {'ok' if not run.problems else 'NOT OK'}, {_told(run)}")
        for problem in run.problems:
            print(f"  {problem}")
    if not verdict.runs:
        print("no events and no accounts came")


def _told(run: RunVerdict) -> str:
    dropped = ", ".join(f"{count} dropped ({reason})" for reason, count in sorted(run.dropped.items()))
    account = {"final": "account is final", "open": "account is open", "none": "no account"}[run.state]
    parts = [f"{run.received} came", f"{run.produced} produced", f"{run.delivered} delivered", dropped]
    parts += [f"{run.replayed} replayed" if run.replayed else ""]
    parts += [f"{run.duplicates_flagged} came again, flagged" if run.duplicates_flagged else "", account]
    return ", ".join(part for part in parts if part)
