"""Whether a new model does well where it has been put to work: rules on what the cameras count, apart from counting.

The daemon takes a Sample now and then, of all cameras of the slot together: before the exchange, which makes a
Baseline, and after it. Time comes with the samples.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

MIB = 1024 * 1024
WINDOWS = 4
"""The daemon's memory has to grow in each of so many equal parts of the time."""


class ProbationLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model on probation is held to.

    duration_s: after which it stays. least_frames: without so many it goes on: nothing was seen of it.
    silent_s: no frame for so long, while the cameras give some, is a failure. Three of the runtime's own deadlines
        (3 s for a run), and what loading another variant in between takes.
    window_s: what is happening now is judged over so long, 300 frames of a camera at 10 a second; frames and
        detections, which come and go, over twice as long.
    fps_share: of the frames a second before. Below 1 since scenes and other work on the board change.
    latency_ratio, noise_ms, fast_enough_ms: of p95, as in ProvingLimits. cpu_ratio: by which the processor's time for a
        frame has to have grown too, or something else on the board is what slows it down; two threads that share a
        core make that up to 1.3 times as long.
    error_share: of the runs, above the share before; with at least `error_least` of them.
    temperature_rise_c: above the one before, once it is hotter than `temperature_hot_c`: Raspberry Pi and Jetson slow
        down from 80 to 85 degrees on.
    detection_factor: between detections a frame now and before, either way. evidence, evidence_frames: detections and
        frames on both sides below which nothing is said. steady_share: of the time before, in which something had to
        be found, so that somebody who leaves the room is no fault of the model.
    leak_bytes_s: growth of the daemon's memory a second, without an end; 8 KiB are 690 MB a day. leak_least_bytes:
        below it allocators and caches are still settling. settle_s: memory is looked at after so long. It is judged
        over all the time since, and over the last four windows, for what begins to leak late.
    """

    duration_s: float = 300.0
    least_frames: int = 20
    silent_s: float = 15.0
    window_s: float = 30.0
    fps_share: float = 0.7
    latency_ratio: float = 2.0
    noise_ms: float = 2.0
    fast_enough_ms: float | None = None
    cpu_ratio: float = 1.5
    error_share: float = 0.02
    error_least: int = 5
    temperature_rise_c: float = 10.0
    temperature_hot_c: float = 75.0
    detection_factor: float = 5.0
    evidence: int = 20
    evidence_frames: int = 100
    steady_share: float = 0.9
    leak_bytes_s: float = 8192.0
    leak_least_bytes: int = 4 * MIB
    settle_s: float = 30.0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What has been counted up to a moment, over all cameras of the slot.

    at_s: monotonic. captured: frames that cameras gave. served: frames that were run, or that the motion gate left out
    when it was their turn. processed: frames that were run. failures: runs that failed. detections: in all of them.
    cpu_s: the processor's time that the daemon took, None = unknown; this and all above only grow.
    p95_ms: of the latest frames, None where there were none. rss_bytes: of the daemon. temperature_c: of the processor.
    fps_ratio: of the frames that the cameras would run, what the governor leaves them.
    """

    at_s: float
    captured: int
    served: int
    processed: int
    failures: int
    detections: int
    cpu_s: float | None = None
    p95_ms: float | None = None
    rss_bytes: int = 0
    temperature_c: float | None = None
    fps_ratio: float = 1.0


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """How the model before did.

    captured_fps, served_fps: frames a second. p95_ms, cpu_ms: of a frame, None = unknown. error_share: of the runs.
    frames, detections: seen. steady: share of the time in which something was found. temperature_c: None = unknown.
    fps_ratio: the most that the governor left the cameras.
    """

    captured_fps: float
    served_fps: float
    p95_ms: float | None
    cpu_ms: float | None
    error_share: float
    frames: int
    detections: int
    steady: float
    temperature_c: float | None
    fps_ratio: float = 1.0


@dataclass(frozen=True)
class Passed:
    """It may stay."""


@dataclass(frozen=True)
class Failed:
    """It has to go. reason: one sentence."""

    reason: str


@dataclass(frozen=True)
class Going:
    """Nothing speaks against it so far. progress: 0 to 1."""

    progress: float


Standing = Passed | Failed | Going


