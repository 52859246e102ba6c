"""The metrics of a device, by Prometheus' conventions: base units, `_total` for counters, no addresses in labels.

One row of METRICS is one metric. docs/health.md has the same table; a test holds them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Literal, NamedTuple, TypeVar

from edgemass.messages.health import (
    CameraHealth,
    HealthMessage,
    OutputHealth,
    Percentiles,
    Quality,
    QueueHealth,
)

STATES = ("starting", "online", "offline", "blind", "disabled", "ended")
QUALITIES: tuple[Quality, ...] = ("excellent", "fair", "poor", "unusable")
HOUR_S = 3600

T = TypeVar("T")
Kind = Literal["gauge", "counter", "summary", "histogram"]


class Sample(NamedTuple):
    """suffix: of the metric's name, as `_bucket`."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


Samples = Callable[[HealthMessage], Iterable[Sample]]


class Metric(NamedTuple):
    """samples: of a document; none where the device has no such thing."""

    name: str
    kind: Kind
    help: str
    samples: Samples


def _of(part: Callable[[HealthMessage], T | None], value: Callable[[T], float | None]) -> Samples:
    """A value of a part that may not be there."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        found = part(message)
        number = value(found) if found is not None else None
        if number is not None:
            yield Sample({}, number)

    return samples


def _device(value: Callable[[HealthMessage], float | None]) -> Samples:
    return _of(lambda message: message, value)


def _each(label: str, rows: Callable[[HealthMessage], Mapping[str, T]], value: Callable[[T], float | None]) -> Samples:
    """A value of every camera, output, ... by its name."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, row in rows(message).items():
            number = value(row)
            if number is not None:
                yield Sample({label: name}, number)

    return samples


def _camera(value: Callable[[CameraHealth], float | None]) -> Samples:
    return _each("camera", lambda message: message.cameras, value)


def _output(value: Callable[[OutputHealth], float | None]) -> Samples:
    return _each("output", lambda message: message.outputs, value)


def _queue(value: Callable[[QueueHealth], float | None]) -> Samples:
    return _each("output", lambda message: message.queues, value)


def _one_of(words: Iterable[str], label: str, found: Callable[[CameraHealth], str | None]) -> Samples:
    """1 for the word that holds, 0 for the others."""

    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, camera in message.cameras.items():
            word = found(camera)
            for row in words if word is not None else ():
                yield Sample({"camera": name, label: row}, word == row)

    return samples


def _quantiles(
    label: str, rows: Callable[[HealthMessage], Mapping[str, T]], found: Callable[[T], Percentiles | None]
) -> Samples:
    def samples(message: HealthMessage) -> Iterator[Sample]:
        for name, row in rows(message).items():
            told = found(row)
            if told is not None:
                for quantile, ms in (("0.5", told.p50), ("0.95", told.p95), ("0.99", told.p99)):
                    yield Sample({label: name, "quantile": quantile}, ms / 1000)

    return samples


def _named(label: str, values: Callable[[HealthMessage], Mapping[str, float]]) -> Samples:
    return _each(label, values, lambda value: value)


def _build(message: HealthMessage) -> Iterator[Sample]:
    yield Sample({"version": message.version, "device": message.device}, 1)


def _board(message: HealthMessage) -> Iterator[Sample]:
    yield Sample({"profile": message.board.profile, "model": message.board.model}, 1)


def _models(message: HealthMessage) -> Iterator[Sample]:
    for slot, model in message.models.items():
        told = {field: str(getattr(model, field)) for field in ("name", "version", "digest", "variant", "backend")}
        yield Sample({"slot": slot, **told}, 1)


def _dropped_frames(message: HealthMessage) -> Iterator[Sample]:
    for name, camera in message.cameras.items():
        for cause, count in camera.dropped.items():
            yield Sample({"camera": name, "cause": cause}, count)


