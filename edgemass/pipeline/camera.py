"""One camera at work: its capture thread, and the detect loop that takes frames from it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.errors import BackendError, SourceError, StaleFrameError
from edgemass.frame import Frame
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.sight import Sight
from edgemass.pipeline.turns import Place

logger = logging.getLogger(__name__)

POLL_S = 0.25
FAILURES_IN_A_ROW = 3


class Camera:
    """Runs a line over a capture until the source ends, `frames` are done, or it is stopped.

    A frame waits in the slot until it is this camera's turn, and a newer one may take its place there meanwhile.

    sight: shown every frame, to say whether the camera sees.
    failure: why it ended, where it did not end well; read it after `join`.
    on_failing: told that the model fails frame after frame; True = somebody sees to it, go on trying.
    """

    def __init__(  # noqa: PLR0913 (what a camera at work joins; all but two by name)
        self,
        capture: Capture,
        line: CameraLine,
        *,
        selection: Selection,
        place: Place,
        frames: int | None,
        clock: Clock,
        counters: Counters,
        sight: Sight | None = None,
        on_failing: Callable[[BackendError], bool] = lambda _: False,
    ) -> None:
        self.capture = capture
        self.line = line
        self.counters = counters
        self.failure: Exception | None = None
        self.first_ns = self.last_ns = 0
        self._selection = selection
        self._held_fps: float | None = None
        self._place = place
        self._sight = sight
        self._frames = frames
        self._clock = clock
        self._on_failing = on_failing
        self._failures = 0
        self._reconnects = 0
        self._moved_ns = clock.monotonic_ns()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"detect-{line.camera}", daemon=True)

    def start(self) -> None:
        self._moved_ns = self._clock.monotonic_ns()
        self.capture.start()
        self._thread.start()

    def request_stop(self) -> None:
        """Ask to end; `join` waits for it."""
        self._stop.set()

    def select(self, selection: Selection) -> None:
        """Choose frames differently from the next one on; for any thread."""
        selection.hold(self._held_fps)
        self._selection = selection

    def hold(self, fps: float | None) -> None:
        """Run no more frames a second than this, whatever is configured; None = no longer. For any thread."""
        self._held_fps = fps
        self._selection.hold(fps)

    @property
    def max_fps(self) -> float | None:
        """That is configured, for now."""
        return self._selection.max_fps

    def join(self, timeout_s: float) -> bool:
        """Wait for the detect loop; True when it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    @property
    def still_s(self) -> float:
        """How long ago the detect loop last came round, as it does several times a second where no frame hangs; for any
        thread.
        """
        return (self._clock.monotonic_ns() - self._moved_ns) / 1e9

    def _run(self) -> None:
        try:
            self._loop()
            if self.failure is not None:
                logger.error("%s", self.failure, extra={"camera": self.line.camera})
        except Exception as error:  # the thread's outermost line
            logger.exception("the detect loop failed", extra={"camera": self.line.camera})
            self.failure = error
        finally:
            self.capture.stop()
            if self.capture.slot.take() is not None:
                self.counters.add("frames_left")

    def _loop(self) -> None:
        slot = self.capture.slot
        while not self._stop.is_set():
            self._moved_ns = self._clock.monotonic_ns()
            frame = slot.look(POLL_S)
            if frame is None:
                if slot.closed:
                    self.failure = self.capture.error
                    return
                continue
            self._mind_the_gap()
            if self._sight is not None:
                self._sight.look(frame)
            refusal = self._selection.refuses(frame)
            if refusal is not None:
                if slot.discard(frame):
                    self.counters.add(refusal)
                continue
            if not self._take_turn():
                return
            try:
                self._use_turn()
            finally:
                self._place.give_back()
            done = self._frames is not None and self.line.processed >= self._frames
            if self.failure is not None or done or not self.line.heard:
                return

    def _take_turn(self) -> bool:
        """Wait until it is this camera's turn; False when it was stopped before."""
        while not self._stop.is_set():
            self._moved_ns = self._clock.monotonic_ns()
            if self._place.take(POLL_S):
                return True
        return False

    def _use_turn(self) -> None:
        """Run the newest frame. One that grew too old at the runtime's door is followed by a fresh one in the same
        turn: at the end of the queue again, a camera behind others' long runs would never have its own.
        """
        stale = True
        while stale and not self._stop.is_set():
            self._moved_ns = self._clock.monotonic_ns()
            frame = self.capture.slot.take()
            if frame is None:
                return
            stale = not self._process(frame)

    def _process(self, frame: Frame) -> bool:
        """Run one frame; False when it was too old."""
        self._selection.ran(frame)
        self._mind_the_gap()
        if not self.first_ns:
            self.first_ns = self._clock.monotonic_ns()
        try:
            self.line.process(frame)
            self._failures = 0
            self.last_ns = self._clock.monotonic_ns()
        except StaleFrameError:
            self.counters.add("frames_stale")
            return False
        except SourceError as error:  # a picture that cannot be converted: the next one may be whole
            self.counters.add("frames_broken")
            logger.debug("frame left out: %s", error, extra={"camera": self.line.camera})
        except BackendError as error:
            self._failures += 1
            self.counters.add("backend_failures")
            logger.warning("%s", error, extra={"camera": self.line.camera})
            if self._failures >= FAILURES_IN_A_ROW and not self._on_failing(error):
                self.failure = error
        return True

    def _mind_the_gap(self) -> None:
        """After a reconnect nothing that was remembered of the scene holds any more."""
        reconnects = self.counters["reconnects"]
        if reconnects != self._reconnects:
            self._reconnects = reconnects
            self._selection.forget()
            self.line.forget()
