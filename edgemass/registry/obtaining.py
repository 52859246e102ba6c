"""One update from order to files, in a child process that can be killed: whoever answers there may be hostile.

The child verifies the order, looks the release up in the trust metadata, and fetches into the store's `incoming`. What
it says is taken for what the store can check again: digests.
"""

from __future__ import annotations

import base64
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

import msgspec

from edgemass import errors
from edgemass.errors import EdgemassError, RegistryUnavailableError
from edgemass.messages import Phase

_PROGRAM = "import sys; sys.path[:] = sys.argv[1:]; from edgemass.registry._obtain_child import main; main()"
_LOOK_S = 0.2
_END_S = 2.0
_MAX_ANSWER_BYTES = 16 * 1024 * 1024


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """All that the child needs to know.

    envelope: the fleet's order as it came, Base64; or name and digest: what a person asks for; digest "" = the newest.
    device, slot, sequence: whom the order must be for, and the newest that was followed.
    registry: address. metadata: where the trust metadata is; "" = in the registry. root: file of the embedded root;
        "" = nothing is signed, and only digests are checked. trust: folder of what is remembered of the metadata.
    blobs, incoming: folders of the store: what is here, and where what is fetched goes.
    hardware: words that this board answers to. release: of the confirmed model, -1 = none.
    files_for: runtimes that this board has. variant: only this one. transport: as JSON. deadline_s: for everything.
    """

    device: str
    slot: str
    sequence: int
    registry: str
    metadata: str
    root: str
    trust: str
    blobs: str
    incoming: str
    transport: str
    deadline_s: float
    envelope: str = ""
    name: str = ""
    digest: str = ""
    hardware: tuple[str, ...] = ()
    release: int = -1
    files_for: tuple[str, ...] = ()
    variant: str = ""


class Obtained(msgspec.Struct, frozen=True):
    """What is to run, and where its files lie: digest -> path in `incoming`. manifest: OCI's, Base64.
    sequence: of the order.
    """

    name: str
    digest: str
    manifest: str
    files: dict[str, str]
    wire_bytes: int
    sequence: int = 0

    def manifest_bytes(self) -> bytes:
        return base64.b64decode(self.manifest)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of what the child says. done, total: bytes. error: class and message."""

    done: int = 0
    total: int = 0
    phase: Phase = "verifying"
    obtained: Obtained | None = None
    error: tuple[str, str] | None = None


def obtain(order: Order, *, progress: Callable[[Phase, int, int], None], cancelled: threading.Event) -> Obtained:
    """Verify and fetch; see the module.

    progress: called with ("verifying" | "fetching", bytes done, bytes in all).

    Raises:
        TrustError, RegistryError, RegistryUnavailableError, BundleError, NoRoomError, ...: as the child found.
    """
    with tempfile.TemporaryFile() as told:
        told.write(msgspec.json.encode(order))
        told.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM, *map(os.path.abspath, sys.path)],
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the parent's to answer
        )
    try:
        return _listen(process, order, progress, cancelled)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _listen(
    process: subprocess.Popen[bytes],
    order: Order,
    progress: Callable[[Phase, int, int], None],
    cancelled: threading.Event,
) -> Obtained:
    ends = time.monotonic() + order.deadline_s
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    pending, read = b"", 0
    while True:
        if cancelled.is_set():
            raise RegistryUnavailableError("the update was cancelled")
        if time.monotonic() >= ends:
            raise RegistryUnavailableError(
                f"the model did not come within {order.deadline_s:g} s (updates.deadline_s); what came is kept"
            )
        if not select.select([descriptor], [], [], _LOOK_S)[0]:
            continue
        chunk = os.read(descriptor, 65536)
        read += len(chunk)
        if not chunk or read > _MAX_ANSWER_BYTES or len(pending) > _MAX_ANSWER_BYTES:
            raise _died(process)
        *lines, pending = (pending + chunk).split(b"\n")
        for text in lines:
            line = msgspec.json.decode(text, type=Line)
            if line.obtained is not None:
                return line.obtained
            if line.error is not None:
                raise _error(*line.error)
            progress(line.phase, line.done, line.total)


def _died(process: subprocess.Popen[bytes]) -> EdgemassError:
    try:
        code = process.wait(_END_S)
    except subprocess.TimeoutExpired:  # it has closed its output, or says too much
        process.kill()
        code = process.wait()
    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return RegistryUnavailableError(f"the process that verifies and fetches ended unexpectedly ({how})")


def _error(kind: str, message: str) -> EdgemassError:
    """The child's error again; its class is one of ours, or a plain one."""
    found = getattr(errors, kind, None)
    if not (isinstance(found, type) and issubclass(found, EdgemassError)):
        return EdgemassError(message)
    error = found.__new__(found)  # some are made of facts that the message tells already
    Exception.__init__(error, message)
    return error