def _inference(message: HealthMessage) -> Iterator[Sample]:
    for name, camera in message.cameras.items():
        if camera.infer is None:
            continue
        labels, total = {"camera": name, "slot": camera.slot}, 0
        for bound, count in zip((*camera.infer.bounds_ms, math.inf), camera.infer.counts, strict=True):
            total += count
            le = "+Inf" if math.isinf(bound) else f"{bound / 1000:g}"
            yield Sample({**labels, "le": le}, total, "_bucket")
        yield Sample(labels, camera.infer.sum_ms / 1000, "_sum")
        yield Sample(labels, total, "_count")


def _published(message: HealthMessage) -> Iterator[Sample]:
    for name, output in message.outputs.items():
        yield Sample({"output": name}, output.counters.get("published", 0))


def _lost(message: HealthMessage) -> Iterator[Sample]:
    """Drops by reason; those that no reason is counted for as "other"."""
    for name, output in message.outputs.items():
        reasons = {
            counter.removeprefix("dropped."): count
            for counter, count in output.counters.items()
            if counter.startswith("dropped.")
        }
        other = output.counters.get("dropped", 0) - sum(reasons.values())
        reasons |= {"other": max(0, other), "failed": output.counters.get("failed", 0)}
        for reason, count in reasons.items():
            yield Sample({"output": name, "reason": reason}, count)


def _collected(message: HealthMessage) -> Mapping[str, float]:
    return {name: name not in message.system.failed for name in message.system.collect_ms}


def _unix(message: HealthMessage) -> float:
    return datetime.fromisoformat(message.time.replace("Z", "+00:00")).timestamp()


