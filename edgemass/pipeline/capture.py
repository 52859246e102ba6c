"""Keeps one source running: opens it, hands its frames over, and opens it again when it breaks or hangs."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edgemass.clock import Clock, rfc3339
from edgemass.counters import Counters
from edgemass.errors import EdgemassError, SourceError
from edgemass.frame import Frame
from edgemass.imaging.orient import Orientation
from edgemass.messages import CameraState
from edgemass.pipeline.latest_frame import LatestFrame
from edgemass.pipeline.retry import is_news, pause_s
from edgemass.sources import Source

logger = logging.getLogger(__name__)

MAX_STUCK = 3  # hung threads, each with an open device, before the process is better started anew
STEADY_S = (
    5.0  # frames for so long make an outage history: a camera that breaks after each first frame is not tried faster
)
STOP_S = 2.0
REASONS_SAID = 3  # of one outage: some sources find other words every time
_POLL_S = 1.0
_LONGEST_WAIT_S = 60.0  # an Event does not wait for an infinite time


@dataclass(eq=False)
class _Reading:
    """One opening of the source and the thread that reads it.

    news: set for what the supervisor should look at: the first frame, the end.
    asked_ns: since when the source has been asked for a frame; None while it is not its turn.
    """

    asked_ns: int | None
    news: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    first_frame_ns: int | None = None
    last_frame_ns: int = 0
    error: SourceError | None = None
    ended: bool = False


class Capture:
    """The capture threads of one camera: a supervisor that mostly sleeps, and a reader that is replaced when it hangs.

    slot: where the frames are, cropped, rotated and masked.
    counters: frames_captured, frames_dropped, frames_left (they waited when the end came), reconnects (times that
        frames flowed again after an outage).
    on_state: told when the camera is online or offline, on change only, by the supervisor's thread; it must not raise.
    error: why a file ended, where it did not end well; a live source is tried for ever instead.
    convert_ahead: the frames of a file are converted here while the one before is run; not worth it where many of them
        are left out unseen. Of a realtime source only what is run is converted, by who runs it.
    reason: why the camera is away, as the last attempt found it; "" while it is there.
    gave_up: why nothing is opened any more: too many readers hang, and only a new process frees their devices.
    """

    def __init__(
        self,
        camera: str,
        source: Source,
        *,
        clock: Clock,
        counters: Counters,
        on_state: Callable[[CameraState], None] | None = None,
        orientation: Orientation | None = None,
        convert_ahead: bool = True,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.camera = camera
        self.slot = LatestFrame(clock, counters)
        self.error: SourceError | None = None
        self.gave_up: str | None = None
        self.reason = ""
        self._source = source
        self._clock = clock
        self._counters = counters
        self._on_state = on_state
        self._orientation = orientation or Orientation()
        self._convert_ahead = convert_ahead
        self._draw = draw
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._current: _Reading | None = None
        self._stuck: list[threading.Thread] = []
        self._openings = 0
        self._failures = 0
        self._online: bool | None = None
        self._said_offline = False
        self._reasons: set[str] = set()
        self._outage_ns = clock.monotonic_ns()
        self._supervisor = threading.Thread(target=self._supervise, name=f"capture-{camera}", daemon=True)

    @property
    def realtime(self) -> bool:
        """Whether frames come by themselves, and what is not taken in time is lost."""
        return self._source.realtime

    def start(self) -> None:
        self._supervisor.start()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """End the capture and the slot; False when a thread still hangs in its source after `timeout_s`.

        Such a thread is left behind: it hands out nothing any more and ends with its read or with the process.
        """
        self._stop.set()
        self._source.close()
        with self._lock:  # from here on no frame is counted as captured that could not come into the slot
            reading, self._current = self._current, None
            self.slot.close()
        if reading is not None:
            reading.news.set()
        threads = [self._supervisor, *self._stuck]
        if reading is not None and reading.thread is not None:
            threads.append(reading.thread)
        for thread in threads:
            if thread.ident is not None:  # it was started
                thread.join(timeout_s / len(threads))
        return not any(thread.is_alive() for thread in threads)

    @property
    def online(self) -> bool:
        """Whether frames come; for any thread."""
        return self._online is True

    @property
    def overdue_s(self) -> float:
        """How long a read has been past its deadline without being given up, which takes no time; for any thread."""
        reading = self._current
        return 0.0 if reading is None or reading.ended else max(0.0, -self._left_s(reading))

    # The supervisor's thread: it alone decides, logs and tells the state.

    def _supervise(self) -> None:
        try:
            while not self._stop.is_set():
                reading = self._begin()
                if reading is None:
                    return
                error = self._follow(reading)
                if self._stop.is_set() or not self._go_on(reading, error):
                    return
        except Exception:  # the thread's outermost line
            logger.exception("capture failed", extra={"camera": self.camera})
            self.error = SourceError(f"{self._source.name}: capture failed; the log tells where")
        finally:
            self.slot.close()

    def _begin(self) -> _Reading | None:
        """Open the source in a fresh thread; None when stopped, or when too many hang already."""
        self._stuck = [thread for thread in self._stuck if thread.is_alive()]
        if len(self._stuck) >= MAX_STUCK:
            self.gave_up = f"{self._source.name} hangs: {len(self._stuck)} reads did not come back"
            logger.error("%s", self.gave_up, extra={"camera": self.camera})
            return None
        reading = _Reading(asked_ns=self._clock.monotonic_ns())
        self._openings += 1
        name = f"read-{self.camera}-{self._openings}"
        reading.thread = threading.Thread(target=self._read, args=(reading,), name=name, daemon=True)
        with self._lock:
            if self._stop.is_set():
                return None
            self._current = reading
        reading.thread.start()
        return reading

    def _follow(self, reading: _Reading) -> SourceError | None:
        """Wait for the reading's end; None when it ended well."""
        while not self._stop.is_set():
            reading.news.clear()
            if reading.first_frame_ns is not None and not self._online:
                self._came()
            if reading.ended:
                return reading.error
            left_s = self._left_s(reading)
            if left_s <= 0 and self._abandon(reading):
                return SourceError(f"{self._source.name} hangs: no frame for {self._source.read_timeout_s:.0f} s")
            self._clock.wait(reading.news, min(max(left_s, 0.0), _LONGEST_WAIT_S))
        return None

    def _left_s(self, reading: _Reading) -> float:
        asked_ns = reading.asked_ns
        if asked_ns is None:
            return self._source.read_timeout_s
        return self._source.read_timeout_s - (self._clock.monotonic_ns() - asked_ns) / 1e9

    def _abandon(self, reading: _Reading) -> bool:
        """Leave a reader to itself, unless it has just come back."""
        with self._lock:
            if reading.ended or self._left_s(reading) > 0:
                return False
            self._current = None
        if reading.thread is not None:
            self._stuck.append(reading.thread)
        return True

    def _go_on(self, reading: _Reading, error: SourceError | None) -> bool:
        """Whether to open again, after the pause that is due."""
        if not self._source.live:
            self.error = error
            self._went(str(error) if error else "the file ended")
            return False
        now_ns = self._clock.monotonic_ns()
        if reading.first_frame_ns is not None and (reading.last_frame_ns - reading.first_frame_ns) / 1e9 >= STEADY_S:
            self._failures, self._outage_ns = 0, now_ns
        self._failures += 1
        self._went(str(error) if error else f"{self._source.name} ended the stream")
        seconds = pause_s(self._failures, (now_ns - self._outage_ns) / 1e9, self._draw())
        return not self._clock.wait(self._stop, seconds)

    def _came(self) -> None:
        if self._said_offline:
            logger.info("camera is back", extra={"camera": self.camera, "attempts": self._failures + 1})
        elif not self._failures:
            logger.info("camera online", extra={"camera": self.camera, "source": self._source.name})
        self._said_offline, self.reason = False, ""
        self._tell(online=True, reason="")

    def _went(self, reason: str) -> None:
        self.reason = reason
        if self._source.live:  # the end of a file is no trouble, and its error is for whoever started it
            self._say_offline(reason)
        if self._online is not False:
            self._tell(online=False, reason=reason)

    def _say_offline(self, reason: str) -> None:
        """In the log: that it went, and what else keeps it away since, each once."""
        extra = {"camera": self.camera}
        if not self._said_offline and is_news(self._failures):
            again = f" ({self._failures} times in a row)" if self._failures > 1 else ""
            logger.warning("camera offline%s, trying again: %s", again, reason, extra=extra)
            self._said_offline, self._reasons = True, {reason}
        elif self._said_offline and reason not in self._reasons and len(self._reasons) < REASONS_SAID:
            logger.warning("camera still offline, trying again: %s", reason, extra=extra)
            self._reasons.add(reason)
        else:
            logger.debug("camera offline: %s", reason, extra=extra)

    def _tell(self, *, online: bool, reason: str) -> None:
        self._online = online
        if self._on_state is not None:
            since = rfc3339(self._clock.time_ns())
            self._on_state(CameraState("online" if online else "offline", reason, since))

    # The reader's thread: it hands frames over and notes how it ended.

    def _read(self, reading: _Reading) -> None:
        try:
            for frame in self._source.frames():
                reading.asked_ns = None
                if not self._hand_over(reading, frame):
                    return
                reading.asked_ns = self._clock.monotonic_ns()
        except SourceError as error:
            reading.error = error
        except Exception as error:  # the thread's outermost line
            logger.exception("the source failed", extra={"camera": self.camera})
            why = str(error) if isinstance(error, EdgemassError) else type(error).__name__
            reading.error = SourceError(f"{self._source.name} failed: {why}; the log tells where")
        finally:
            reading.ended = True
            reading.news.set()

    def _hand_over(self, reading: _Reading, frame: Frame) -> bool:
        """Put one frame into the slot; False when nobody wants it any more."""
        if self._orientation.changes:
            width, height = self._orientation.size(frame.width, frame.height)
            turn = self._orientation
            view = None if turn.masks else turn.view  # brightness beside the picture would show what a mask hides
            frame = frame.transformed(turn.apply, width=width, height=height, view=view)
        with self._lock:
            if self._current is not reading:
                return False
            reading.last_frame_ns = self._clock.monotonic_ns()
            if reading.first_frame_ns is None:
                reading.first_frame_ns = reading.last_frame_ns
                reading.news.set()
                if self._failures:  # counted before the frame can be taken: who takes it learns of the gap
                    self._counters.add("reconnects")
            self._counters.add("frames_captured")
            if self._source.realtime:
                self.slot.put(frame)
                return True
        if self._convert_ahead:
            with contextlib.suppress(SourceError):  # whoever takes the frame meets the same error, and counts it
                frame.convert()
        while not self.slot.put_wait(frame, _POLL_S):
            if self._stop.is_set() or self._current is not reading:
                self._counters.add("frames_left")
                return False
        return True
