"""Does what rules ask for, in a thread of its own: messages, serial lines, commands, pictures."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgemass import durable
from edgemass.config.rules import RuleConfig, SerialAction
from edgemass.counters import Counters
from edgemass.errors import EdgemassError
from edgemass.pipeline.album import Picture
from edgemass.redact import redact
from edgemass.sinks import Channel

logger = logging.getLogger(__name__)

MOST_WAITING = 100
COMMAND_S = 10.0
SERIAL_S = 5.0
MOST_PICTURES = 1000
"""In a rule's folder: of those that rules wrote, the oldest go first."""
_NOISE = 500
_CHUNK = 65536
_LOOK_S = 0.02
_STOP_S = 1.0
_UNFIT = re.compile(r"[^A-Za-z0-9_.-]")
_OURS = re.compile(r"\d{8}T\d{9}Z-[A-Za-z0-9_.-]+\.jpg")


class ActionError(EdgemassError):
    """An action of a rule could not be done."""


@dataclass(frozen=True, slots=True)
class Order:
    """One rule that fired. fields: for its texts. picture: of the moment, where the rule wants one."""

    rule: RuleConfig
    fields: Mapping[str, str]
    picture: Picture | None


class Actions:
    """counters: done, failed, dropped (so many were waiting that there was no room)."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self.counters = Counters()
        self._channels = channels
        self._queue: queue.Queue[Order | None] = queue.Queue(MOST_WAITING)
        self._failing: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="actions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def order(self, order: Order) -> None:
        """Queue it; never waits."""
        try:
            self._queue.put_nowait(order)
        except queue.Full:
            self.counters.add("dropped")
            if self.counters["dropped"] == 1:
                logger.warning("more than %d actions of rules wait; the newest are dropped", MOST_WAITING)

    def close(self, timeout_s: float) -> None:
        """Do what is waiting, at most for so long; a command that goes on is ended."""
        ends = time.monotonic() + timeout_s
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=timeout_s)
        if self._thread.ident is not None:
            self._thread.join(max(0.0, ends - time.monotonic()))
            self._stop.set()
            self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            order = self._queue.get()
            if order is None:
                return
            self._do(order)

    def _do(self, order: Order) -> None:
        rule, name = order.rule, f"{order.fields['camera']}: {order.fields['rule']}"
        steps: list[tuple[str, Callable[[], None]]] = []
        if rule.mqtt is not None:
            steps.append(("mqtt", lambda: self._publish(order)))
        if rule.serial is not None:
            line = rule.serial
            steps.append(("serial", lambda: _write_serial(line, _filled(line.line, order.fields))))
        if rule.command:
            command = [_filled(text, order.fields) for text in rule.command]
            steps.append(("command", lambda: _run_command(command, order.fields, self._stop)))
        if rule.snapshot:
            folder = Path(rule.snapshot)
            steps.append(("snapshot", lambda: _keep_picture(folder, order)))
        for what, do in steps:
            self._step(f"{name}: {what}", do)

    def _step(self, name: str, do: Callable[[], None]) -> None:
        """One action; trouble is said when it begins and when it ends, and keeps no other from being done."""
        try:
            do()
        except ActionError as error:
            self.counters.add("failed")
            if name not in self._failing:
                self._failing.add(name)
                logger.warning("rule %s failed: %s", name, redact(str(error)))
            return
        except Exception:  # a thread's outermost line
            self.counters.add("failed")
            logger.exception("rule %s failed", name)
            return
        self.counters.add("done")
        if name in self._failing:
            self._failing.discard(name)
            logger.info("rule %s works again", name)

    def _publish(self, order: Order) -> None:
        message = order.rule.mqtt
        assert message is not None
        if not self._channels:
            raise ActionError("there is no broker among the sinks; give --mqtt mqtt://host")
        for channel in self._channels:
            payload = _filled(message.payload, order.fields).encode()
            channel.send(message.topic, payload, qos=message.qos, retain=message.retain)


def _filled(text: str, fields: Mapping[str, str]) -> str:
    """The text with {name} replaced by each field; nothing else in braces is touched."""
    return re.sub(r"\{([a-z_]+)\}", lambda match: fields.get(match[1], match[0]), text)


def _write_serial(action: SerialAction, line: str) -> None:
    import serial  # noqa: PLC0415 (only where a rule asks for it)

    ends = time.monotonic() + SERIAL_S
    try:
        with serial.serial_for_url(action.port, action.baud, timeout=SERIAL_S, write_timeout=SERIAL_S) as port:
            port.write(line.encode() + b"\n")
            while port.out_waiting and time.monotonic() < ends:  # flush() would wait for ever
                time.sleep(_LOOK_S)
    except (serial.SerialException, OSError, ValueError, AttributeError) as error:
        raise ActionError(f"cannot write to {action.port}: {error}") from error


def _run_command(command: Sequence[str], fields: Mapping[str, str], stop: threading.Event) -> None:
    """Start a program without a shell and wait for its end; what takes longer than COMMAND_S is ended, children too.

    stop: ends it early.
    """
    environment = {**os.environ, **{f"EDGEMASS_RULE_{name.upper()}": value for name, value in fields.items()}}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ActionError(f"cannot start {command[0]}: {error}") from error
    assert process.stderr is not None
    with process.stderr as pipe:
        noise, ended = _listen(process, pipe, stop)
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel holds it
            process.wait(_STOP_S)
        why = "edgemass ends" if stop.is_set() else f"it did not end within {COMMAND_S:g} s"
        raise ActionError(f"{command[0]} was ended: {why}")
    if process.returncode:
        said = noise.decode(errors="replace").strip() or "it said nothing"
        raise ActionError(f"{command[0]} ended with {process.returncode}: {said}")


def _listen(process: subprocess.Popen[bytes], pipe: IO[bytes], stop: threading.Event) -> tuple[bytes, bool]:
    """The last that a program said, and whether it has ended in time. What it has started may keep the pipe open."""
    os.set_blocking(pipe.fileno(), False)
    ends = time.monotonic() + COMMAND_S
    noise = b""
    while not stop.is_set() and time.monotonic() < ends:
        ended = process.poll() is not None
        with contextlib.suppress(BlockingIOError):
            noise = (noise + os.read(pipe.fileno(), _CHUNK))[-_NOISE:]
        if ended:
            return noise, True
        stop.wait(_LOOK_S)
    return noise, False


def _keep_picture(folder: Path, order: Order) -> None:
    if order.picture is None:
        raise ActionError("there is no picture of it")
    taken = re.sub("[-:.]", "", order.fields["time"])
    name = _UNFIT.sub("_", f"{taken}-{order.fields['event'] or order.fields['camera']}-{order.fields['rule']}.jpg")
    try:
        durable.make_folder(folder)
        durable.write_bytes(folder / name, order.picture.jpeg, mode=0o640)
        ours = sorted(path for path in folder.iterdir() if _OURS.fullmatch(path.name))
        for path in ours[:-MOST_PICTURES]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ActionError(f"cannot write {folder / name}: {error.strerror}") from error