METRICS = (
    Metric("edgemass_build_info", "gauge", "What runs: always 1.", _build),
    Metric("edgemass_board_info", "gauge", "What it runs on: always 1.", _board),
    Metric("edgemass_uptime_seconds", "gauge", "Since the process began.", _device(lambda it: it.uptime_s)),
    Metric("edgemass_health_timestamp_seconds", "gauge", "Unix time of these numbers.", _device(_unix)),
    Metric(
        "edgemass_ready",
        "gauge",
        "Whether every camera that is wanted gives frames to a model.",
        _device(lambda it: it.ready),
    ),
    Metric(
        "edgemass_problems",
        "gauge",
        "Things that a person should know; `edgemass status` says them in words.",
        _device(lambda it: len(it.problems)),
    ),
    # The board.
    Metric(
        "edgemass_temperature_celsius",
        "gauge",
        "Of every thermal zone.",
        _named("zone", lambda it: it.system.temperature.zones if it.system.temperature else {}),
    ),
    Metric(
        "edgemass_temperature_limit_celsius",
        "gauge",
        "Where the kernel begins to slow the board down.",
        _of(lambda it: it.system.temperature, lambda it: it.limit_c),
    ),
    Metric(
        "edgemass_throttled",
        "gauge",
        "Whether the board slows itself down now.",
        _of(lambda it: it.system.throttling, lambda it: it.throttled),
    ),
    Metric(
        "edgemass_throttled_since_boot",
        "gauge",
        "Whether it did since it was switched on.",
        _of(lambda it: it.system.throttling, lambda it: it.throttled_before),
    ),
    Metric(
        "edgemass_undervoltage",
        "gauge",
        "Whether its voltage is too low now.",
        _of(lambda it: it.system.throttling, lambda it: it.undervoltage),
    ),
    Metric(
        "edgemass_undervoltage_since_boot",
        "gauge",
        "Whether it was since it was switched on.",
        _of(lambda it: it.system.throttling, lambda it: it.undervoltage_before),
    ),
    Metric(
        "edgemass_cpu_clock_ratio",
        "gauge",
        "The fastest core's clock over what it might be; low at rest too.",
        _of(lambda it: it.system.throttling, lambda it: it.clock_ratio),
    ),
    Metric(
        "edgemass_cpu_cores",
        "gauge",
        "That edgemass may use, rounded up.",
        _of(lambda it: it.system.cpu, lambda it: it.cores),
    ),
    Metric(
        "edgemass_cpu_used_ratio",
        "gauge",
        "How busy the board's cores are.",
        _of(lambda it: it.system.cpu, lambda it: it.used_ratio),
    ),
    Metric(
        "edgemass_process_cpu_ratio",
        "gauge",
        "How much of the cores that it may use edgemass takes.",
        _of(lambda it: it.system.cpu, lambda it: it.process_ratio),
    ),
    Metric("edgemass_load1", "gauge", "Load of the last minute.", _of(lambda it: it.system.cpu, lambda it: it.load_1m)),
    Metric(
        "edgemass_memory_size_bytes",
        "gauge",
        "Of the board, or of the limit of its control group.",
        _of(lambda it: it.system.memory, lambda it: it.total_bytes),
    ),
    Metric(
        "edgemass_memory_available_bytes",
        "gauge",
        "What can be had without swapping.",
        _of(lambda it: it.system.memory, lambda it: it.available_bytes),
    ),
    Metric(
        "edgemass_process_resident_memory_bytes",
        "gauge",
        "What edgemass takes.",
        _of(lambda it: it.system.memory, lambda it: it.rss_bytes),
    ),
    Metric(
        "edgemass_process_memory_growth_bytes_per_second",
        "gauge",
        "How it grows, over the last hour.",
        _of(
            lambda it: it.system.memory,
            lambda it: None if it.slope_bytes_per_hour is None else it.slope_bytes_per_hour / HOUR_S,
        ),
    ),
    Metric(
        "edgemass_disk_size_bytes",
        "gauge",
        "Of the disk with the state folder.",
        _of(lambda it: it.system.disk, lambda it: it.total_bytes),
    ),
    Metric(
        "edgemass_disk_free_bytes",
        "gauge",
        "Left on it.",
        _of(lambda it: it.system.disk, lambda it: it.free_bytes),
    ),
    Metric(
        "edgemass_disk_read_only",
        "gauge",
        "Whether nothing can be written there.",
        _of(lambda it: it.system.disk, lambda it: it.read_only),
    ),
    Metric(
        "edgemass_disk_written_bytes_total",
        "counter",
        "What edgemass had written to disks.",
        _of(lambda it: it.system.disk, lambda it: it.written_bytes),
    ),
    Metric(
        "edgemass_disk_written_day_bytes",
        "gauge",
        "The same of the last 24 hours.",
        _of(lambda it: it.system.disk, lambda it: it.written_today_bytes),
    ),
    Metric(
        "edgemass_disk_budget_bytes",
        "gauge",
        "What may be written in 24 hours.",
        _of(lambda it: it.system.disk, lambda it: it.budget_bytes),
    ),
    Metric(
        "edgemass_clock_synchronized",
        "gauge",
        "Whether the time can be believed.",
        _device(lambda it: it.clock_synced),
    ),
    Metric(
        "edgemass_clock_steps_total",
        "counter",
        "How often the clock was set while edgemass ran.",
        _of(lambda it: it.system.clock, lambda it: it.steps),
    ),
    Metric(
        "edgemass_power_watts",
        "gauge",
        "As the board measures it.",
        _of(lambda it: it.system.power, lambda it: it.watts),
    ),
    Metric(
        "edgemass_power_supply_active",
        "gauge",
        "Whether this feeds the board.",
        _named("supply", lambda it: it.system.power.supplies if it.system.power else {}),
    ),
    Metric("edgemass_collector_success", "gauge", "Whether it could read.", _named("collector", _collected)),
    Metric(
        "edgemass_collector_duration_seconds",
        "gauge",
        "How long its last reading took.",
        _each("collector", lambda it: it.system.collect_ms, lambda ms: ms / 1000),
    ),
    # The cameras.
    Metric(
        "edgemass_camera_state",
        "gauge",
        "1 for the state that it is in.",
        _one_of(STATES, "state", lambda it: it.state),
    ),
    Metric(
        "edgemass_camera_connection_quality",
        "gauge",
        "1 for the quality of its connection.",
        _one_of(QUALITIES, "quality", lambda it: it.quality),
    ),
    Metric(
        "edgemass_camera_asked_frames_per_second",
        "gauge",
        "Its max_fps; not there where all are wanted.",
        _camera(lambda it: it.fps_asked),
    ),
    Metric(
        "edgemass_camera_captured_frames_per_second",
        "gauge",
        "Over the last minute.",
        _camera(lambda it: it.fps_captured),
    ),
    Metric(
        "edgemass_camera_processed_frames_per_second",
        "gauge",
        "Over the last minute.",
        _camera(lambda it: it.fps_processed),
    ),
    Metric(
        "edgemass_camera_frames_captured_total",
        "counter",
        "Frames that came.",
        _camera(lambda it: it.frames_captured),
    ),
    Metric(
        "edgemass_camera_frames_processed_total",
        "counter",
        "Frames that a model looked at.",
        _camera(lambda it: it.frames_processed),
    ),
    Metric("edgemass_camera_frames_dropped_total", "counter", "Frames that it did not, by cause.", _dropped_frames),
    Metric(
        "edgemass_camera_reconnects_total",
        "counter",
        "Times that frames came again.",
        _camera(lambda it: it.reconnects),
    ),
    Metric(
        "edgemass_camera_last_frame_age_seconds",
        "gauge",
        "Since a model looked at one.",
        _camera(lambda it: it.last_frame_s),
    ),
    Metric(
        "edgemass_camera_lag_seconds",
        "summary",
        "How old the last 1000 frames were when their runs began.",
        _quantiles("camera", lambda it: it.cameras, lambda it: it.lag_ms),
    ),
    Metric(
        "edgemass_camera_latency_seconds",
        "summary",
        "From arrival to the finished document, of the last 1000 frames.",
        _quantiles("camera", lambda it: it.cameras, lambda it: it.total_ms),
    ),
    Metric("edgemass_inference_duration_seconds", "histogram", "Runs of the runtime alone.", _inference),
    # The models.
    Metric("edgemass_model_info", "gauge", "What is really loaded, and on what it runs: always 1.", _models),
    Metric(
        "edgemass_model_degraded",
        "gauge",
        "Whether it runs on something else than what was asked for.",
        _each("slot", lambda it: it.models, lambda it: bool(it.degraded)),
    ),
    Metric(
        "edgemass_model_inference_seconds",
        "summary",
        "Of the last 1000 runs of each camera.",
        _quantiles("slot", lambda it: it.models, lambda it: it.infer_ms),
    ),
    # Where documents go.
    Metric("edgemass_output_connected", "gauge", "Whether its other side is there.", _output(lambda it: it.connected)),
    Metric(
        "edgemass_output_held_bytes",
        "gauge",
        "Memory that unsent documents take.",
        _output(lambda it: None if it.connected is None else it.held_bytes),
    ),
    Metric("edgemass_output_published_total", "counter", "Documents that it took.", _published),
    Metric("edgemass_output_dropped_total", "counter", "Documents that were lost there, by reason.", _lost),
    Metric("edgemass_queue_messages", "gauge", "Events that wait on disk.", _queue(lambda it: it.messages)),
    Metric("edgemass_queue_bytes", "gauge", "What they take.", _queue(lambda it: it.size_bytes)),
    Metric("edgemass_queue_limit_bytes", "gauge", "What they may take.", _queue(lambda it: it.limit_bytes)),
    Metric("edgemass_queue_oldest_seconds", "gauge", "How long the first has waited.", _queue(lambda it: it.oldest_s)),
    Metric(
        "edgemass_queue_in_memory",
        "gauge",
        "Whether the disk takes nothing, and events would not survive the process.",
        _queue(lambda it: it.in_memory),
    ),
    # What is held back.
    Metric("edgemass_governor_level", "gauge", "0 = nothing.", _of(lambda it: it.governor, lambda it: it.level)),
    Metric(
        "edgemass_governor_fps_ratio",
        "gauge",
        "Of what the cameras ask, what they get.",
        _of(lambda it: it.governor, lambda it: it.fps_ratio),
    ),
    Metric(
        "edgemass_governor_lighter_variant",
        "gauge",
        "Whether a lighter variant of the model runs.",
        _of(lambda it: it.governor, lambda it: it.lighter_variant),
    ),
)
