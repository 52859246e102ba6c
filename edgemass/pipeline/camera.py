"""One camera at work: its capture thread, and the detect loop that takes frames from it."""

from __future__ import annotations

import logging
import threading

from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.errors import BackendError, SourceError
from edgemass.frame import Frame
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine

logger = logging.getLogger(__name__)

POLL_S = 0.25
FAILURES_IN_A_ROW = 3


class Camera:
    """Runs a line over a capture until the source ends, `frames` are done, or it is stopped.

    max_fps: by the frames' own time, so that a file is thinned as a camera would be.
    failure: why it ended, where it did not end well; read it after `join`.
    """

    def __init__(
        self,
        capture: Capture,
        line: CameraLine,
        *,
        max_fps: float | None,
        frames: int | None,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self.capture = capture
        self.line = line
        self.counters = counters
        self.failure: Exception | None = None
        self.first_ns = self.last_ns = 0
        self._interval_ns = int(1e9 / max_fps) if max_fps else 0
        self._next_ns: int | None = None
        self._frames = frames
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"detect-{line.camera}", daemon=True)

    def start(self) -> None:
        self.capture.start()
        self._thread.start()

    def request_stop(self) -> None:
        """Ask to end; `join` waits for it."""
        self._stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the detect loop; True when it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

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

    def _loop(self) -> None:
        failures = 0
        reconnects = 0
        while not self._stop.is_set():
            frame = self.capture.slot.get(POLL_S)
            if frame is None:
                if self.capture.slot.closed:
                    self.failure = self.capture.error
                    return
                continue
            if not self._due(frame):
                self.counters.add("frames_skipped")
                continue
            if self.counters["reconnects"] != reconnects:
                reconnects = self.counters["reconnects"]
                self.line.forget()
            try:
                self._process(frame)
                failures = 0
            except SourceError as error:  # a picture that cannot be converted: the next one may be whole
                self.counters.add("frames_broken")
                logger.debug("frame left out: %s", error, extra={"camera": self.line.camera})
            except BackendError as error:
                failures += 1
                self.counters.add("backend_failures")
                logger.warning("%s", error, extra={"camera": self.line.camera})
                if failures >= FAILURES_IN_A_ROW:
                    self.failure = error
                    return
            if not self.line.heard or (self._frames is not None and self.line.processed >= self._frames):
                return

    def _process(self, frame: Frame) -> None:
        if not self.first_ns:
            self.first_ns = self._clock.monotonic_ns()
        self.line.process(frame)
        self.last_ns = self._clock.monotonic_ns()

    def _due(self, frame: Frame) -> bool:
        """Whether max_fps leaves room for this frame; kept on average, not rounded to a part of the camera's rate."""
        if not self._interval_ns:
            return True
        if self._next_ns is None or frame.mono_ns >= self._next_ns + self._interval_ns:
            self._next_ns = frame.mono_ns + self._interval_ns
            return True
        if frame.mono_ns < self._next_ns:
            return False
        self._next_ns += self._interval_ns
        return True
