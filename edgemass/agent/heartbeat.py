"""Feeds the service manager's watchdog, only while everything that should move does.

What hangs is not mended here: the watchdog's time runs out, the process is killed with a trace of all its threads, and
a new one starts. A camera that is away and tried again moves; so does a model that is exchanged, for as long as it may.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemass.agent.slot import ModelSlot
from edgemass.clock import Clock
from edgemass.pipeline.camera import Camera
from edgemass.sdnotify import Notifier

logger = logging.getLogger(__name__)

LOADING_MOST_S = 3600.0
"""Of all models that are tried at the start; TensorRT alone may build engines for half an hour."""
EXCHANGE_MOST_S = 2400.0
"""Of a model that takes the place of the old one while no frame runs."""
FRAME_MOST_S = 30.0
"""Of one frame through its line. A frame on an accelerator is given up after 3 s and runs on the CPU."""
OVERDUE_MOST_S = 30.0
"""Of a read past its own deadline, upon which it should have been given up."""
LOOP_MOST_S = 60.0
"""Of the agent's own loop, which ends cameras where the configuration says so."""
_UNWATCHED_BEAT_S = 10.0
_BEATS_OF_GRACE = 6
_NS = 1_000_000_000


@dataclass(frozen=True)
class Pulse:
    """Something that has to move. still_s: for how long it has not; most_s: how long that may be."""

    name: str
    still_s: float
    most_s: float


def what_hangs(pulses: Sequence[Pulse]) -> str:
    """What stands still for too long, in words; "" while all is well."""
    return ", ".join(
        f"{pulse.name} has not moved for {pulse.still_s:.0f} s" for pulse in pulses if pulse.still_s > pulse.most_s
    )


class Heartbeat:
    """Tells the service manager that the daemon starts, works, and ends. Without one it does nothing.

    From `start` to `ready` it asks for more time to load; from then on it feeds the watchdog. `tick` is the agent's own
    loop, which has to come by.
    """

    def __init__(self, notifier: Notifier, clock: Clock) -> None:
        self._notifier = notifier
        self._clock = clock
        self._beat_s = notifier.watchdog_s / 2 if notifier.watchdog_s else _UNWATCHED_BEAT_S
        self._pulses: Callable[[], list[Pulse]] | None = None
        self._line: Callable[[], str] = lambda: "loading the model"
        self._began_ns = self._ticked_ns = clock.monotonic_ns()
        self._hanging = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        if self._notifier.address:
            self._thread.start()

    def ready(self, cameras: Callable[[], Sequence[Camera]], slot: ModelSlot, problem: str = "") -> None:
        """Model and cameras are wired, whether or not any camera or broker is there.

        cameras: those at work, which may change. problem: what a person should know, told with the status.
        """
        self._ticked_ns = self._clock.monotonic_ns()
        line = StatusLine(cameras, slot, self._clock)
        self._line = lambda: f"{line.now()}; {problem}" if problem else line.now()
        self._pulses = lambda: pulses_of(cameras(), slot)
        self._notifier.status(self._line())
        self._notifier.ready()

    def tick(self) -> None:
        self._ticked_ns = self._clock.monotonic_ns()

    def reloading(self) -> None:
        """The configuration is read anew; `reloaded` ends it."""
        self._notifier.reloading(self._clock.monotonic_ns())

    def reloaded(self) -> None:
        self._notifier.ready()

    def stopping(self) -> None:
        """The end has begun; the service manager has a deadline of its own for it."""
        self._stop.set()
        self._notifier.stopping()
        self._notifier.status("")

    def close(self) -> None:
        self._stop.set()

    def beat(self) -> None:
        """One look at everything, and what is to be told of it."""
        now_ns = self._clock.monotonic_ns()
        if self._pulses is None:
            if (now_ns - self._began_ns) / _NS < LOADING_MOST_S:
                self._notifier.extend(_BEATS_OF_GRACE * self._beat_s)
        else:
            hanging = what_hangs([Pulse("the agent", (now_ns - self._ticked_ns) / _NS, LOOP_MOST_S), *self._pulses()])
            if not hanging:
                self._notifier.alive()
            self._note(hanging)
        self._notifier.status(self._hanging or self._line())

    def _note(self, hanging: str) -> None:
        if bool(hanging) != bool(self._hanging):
            if hanging:
                logger.error("%s; the watchdog is not fed any more", hanging)
            else:
                logger.warning("it moves again: %s", self._hanging)
        self._hanging = hanging

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.beat()
                self._clock.wait(self._stop, self._beat_s)
        except Exception:  # the thread's outermost line; the watchdog does the rest
            logger.exception("the watchdog is not fed any more")


def pulses_of(cameras: Sequence[Camera], slot: ModelSlot) -> list[Pulse]:
    """The exchange of a model, for which frames wait, and of every camera that has not ended its detect loop and
    whoever gives up its reads.
    """
    pulses = [Pulse(f"the exchange of the model in slot {slot.name}", slot.held_s, EXCHANGE_MOST_S)]
    for camera in cameras:
        if camera.running:
            name = camera.line.camera
            still_s = 0.0 if slot.held_s else camera.still_s
            pulses.append(Pulse(f"the detect loop of camera {name}", still_s, FRAME_MOST_S))
            pulses.append(Pulse(f"the capture of camera {name}", camera.capture.overdue_s, OVERDUE_MOST_S))
    return pulses


class StatusLine:
    """What `systemctl status` shows: how many cameras are up, frames a second since it was asked last, the model."""

    def __init__(self, cameras: Callable[[], Sequence[Camera]], slot: ModelSlot, clock: Clock) -> None:
        self._cameras = cameras
        self._slot = slot
        self._clock = clock
        self._frames: dict[str, int] = {}
        self._at_ns = clock.monotonic_ns()

    def now(self) -> str:
        cameras, now_ns = self._cameras(), self._clock.monotonic_ns()
        frames = {camera.line.camera: camera.counters["frames_processed"] for camera in cameras}
        done = sum(max(0, count - self._frames.get(name, 0)) for name, count in frames.items())
        seconds = (now_ns - self._at_ns) / _NS
        self._frames, self._at_ns = frames, now_ns
        up = sum(camera.capture.online for camera in cameras)
        model = self._slot.running
        name = f"{model.ref.name} {model.ref.version} on {model.detector.backend.name}"
        return f"{up} of {len(cameras)} cameras up, {done / seconds if seconds > 0 else 0.0:.1f} fps, {name}"
