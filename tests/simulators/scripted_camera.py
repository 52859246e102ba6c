"""A camera that does what a test wrote down: gives frames, breaks, hangs, ends."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgemass.clock import Clock
from edgemass.errors import SourceError
from edgemass.frame import Frame, Image


@dataclass(frozen=True)
class Give:
    """So many frames of this size, one after the other."""

    count: int = 1
    width: int = 8
    height: int = 6


@dataclass(frozen=True)
class Fail:
    """The camera breaks."""

    error: Exception


class Hang:
    """A read that does not come back until the test releases the camera; what follows then comes far too late."""


class Wait:
    """A pause that ends with `ScriptedCamera.go_on` (or with close, as a source's own waiting does)."""


Step = Give | Fail | Hang | Wait


def fail(message: str) -> Fail:
    return Fail(SourceError(message))


class ScriptedCamera:
    """Implements `edgemass.sources.Source`. Frame number n (from 1, over all openings) has every pixel n.

    openings: what each call of `frames()` does; one that runs out of steps ends. Calls past the last one break.
    opened: how often it was opened. hanging: set while a read hangs.
    """

    def __init__(
        self,
        clock: Clock,
        openings: Sequence[Sequence[Step]],
        *,
        live: bool = True,
        realtime: bool | None = None,
        read_timeout_s: float = 5.0,
    ) -> None:
        self.live = live
        self.realtime = live if realtime is None else realtime
        self.name = "scripted"
        self.read_timeout_s = read_timeout_s
        self.opened = 0
        self.hanging = threading.Event()
        self._clock = clock
        self._openings = list(openings)
        self._given = 0
        self._released = threading.Event()
        self._go_on = threading.Event()
        self._closed = threading.Event()

    def close(self) -> None:
        self._closed.set()
        self._go_on.set()

    def release(self) -> None:
        """Let every read that hangs come back, and none hang any more."""
        self._released.set()

    def go_on(self) -> None:
        """End the pause of a Wait."""
        self._go_on.set()

    def frames(self) -> Iterator[Frame]:
        if self._closed.is_set():
            return
        self.opened += 1
        steps = self._openings[self.opened - 1] if self.opened <= len(self._openings) else [fail("the script is over")]
        for step in steps:
            if isinstance(step, Fail):
                raise step.error
            if isinstance(step, Hang):
                self.hanging.set()
                self._released.wait()
                self.hanging.clear()
            elif isinstance(step, Wait):
                self._go_on.wait()
                self._go_on.clear()
            else:
                yield from self._frames(step)
            if self._closed.is_set():
                return

    def _frames(self, step: Give) -> Iterator[Frame]:
        for _ in range(step.count):
            self._given += 1
            yield picture(self._clock, self._given, width=step.width, height=step.height)


def picture(clock: Clock, value: int, *, width: int = 8, height: int = 6) -> Frame:
    """A frame of now with every pixel `value`."""
    now_ns = clock.monotonic_ns()

    def load() -> Image:
        return np.full((height, width, 3), value % 256, np.uint8)

    return Frame(load, width=width, height=height, mono_ns=now_ns, time_ns=clock.time_ns(), arrived_ns=now_ns)
