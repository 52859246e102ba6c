"""How one camera does: sampled every few seconds, told of the last minute and hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

from edgemass.clock import Clock
from edgemass.config import CameraConfig
from edgemass.health.judging import SEEING, percentiles, quality
from edgemass.health.window import Window
from edgemass.messages.health import CameraHealth, Histogram, Quality
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.durations import BOUNDS_MS
from edgemass.pipeline.sight import Sight
from edgemass.redact import redact

SAMPLE_S = 5.0
MINUTE_S, HOUR_S = 60.0, 3600.0
DROPS = {  # counter of a camera -> what documents call the cause
    "frames_dropped": "superseded",
    "frames_stale": "stale",
    "frames_skipped": "max_fps",
    "frames_still": "still",
    "frames_broken": "broken",
    "backend_failures": "backend",
}
T = TypeVar("T")


class CameraWatch:
    """Used by one thread. live: it goes on by itself and has a connection whose quality can be told."""

    def __init__(
        self, camera: Camera, config: CameraConfig, sight: Sight, *, live: bool, slot: str, clock: Clock
    ) -> None:
        self.name = camera.line.camera
        self._camera = camera
        self._config = config
        self._sight = sight
        self._live = live
        self._slot = slot
        self._clock = clock
        self._minute = Window(MINUTE_S, SAMPLE_S)
        self._hour = Window(HOUR_S, MINUTE_S)
        self._rates: deque[tuple[int, float]] = deque(maxlen=round(HOUR_S / MINUTE_S))
        self._captured = self._stalls = 0
        self._still = False

    def sample(self) -> None:
        """To be called every SAMPLE_S."""
        now_ns, totals = self._clock.monotonic_ns(), self._camera.counters.snapshot()
        captured = totals.get("frames_captured", 0)
        still = captured == self._captured and captured > 0 and self._state()[0] in SEEING
        if still and not self._still:
            self._stalls += 1
        self._captured, self._still = captured, still
        self._minute.add(now_ns, (captured, totals.get("frames_processed", 0)))
        self._hour.add(now_ns, (totals.get("reconnects", 0), self._stalls))
        if not self._rates or now_ns - self._rates[-1][0] >= MINUTE_S * 1e9:
            seconds, (came, _) = self._minute.grown(now_ns, (captured, 0))
            if seconds >= MINUTE_S:
                self._rates.append((now_ns, came / seconds))

    def health(self) -> CameraHealth:
        now_ns, totals = self._clock.monotonic_ns(), self._camera.counters.snapshot()
        captured, processed = totals.get("frames_captured", 0), totals.get("frames_processed", 0)
        seconds, (came, ran) = self._minute.grown(now_ns, (captured, processed))
        fps = came / seconds if seconds > 0 else 0.0
        state, reason = self._state()
        line, last_ns = self._camera.line, self._camera.last_ns
        return CameraHealth(
            state=state,
            reason=redact(reason),
            slot=self._slot,
            fps_asked=self._config.max_fps,
            fps_captured=round(fps, 2),
            fps_processed=round(ran / seconds, 2) if seconds > 0 else 0.0,
            frames_captured=captured,
            frames_processed=processed,
            dropped={cause: totals.get(counter, 0) for counter, cause in DROPS.items()},
            reconnects=totals.get("reconnects", 0),
            quality=self._quality(now_ns, fps, totals.get("reconnects", 0)) if self._live else None,
            lag_ms=percentiles(copied(line.age_ms)),
            total_ms=percentiles(copied(line.total_ms)),
            last_frame_s=round((now_ns - last_ns) / 1e9, 1) if last_ns else None,
            infer=Histogram(BOUNDS_MS, tuple(line.infer_ms.counts), round(line.infer_ms.sum_ms, 3)),
        )

    def failed(self, sink: str) -> int:
        """Documents of this camera that a sink could not take."""
        return self._camera.counters[f"sink_failed.{sink}"]

    def _state(self) -> tuple[str, str]:
        told = self._sight.state
        if not self._camera.running and self._camera.failure is None and told is not None:
            return "ended", told.reason
        return (told.state, told.reason) if told is not None else ("starting", "")

    def _quality(self, now_ns: int, fps: float, reconnects: int) -> Quality:
        _, (again, stalled) = self._hour.grown(now_ns, (reconnects, self._stalls))
        recent = [rate for at_ns, rate in self._rates if now_ns - at_ns <= HOUR_S * 1e9]
        return quality(
            online=self._state()[0] in SEEING,
            fps=fps,
            usual_fps=self._config.fps or max(recent, default=None),
            reconnects=again,
            stalls=stalled,
        )


def copied(values: Iterable[T], tries: int = 5) -> list[T]:
    """Of what another thread adds to meanwhile."""
    for _ in range(tries):
        try:
            return list(values)
        except RuntimeError:  # it grew just then
            continue
    return []
