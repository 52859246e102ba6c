"""Where documents go. A sink is one file with `open(uri, context) -> Sink` and a row in SINKS."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from edgemass.clock import Clock
from edgemass.config.delivery import DeliveryConfig
from edgemass.counters import Counters
from edgemass.errors import ConfigError, UsageError
from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage
from edgemass.messages.health import QueueHealth
from edgemass.redact import redact_address

SINKS = {  # URI scheme -> the module that opens it, imported when first asked for
    "console": "edgemass.sinks.console",
    "jsonl": "edgemass.sinks.jsonl",
    "mqtt": "edgemass.sinks.mqtt",
    "mqtts": "edgemass.sinks.mqtt",
    "serial": "edgemass.sinks.serial",
    "snapshots": "edgemass.sinks.snapshots",
}


@dataclass(frozen=True)
class SinkContext:
    """What a sink may need to know of its surroundings.

    counters: the sink's own; it adds "published", "dropped", ... to them.
    state: folder where what outlives the process may be kept, None = nowhere. delivery: how events wait.
    """

    device: str
    clock: Clock
    counters: Counters
    state: Path | None = None
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)


class Sink(Protocol):
    """One place for documents. Called from every camera's detect loop, so it must be thread-safe and must not wait on a
    network; what it cannot take it drops and counts.
    """

    name: str

    def publish(self, message: FrameMessage, frame: Frame) -> None:
        """Hand over one document and the frame that it speaks of.

        Raises:
            SinkError: this document is lost and the user must know; the frame loop goes on.
        """

    def event(self, event: EventMessage, picture: bytes | None) -> None:
        """Hand over an event. picture: JPEG of what it is about, where there is a better one than was sent before.

        Raises:
            SinkError: as `publish`.
        """

    def counts(self, counts: CountsMessage) -> None:
        """What is there now, and what crossed the lines so far, has changed.

        Raises:
            SinkError: as `publish`.
        """

    def camera_state(self, camera: str, state: CameraState) -> None:
        """A camera came, went, or was disabled."""

    def close(self, timeout_s: float) -> None:
        """Send what is still owed, at most for `timeout_s`, and free everything."""


@runtime_checkable
class Channel(Protocol):
    """What a sink offers beside, where it leads to somebody who manages the device."""

    def retain(self, leaf: str, document: bytes) -> None:
        """Publish a state of the device under this name, and anew wherever it may have been forgotten."""

    def clear(self, *levels: str) -> None:
        """Take back what was retained under this name, by this run or an earlier one; each a name of its own."""

    def show(self, *levels: str, jpeg: bytes) -> None:
        """Publish a picture under this name, each a name of its own, and keep it there until the next one."""

    def vacate(self, device: str, shown: str, done: Callable[[], None]) -> None:
        """Take back all that the device left under this earlier name of its own, unless another one has that name now.

        shown: somebody else's name under which it was announced then.
        done: called once, from any thread, when there is nothing left to do; perhaps never, while nobody is reached.
        """

    def announce(self, topic: str, document: bytes) -> None:
        """As `retain`, under a name of somebody else's; an empty document takes it back."""

    def hear(self, topic: str, callback: Callable[[bytes], None]) -> None:
        """As `listen`, under a name of somebody else's."""

    def repeat(self) -> None:
        """Publish every state anew: somebody begins to listen who has missed them."""

    def send(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish what a person asked for, under any name."""

    def listen(self, leaf: str, callback: Callable[[bytes], None]) -> None:
        """Call back, in a thread of the sink's, with what is sent to the device under this name."""


@dataclass(frozen=True)
class Command:
    """Something that somebody asks of the device.

    camera: "" where it is asked of the whole. value: as it came. expires_s: Unix time at which it is too late.
    """

    name: str
    camera: str
    value: str
    expires_s: float | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command. error: why not, "" where it was done. result: what was asked for."""

    ok: bool
    error: str = ""
    result: object = None


Reply = Callable[[Answer], None]
Commanded = Callable[[Command, Reply], None]


@runtime_checkable
class Commandable(Protocol):
    """What a sink offers beside, where commands can come from its other side."""

    def obey(self, handle: Commanded) -> None:
        """Hand every command over from now on, in a thread of the sink's.

        `handle` does not wait, and calls back with the answer, once, from any thread. A command that is not worth doing
        (retained, expired, damaged) is refused before.
        """


@runtime_checkable
class Linked(Protocol):
    """What a sink offers beside, where it has another side that may be away."""

    @property
    def connected(self) -> bool: ...

    @property
    def trouble(self) -> str | None:
        """What keeps it from being connected or from working, without passwords; None when nothing does."""

    @property
    def held_bytes(self) -> int:
        """Memory that unsent documents take."""


@runtime_checkable
class Queued(Protocol):
    """What a sink offers beside, where events wait on disk for its other side."""

    def queue(self) -> QueueHealth | None:
        """How full the queue is; None where there is none."""


class SinkModule(Protocol):
    """What a module of SINKS offers."""

    def open(self, uri: str, context: SinkContext) -> Sink: ...

    def check(self, uri: str) -> None:
        """Raise what `open` would raise for this address, without opening anything."""


def open(uri: str, context: SinkContext) -> Sink:  # noqa: A001 (the plug-ins' own word)
    """Open a sink by its address.

    Raises:
        UsageError: an unknown scheme or an address that its scheme cannot read.
        ConfigError: a file that the address names (CA, certificate, password) cannot be read.
        SinkError: the output cannot be written.
    """
    module = cast("SinkModule", importlib.import_module(SINKS[_scheme(uri)]))
    return module.open(uri, context)


def check(uri: str) -> None:
    """Read the address, as far as that goes without opening anything.

    Raises:
        UsageError, ConfigError: as `open`.
    """
    module = cast("SinkModule", importlib.import_module(SINKS[_scheme(uri)]))
    module.check(uri)


def check_apart(uris: Sequence[str]) -> None:
    """Two ways to one broker would throw each other out for ever, since they are one client to it.

    Raises:
        ConfigError: two addresses name the same host, port and client id, whoever logs in.
        UsageError: one cannot be read.
    """
    from edgemass import mqtt  # noqa: PLC0415 (only who has several outputs waits for paho here)

    seen: dict[tuple[str, int, str | None], str] = {}
    for uri in uris:
        if _scheme(uri) not in ("mqtt", "mqtts"):
            continue
        client = mqtt.client_of(uri)
        if client in seen:
            raise ConfigError(
                f"{redact_address(seen[client])} and {redact_address(uri)} are one broker, to which this device would "
                "be one client twice; take one of them out, or give one another client_id"
            )
        seen[client] = uri


def _scheme(uri: str) -> str:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise UsageError(f"cannot read sink {redact_address(uri)!r}: {error}") from error
    if scheme not in SINKS:
        known = ", ".join(f"{row}:" for row in SINKS)
        raise UsageError(f"unknown sink {redact_address(uri)!r}; it must begin with one of {known}")
    return scheme
