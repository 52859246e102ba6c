"""Documents to a microcontroller, and its commands: `serial:///dev/ttyUSB0[?baud=115200&...]`.

Lines of JSON with a number and a CRC, both ways, in short keys; docs/serial.md describes them, and docs/serial holds a
sketch of the other end. Options: see `_serial_options`. A port that is not there is no error: it is opened as soon as
it comes.
"""

from __future__ import annotations

from edgemass.frame import Frame
from edgemass.messages import CameraState, CountsMessage, EventMessage, FrameMessage
from edgemass.sinks import Commanded, SinkContext
from edgemass.sinks._serial_documents import (
    COUNTS,
    EVENTS,
    FRAMES,
    STATES,
    Body,
    count_bodies,
    event_body,
    frame_body,
    state_body,
)
from edgemass.sinks._serial_link import SerialLink
from edgemass.sinks._serial_options import SerialOptions, parse
from edgemass.sinks._serial_outbox import Outbox
from edgemass.sinks._serial_requests import Requests

PROTOCOL = 1


def open(uri: str, context: SinkContext) -> SerialSink:  # noqa: A001 (the plug-ins' own word)
    """Read the address and begin to open the port.

    Raises:
        UsageError: the address cannot be read.
    """
    sink = SerialSink(parse(uri), context)
    sink.start()
    return sink


def check(uri: str) -> None:
    """Raise what `open` would raise."""
    parse(uri)


class SerialSink:
    """One microcontroller."""

    def __init__(self, options: SerialOptions, context: SinkContext) -> None:
        self.name = f"serial {options.path}"
        self._options = options
        self._greeting: Body = {"k": "hi", "v": PROTOCOL, "d": context.device, "m": options.max_line}
        counters, clock = context.counters, context.clock
        self._outbox = Outbox(options, counters, clock)
        self._requests = Requests(
            str(options.path), baud=options.baud, answer=self._answer, greet=self._greet, counters=counters, clock=clock
        )
        self._link = SerialLink(
            options,
            self._outbox,
            opened=self._opened,
            arrived=self._requests.take,
            counters=counters,
            clock=clock,
        )

    def start(self) -> None:
        self._link.start()

    @property
    def connected(self) -> bool:
        """The port is open, and its other end takes what we send."""
        return self._link.connected and self._link.trouble is None

    @property
    def trouble(self) -> str | None:
        return self._link.trouble

    @property
    def held_bytes(self) -> int:
        """Memory that unsent lines take, at most."""
        return self._outbox.held * self._options.max_line

    def publish(self, message: FrameMessage, frame: Frame) -> None:  # noqa: ARG002 (the plug-ins' contract)
        if FRAMES in self._options.only:
            self._outbox.frame(frame_body(message))
            self._link.wake()

    def event(self, event: EventMessage, picture: bytes | None) -> None:  # noqa: ARG002 (no room for it)
        if EVENTS in self._options.only:
            self._outbox.event(event_body(event))
            self._link.wake()

    def counts(self, counts: CountsMessage) -> None:
        if COUNTS in self._options.only:
            for key, body in count_bodies(counts, self._options.max_line):
                self._outbox.state(("cnt", *key), body)
            self._link.wake()

    def camera_state(self, camera: str, state: CameraState) -> None:
        if STATES in self._options.only:
            self._outbox.state(("cam", camera), state_body(camera, state))
            self._link.wake()

    def obey(self, handle: Commanded) -> None:
        """Hand over what the other end asks for, from now on, and what it has asked for in the last seconds."""
        self._requests.obey(handle)

    def close(self, timeout_s: float) -> None:
        self._link.close(timeout_s)

    def _opened(self) -> None:
        self._requests.opened()
        self._outbox.opened(self._greeting)

    def _greet(self) -> None:
        self._outbox.greet(self._greeting)

    def _answer(self, body: Body) -> None:
        self._outbox.answer(body)
        self._link.wake()
