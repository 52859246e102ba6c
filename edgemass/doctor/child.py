"""Calls one function in a child process, with a deadline: a crash, a hang or an exception of it is an answer too."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from edgemass.errors import EdgemassError

_KILLED_S = 2.0  # a process in an uninterruptible call of a driver outlives even SIGKILL: it is left behind
_GRACE_S = 5  # after its deadline the child ends itself, should the parent be gone
_SAID_BYTES = 16_384

# -I keeps the working directory and PYTHON* variables out; the import path is handed over, so that the child finds the
# same packages as this process. The order comes on standard input: an address may hold a password, and arguments of a
# process can be read by everybody.
_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from edgemass.doctor.child import main; main()"


@dataclass(frozen=True)
class Answer:
    """value: what the function returned, as JSON has it. failure: why it returned nothing, "" where it did.

    missing: the name of the module that is not installed, where that is the failure. late: the deadline passed.
    said: what native code wrote meanwhile, its end.
    """

    value: Any = None
    failure: str = ""
    missing: str = ""
    late: bool = False
    said: str = ""


class _Order(msgspec.Struct, frozen=True):
    target: str
    argument: dict[str, Any]
    deadline_s: float


class _Reply(msgspec.Struct, frozen=True):
    value: Any = None
    failure: str = ""
    missing: str = ""


_running: set[subprocess.Popen[bytes]] = set()
_ending = threading.Event()


@atexit.register
def end_all() -> None:
    """Kill every child, and start none any more: checks are threads that simply stop, and would leave them behind."""
    _ending.set()
    for process in tuple(_running):
        process.kill()


def ask(target: str, argument: Mapping[str, object], deadline_s: float) -> Answer:
    """Call `module:function` with keyword arguments that JSON can hold."""
    order = msgspec.json.encode(_Order(target, dict(argument), deadline_s))
    command = [sys.executable, "-I", "-c", _PROGRAM, *map(os.path.abspath, sys.path)]
    with contextlib.ExitStack() as stack:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            return Answer(failure=f"{sys.executable} cannot be started: {error.strerror}")
        stack.callback(_end, process)
        _running.add(process)
        stack.callback(_running.discard, process)
        if _ending.is_set():
            return Answer(failure="the doctor is ending")
        try:
            reply, said = process.communicate(order, timeout=deadline_s)
        except subprocess.TimeoutExpired as error:
            return Answer(failure=f"no answer within {deadline_s:.0f} s", late=True, said=_tail(error.stderr or b""))
    return _read(reply, process.returncode, _tail(said))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs, and let go of it whether it dies or not."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILLED_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _read(reply: bytes, code: int, said: str) -> Answer:
    if code < 0:
        return Answer(failure=f"it crashed ({signal.Signals(-code).name})", said=said)
    try:
        read = msgspec.json.decode(reply, type=_Reply)
    except msgspec.DecodeError:
        last = said.splitlines()[-1:] or ["it said nothing"]
        return Answer(failure=f"it ended with code {code}: {last[0]}", said=said)
    return Answer(read.value, read.failure, read.missing, said=said)


def _tail(said: bytes) -> str:
    return said[-_SAID_BYTES:].decode("utf-8", "replace").strip()


def main() -> None:
    """The child: read the order, answer, end without the runtimes' own farewells, some of which crash."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not get into the answer
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=_Order)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(order.deadline_s) + _GRACE_S)
    with os.fdopen(answer, "wb") as pipe:
        pipe.write(msgspec.json.encode(_call(order)))
    os._exit(0)


def _call(order: _Order) -> _Reply:
    module, _, function = order.target.partition(":")
    try:
        return _Reply(value=getattr(importlib.import_module(module), function)(**order.argument))
    except EdgemassError as error:
        return _Reply(failure=str(error))
    except ModuleNotFoundError as error:
        return _Reply(failure=str(error), missing=error.name or "?")
    except Exception as error:  # noqa: BLE001 (the process's outermost line: whatever it is, it is the answer)
        return _Reply(failure=f"{type(error).__name__}: {error}")
