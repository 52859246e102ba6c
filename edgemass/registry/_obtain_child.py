"""The child process that verifies and fetches one update; see `obtaining`.

Standard input: one `Order` as JSON. Standard output: `Line`s. What libraries print goes to standard error.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path

import msgspec

from edgemass import oci
from edgemass.clock import SystemClock
from edgemass.errors import BundleError, ConfigError, EdgemassError, TrustError
from edgemass.manifest import Manifest
from edgemass.messages import Phase
from edgemass.registry.fetching import fetch
from edgemass.registry.obtaining import Line, Obtained, Order
from edgemass.registry.opening import open_registry
from edgemass.registry.reference import Reference, mirror_of
from edgemass.registry.transport import Transport
from edgemass.registry.trust import Trust, check_release

MOST_MEMORY_BYTES = 1024**3
"""zstd takes the size of the model, the base and the window; metadata is small."""
PROGRESS_S = 0.5
_PR_SET_PDEATHSIG = 1  # prctl(2)


class _Voice:
    """Says lines to the parent; of the progress not every one."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._said = 0.0

    def say(self, line: Line) -> None:
        data = msgspec.json.encode(line) + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]

    def progress(self, phase: Phase, done: int, total: int) -> None:
        now = time.monotonic()
        if done in (0, total) or now - self._said >= PROGRESS_S:
            self._said = now
            self.say(Line(done, total, phase))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (oci.MAX_BLOB_BYTES, oci.MAX_BLOB_BYTES))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
    _die_with_parent()
    voice = _Voice()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    signal.alarm(int(order.deadline_s) + 5)  # ends this process even when nobody is left to do it
    try:
        voice.say(Line(obtained=_obtain(order, voice)))
    except EdgemassError as error:
        voice.say(Line(error=(type(error).__name__, str(error))))
    except MemoryError:
        voice.say(Line(error=(BundleError.__name__, "it needs more memory than an update may take")))
    except OSError as error:
        voice.say(Line(error=("StoreError", f"{error.filename or order.incoming}: {error.strerror}")))


def _die_with_parent() -> None:
    """Be killed when the daemon is: it would hold the files that the next one goes on with (Linux)."""
    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it was gone before


def _obtain(order: Order, voice: _Voice) -> Obtained:
    voice.progress("verifying", 0, 0)
    transport = msgspec.json.decode(order.transport, type=Transport)
    name, digest, sequence, floor_s = _verified(order, transport)
    transport = msgspec.structs.replace(transport, floor_s=floor_s)
    registry = open_registry(Reference.parse(order.registry), transport)
    try:
        fetched = fetch(
            registry,
            digest,
            choose=lambda manifest: wanted_files(manifest, name, order),
            have=partial(_have, Path(order.blobs)),
            incoming=Path(order.incoming),
            progress=lambda done, total: voice.progress("fetching", done, total),
        )
    finally:
        registry.close()
    return Obtained(
        name=name,
        digest=digest,
        manifest=base64.b64encode(fetched.manifest).decode(),
        files={blob: str(path) for blob, path in fetched.files.items()},
        wire_bytes=fetched.wire_bytes,
        sequence=sequence,
    )


def _verified(order: Order, transport: Transport) -> tuple[str, str, int, float]:
    """Name, digest and sequence of what is to be fetched, and a time that has passed for sure.

    Raises:
        TrustError: nobody who may has vouched for it, or it is not for this board.
        RegistryError, RegistryUnavailableError: the metadata cannot be had.
    """
    if not order.root:
        if order.envelope or not order.digest:
            raise TrustError("without a root of trust nothing can be verified; set updates.trust to 1.root.json")
        return order.name, order.digest, 0, 0.0
    try:
        root = Path(order.root).read_bytes()
    except OSError as error:
        raise ConfigError(f"updates.trust: cannot read {order.root}: {error.strerror}") from error
    trust = Trust(Path(order.trust), root, order.metadata or mirror_of(order.registry), transport, SystemClock())
    trust.refresh()
    name, digest, sequence = order.name, order.digest, 0
    if order.envelope:
        desired = trust.desired(
            base64.b64decode(order.envelope), device=order.device, slot=order.slot, last_sequence=order.sequence
        )
        name, digest, sequence = desired.name, desired.digest, desired.sequence
    release = trust.release(name, digest) if digest else trust.newest(name, order.hardware)
    check_release(release, hardware=order.hardware, confirmed_release=order.release)
    return name, release.digest, sequence, trust.floor_s


def _have(blobs: Path, digest: str) -> Path | None:
    """Content of the store, where it is there and sound."""
    path = blobs / digest.removeprefix("sha256:")
    return path if path.is_file() and not path.is_symlink() and oci.sha256_of(path) == digest else None


def wanted_files(manifest: Manifest, name: str, order: Order) -> Collection[str]:
    """What this board can use of a bundle: its variants for the runtimes that are here, and the golden pictures.

    Raises:
        BundleError: nothing of it.
    """
    if name and manifest.name != name:
        raise BundleError(f"the bundle is {manifest.name!r}, the order says {name!r}")
    variants = [item for item in manifest.variants if item.runtime in order.files_for]
    if order.variant:
        variants = [item for item in variants if item.name == order.variant]
    if not variants:
        here = ", ".join(order.files_for) or "none"
        there = ", ".join(f"{item.name} ({item.runtime})" for item in manifest.variants)
        raise BundleError(f"{manifest.name} has no variant for this board: it has {there}, runtimes here are {here}")
    return [*(item.file for item in variants), *(sample.image for sample in manifest.golden if sample.image)]
