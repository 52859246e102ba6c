"""How one camera does: sampled every few seconds, told of the last minute and hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from edgemass.clock import Clock
from edgemass.config import CameraConfig
from edgemass.counters import Counters
from edgemass.health.judging import SEEING, percentiles, quality
from edgemass.health.window import Window
from edgemass.messages import CameraState
from edgemass.messages.health import CameraHealth, Histogram, Quality
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.durations import BOUNDS_MS
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
    "frames_left": "stopped",
}
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A camera as it is now.

    counters: since the start of the process. state: as it was told last, None before.
    camera: None while it is switched off. live: it goes on by itself and has a connection whose quality can be told.
    """

    config: CameraConfig
    counters: Counters
    state: CameraState | None
    camera: Camera | None
    live: bool

    @property
    def word(self) -> str:
        """Its state; a file that has come to its end is not offline."""
        if self.camera is None:
            failed = self.config.enabled and self.state is not None and self.state.state == "offline"
            return "offline" if failed else "disabled"
        if self.state is None:
            return "starting"
        over = not self.camera.running and self.camera.failure is None and self.state.state == "offline"
        return "ended" if over else self.state.state


class CameraWatch:
    """Of one camera, whatever is switched off and on meanwhile. Used by one thread."""

    def __init__(self, slot: str, clock: Clock) -> None:
        self._slot = slot
        self._clock = clock
        self._minute = Window(MINUTE_S, SAMPLE_S)
        self._hour = Window(HOUR_S, MINUTE_S)
        self._rates: deque[tuple[int, float]] = deque(maxlen=round(HOUR_S / MINUTE_S))
        self._captured = self._stalls = 0
        self._still = False

    def sample(self, seen: Seen) -> None:
        """To be called every SAMPLE_S."""
        now_ns, totals = self._clock.monotonic_ns(), seen.counters.snapshot()
        captured = totals.get("frames_captured", 0)
        still = captured == self._captured and captured > 0 and seen.word in SEEING
        if still and not self._still:
            self._stalls += 1
        self._captured, self._still = captured, still
        self._minute.add(now_ns, (captured, totals.get("frames_processed", 0)))
        self._hour.add(now_ns, (totals.get("reconnects", 0), self._stalls))
        if not self._rates or now_ns - self._rates[-1][0] >= MINUTE_S * 1e9:
            seconds, (came, _) = self._minute.grown(now_ns, (captured, 0))
            if seconds >= MINUTE_S:
                self._rates.append((now_ns, came / seconds))

    def health(self, seen: Seen) -> CameraHealth:
        now_ns, totals = self._clock.monotonic_ns(), seen.counters.snapshot()
        captured, processed = totals.get("frames_captured", 0), totals.get("frames_processed", 0)
        seconds, (came, ran) = self._minute.grown(now_ns, (captured, processed))
        fps = came / seconds if seconds > 0 else 0.0
        counted = CameraHealth(
            state=seen.word,
            reason=redact(_reason(seen)),
            slot=self._slot,
            fps_asked=seen.config.max_fps,
            fps_captured=round(fps, 2),
            fps_processed=round(ran / seconds, 2) if seconds > 0 else 0.0,
            frames_captured=captured,
            frames_processed=processed,
            dropped={cause: totals.get(counter, 0) for counter, cause in DROPS.items()},
            reconnects=totals.get("reconnects", 0),
        )
        if seen.camera is None:
            return counted
        line, last_ns = seen.camera.line, seen.camera.last_ns
        return msgspec.structs.replace(
            counted,
            quality=self._quality(seen, now_ns, fps, counted.reconnects) if seen.live and seconds >= SAMPLE_S else None,
            lag_ms=percentiles(copied(line.age_ms)),
            total_ms=percentiles(copied(line.total_ms)),
            last_frame_s=round((now_ns - last_ns) / 1e9, 1) if last_ns else None,
            infer=Histogram(BOUNDS_MS, tuple(line.infer_ms.counts), round(line.infer_ms.sum_ms, 3)),
        )

    def _quality(self, seen: Seen, now_ns: int, fps: float, reconnects: int) -> Quality:
        _, (again, stalled) = self._hour.grown(now_ns, (reconnects, self._stalls))
        recent = [rate for at_ns, rate in self._rates if now_ns - at_ns <= HOUR_S * 1e9]
        return quality(
            online=seen.word in SEEING,
            fps=fps,
            usual_fps=seen.config.fps or max(recent, default=None),
            reconnects=again,
            stalls=stalled,
        )


def copied(values: Iterable[T]) -> list[T]:
    """Of what another thread adds to meanwhile."""
    for _ in range(5):
        try:
            return list(values)
        except RuntimeError:  # it grew just then
            continue
    return []


def _reason(seen: Seen) -> str:
    """Why it does not see, as of now: what keeps a camera away may change meanwhile."""
    if seen.state is None:
        return ""
    newest = seen.camera.capture.reason if seen.camera is not None and seen.state.state == "offline" else ""
    return newest or seen.state.reason