def sample(
    counters: Iterable[Mapping[str, int]],
    *,
    at_s: float,
    detections: int,
    cpu_s: float | None = None,
    p95_ms: float | None = None,
    rss_bytes: int = 0,
    temperature_c: float | None = None,
    fps_ratio: float = 1.0,
) -> Sample:
    """A sample of what the cameras count. counters: a snapshot of each camera's Counters."""
    totals: dict[str, int] = {}
    for snapshot in counters:
        for name, count in snapshot.items():
            totals[name] = totals.get(name, 0) + count
    processed = totals.get("frames_processed", 0)
    return Sample(
        at_s=at_s,
        captured=totals.get("frames_captured", 0),
        served=processed + totals.get("frames_still", 0),
        processed=processed,
        failures=totals.get("backend_failures", 0),
        detections=detections,
        cpu_s=cpu_s,
        p95_ms=p95_ms,
        rss_bytes=rss_bytes,
        temperature_c=temperature_c,
        fps_ratio=fps_ratio,
    )


def baseline(samples: Sequence[Sample], limits: ProbationLimits) -> Baseline | None:
    """How the model before did over these samples; None where it was seen too little to compare with."""
    if len(samples) < 2:
        return None
    first, last = samples[0], samples[-1]
    seconds, frames = last.at_s - first.at_s, last.processed - first.processed
    if seconds <= 0 or frames < limits.least_frames:
        return None
    failures = last.failures - first.failures
    parts = [
        (later.detections > earlier.detections, later.at_s - earlier.at_s)
        for earlier, later in pairwise(samples)
        if later.processed > earlier.processed
    ]
    told = sum(length for _, length in parts)
    return Baseline(
        captured_fps=(last.captured - first.captured) / seconds,
        served_fps=(last.served - first.served) / seconds,
        p95_ms=_median(item.p95_ms for item in samples),
        cpu_ms=_cpu_ms(samples),
        error_share=failures / max(1, frames + failures),
        frames=frames,
        detections=last.detections - first.detections,
        steady=sum(length for found, length in parts if found) / told if told else 0.0,
        temperature_c=_median(item.temperature_c for item in samples),
        fps_ratio=max(item.fps_ratio for item in samples),
    )


def judge(before: Baseline | None, samples: Sequence[Sample], limits: ProbationLimits) -> Standing:
    """Where the new model stands.

    before: None where it cannot be compared, as after a restart; then only what is wrong by itself counts.
    samples: of the new model, from the exchange on, in order; without any it is just beginning.
    """
    if not samples:
        return Going(0.0)
    first, last = samples[0], samples[-1]
    recent, longer = _recent(samples, limits.window_s), _recent(samples, 2 * limits.window_s)
    reason = (
        _silent(samples, limits)
        or _errors(before, samples, limits)
        or _errors(before, recent, limits)
        or _leaks(samples, limits)
    )
    if not reason and before is not None:
        reason = (
            _few_frames(before, longer, limits)
            or _slow(before, recent, limits)
            or _hot(before, recent, limits)
            or _finds(before, longer, limits)
        )
    if reason:
        return Failed(reason)
    passed_s = last.at_s - first.at_s
    if passed_s >= limits.duration_s and last.processed - first.processed >= limits.least_frames:
        return Passed()
    share = passed_s / limits.duration_s if limits.duration_s else 1.0
    return Going(min(0.99, share))


def _recent(samples: Sequence[Sample], seconds: float) -> Sequence[Sample]:
    """The last samples that span so long; all where they do not."""
    start = samples[-1].at_s - seconds
    earlier = sum(item.at_s <= start for item in samples)
    return samples[max(0, earlier - 1) :]


def _spans(samples: Sequence[Sample], seconds: float) -> bool:
    return samples[-1].at_s - samples[0].at_s >= seconds


def _silent(samples: Sequence[Sample], limits: ProbationLimits) -> str:
    """Why a model that answers no more is refused: the cameras give frames, and none is served."""
    last = samples[-1]
    since = next(item for item in samples if item.served == last.served)
    quiet_s, given = last.at_s - since.at_s, last.captured - since.captured
    if quiet_s < limits.silent_s / last.fps_ratio or given < 2:
        return ""
    return f"no frame was processed for {quiet_s:.0f} s, while the cameras gave {given}"


def _errors(before: Baseline | None, samples: Sequence[Sample], limits: ProbationLimits) -> str:
    first, last = samples[0], samples[-1]
    failures, frames = last.failures - first.failures, last.processed - first.processed
    share = failures / max(1, frames + failures)
    usual = before.error_share if before else 0.0
    if failures < limits.error_least or share <= usual + limits.error_share:
        return ""
    return f"{failures} of {frames + failures} runs failed, {share:.1%}; before it were {usual:.1%}"


