"""Counts what a slot's model does under the cameras, for its probation, and takes pictures to prove the next one on."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from edgemass.agent import probation
from edgemass.agent.probation import Baseline, Failed, ProbationLimits, Sample, Standing
from edgemass.agent.slot import ModelSlot
from edgemass.agent.tuning_frames import TuningFrames
from edgemass.clock import Clock
from edgemass.counters import Counters
from edgemass.errors import BackendError
from edgemass.frame import Frame, Image
from edgemass.health import temperature
from edgemass.health.memory import resident_bytes
from edgemass.health.tree import Tree
from edgemass.messages import DetectionMessage, FrameMessage

logger = logging.getLogger(__name__)

SAMPLE_S = 1.0
BEFORE_S = 120.0
"""Of the model before, that a new one is compared with."""
PICTURES_S, WAIT_S = 2.0, 6.0
"""Pictures are taken over so long, and waited for at most so long."""
_LATENCIES = 300
_STOP_S = 2.0


class Observer:
    """Samples the cameras of a slot in a thread of its own, from `start` to `close`."""

    def __init__(self, slot: ModelSlot, counters: Callable[[], Sequence[Counters]], clock: Clock) -> None:
        """counters: of every camera that there was in this run; they only grow."""
        self._slot = slot
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._samples: deque[Sample] = deque(maxlen=int(BEFORE_S / SAMPLE_S))
        self._detections = 0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._trial: Probation | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"observer-{slot.name}", daemon=True)

    def start(self) -> None:
        self._slot.watch(self._see)
        self._thread.start()

    def close(self) -> None:
        self._slot.unwatch(self._see)
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def baseline(self, limits: ProbationLimits) -> Baseline | None:
        """How the model that runs does; None where it was seen too little."""
        with self._lock:
            samples = list(self._samples)
        return probation.baseline(samples, limits)

    def probation(self, before: Baseline | None, limits: ProbationLimits) -> Probation:
        """From now on, what is counted is the new model's."""
        with self._lock:
            self._samples.clear()
            self._latencies.clear()
            self._trial = Probation(before, limits)
            return self._trial

    def over(self) -> None:
        """The probation has ended; what is counted from now on is that of the model that runs."""
        with self._lock:
            self._samples.clear()
            self._trial = None

    def blame(self, error: BackendError) -> bool:
        """A camera says that the model fails frame after frame; whether that ends a probation."""
        with self._lock:
            if self._trial is not None:
                self._trial.blamed = str(error)
            return self._trial is not None

    def pictures(self, stop: threading.Event) -> list[Image]:
        """A few frames of the cameras, those with detections first; none where no camera gives any, or may."""
        frames = TuningFrames(self._clock, PICTURES_S)
        lines = self._slot.lines_to_picture
        for line in lines:
            line.watch(frames.see)
        ends_ns = self._clock.monotonic_ns() + round(WAIT_S * 1e9)
        while lines and not frames.enough and self._clock.monotonic_ns() < ends_ns and not self._clock.wait(stop, 0.1):
            pass
        for line in lines:
            line.unwatch(frames.see)
        return frames.take()

    def _see(self, message: FrameMessage, _: Frame) -> None:
        found = len(message.detections) if isinstance(message, DetectionMessage) else 0
        latency = message.latency_ms
        with self._lock:
            self._detections += found
            self._latencies.append(latency.total - latency.queue)

    def _run(self) -> None:
        while not self._clock.wait(self._stop, SAMPLE_S):
            try:
                taken = self._sample()
            except (OSError, ValueError) as error:  # of /proc, where files have run out
                logger.debug("no sample: %s", error)
                continue
            with self._lock:
                self._samples.append(taken)
                if self._trial is not None:
                    self._trial.samples.append(taken)

    def _sample(self) -> Sample:
        counters = [counters.snapshot() for counters in self._counters()]
        with self._lock:
            latencies, detections = list(self._latencies), self._detections
        return probation.sample(
            counters,
            at_s=self._clock.monotonic_ns() / 1e9,
            detections=detections,
            cpu_s=time.process_time(),
            p95_ms=float(np.percentile(latencies, 95)) if latencies else None,
            rss_bytes=resident_bytes(),
            temperature_c=_temperature_c(),
            fps_ratio=self._slot.fps_ratio,
        )


class Probation:
    """A new model's time of trial. samples: since its exchange. blamed: what a camera says of it, "" while nothing."""

    def __init__(self, before: Baseline | None, limits: ProbationLimits) -> None:
        self.samples: deque[Sample] = deque(maxlen=1 << 16)
        self.blamed = ""
        self._before = before
        self._limits = limits

    def look(self) -> Standing:
        """Where it stands."""
        if self.blamed:
            return Failed(f"its runs fail: {self.blamed}")
        return probation.judge(self._before, list(self.samples), self._limits)


def _temperature_c() -> float | None:
    """Of the hottest zone that the kernel knows."""
    try:
        reading = temperature.read(Tree())
    except (OSError, ValueError):
        return None
    return reading.hottest_c if reading is not None else None