def _few_frames(before: Baseline, recent: Sequence[Sample], limits: ProbationLimits) -> str:
    """Why a model that cannot keep up is refused; a camera that gives less than before asks for less.

    recent: of two windows, so that a model that answers no more is told by `_silent`.
    """
    if not _spans(recent, 2 * limits.window_s):
        return ""
    seconds = recent[-1].at_s - recent[0].at_s
    captured, served = (
        (getattr(recent[-1], name) - getattr(recent[0], name)) / seconds for name in ("captured", "served")
    )
    given = min(1.0, captured / before.captured_fps) if before.captured_fps else 1.0
    left = min(1.0, min(item.fps_ratio for item in recent) / before.fps_ratio)
    wanted = limits.fps_share * before.served_fps * given * left
    if served >= wanted:
        return ""
    return (
        f"it keeps up with {served:.1f} frames a second, the model before with {before.served_fps:.1f}; "
        f"wanted {wanted:.1f}"
    )


def _slow(before: Baseline, recent: Sequence[Sample], limits: ProbationLimits) -> str:
    now = _median(item.p95_ms for item in recent)
    if now is None or before.p95_ms is None or not _spans(recent, limits.window_s):
        return ""
    quick = now - before.p95_ms < limits.noise_ms or (
        limits.fast_enough_ms is not None and now <= limits.fast_enough_ms
    )
    if quick or now <= limits.latency_ratio * before.p95_ms:
        return ""
    cpu_ms = _cpu_ms(recent)
    if cpu_ms is not None and before.cpu_ms is not None and cpu_ms <= limits.cpu_ratio * before.cpu_ms:
        return ""
    return f"it is too slow: p95 {now:.1f} ms for a frame, before it were {before.p95_ms:.1f} ms"


def _hot(before: Baseline, recent: Sequence[Sample], limits: ProbationLimits) -> str:
    now = _median(item.temperature_c for item in recent)
    if now is None or before.temperature_c is None or not _spans(recent, limits.window_s):
        return ""
    if now < limits.temperature_hot_c or now - before.temperature_c <= limits.temperature_rise_c:
        return ""
    return f"the board gets too hot: {now:.0f} degrees Celsius, before it were {before.temperature_c:.0f}"


def _finds(before: Baseline, recent: Sequence[Sample], limits: ProbationLimits) -> str:
    """Why a model that finds far less or far more is refused, where there is enough to say so."""
    frames = recent[-1].processed - recent[0].processed
    found = recent[-1].detections - recent[0].detections
    enough = min(before.frames, frames) >= limits.evidence_frames and before.detections >= limits.evidence
    if not enough or before.steady < limits.steady_share or not _spans(recent, 2 * limits.window_s):
        return ""
    usual = before.detections / before.frames
    expected = usual * frames
    few = expected >= limits.evidence and found < expected / limits.detection_factor
    many = found >= limits.evidence and found > expected * limits.detection_factor
    if not few and not many:
        return ""
    return f"it finds {found / frames:.2f} things in a frame, the model before {usual:.2f}"


def _leaks(samples: Sequence[Sample], limits: ProbationLimits) -> str:
    """Why a daemon whose memory grows all the time is no good."""
    settled = [item for item in samples if item.at_s - samples[0].at_s >= limits.settle_s and item.rss_bytes]
    if len(settled) <= WINDOWS:
        return ""
    return _leak(settled, limits) or _leak(_recent(settled, WINDOWS * limits.window_s), limits)


def _leak(settled: Sequence[Sample], limits: ProbationLimits) -> str:
    """Over these samples. The least of each part is compared with that of the next: what grows once, late, or goes up
    and down, does not leak.
    """
    if len(settled) <= WINDOWS or not _spans(settled, limits.window_s):
        return ""
    size = -(-len(settled) // (WINDOWS + 1))
    floors = [
        min(settled[start : start + size], key=lambda item: item.rss_bytes) for start in range(0, len(settled), size)
    ]
    slopes = [
        (later.rss_bytes - earlier.rss_bytes) / (later.at_s - earlier.at_s)
        for earlier, later in pairwise(floors)
        if later.at_s > earlier.at_s
    ]
    grown, seconds = settled[-1].rss_bytes - settled[0].rss_bytes, settled[-1].at_s - settled[0].at_s
    if not slopes or min(slopes) <= limits.leak_bytes_s or grown < limits.leak_least_bytes:
        return ""
    return f"the memory of the process grows all the time: {grown / MIB:.0f} MiB in {seconds:.0f} s"


def _cpu_ms(samples: Sequence[Sample]) -> float | None:
    """The processor's time for a frame."""
    first, last = samples[0], samples[-1]
    if first.cpu_s is None or last.cpu_s is None or last.processed == first.processed:
        return None
    return round((last.cpu_s - first.cpu_s) * 1e3 / (last.processed - first.processed), 3)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
