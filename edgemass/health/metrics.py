"""The metrics of a device, by Prometheus' conventions: base units, `_total` for counters, no addresses in labels.

One row of METRICS is one metric. docs/health.md has the same table; a test holds them together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime

from edgemass.health import samples
from edgemass.health.board_metrics import BOARD
from edgemass.health.samples import Metric, Sample
from edgemass.messages.health import HealthMessage, Quality

STATES = ("starting", "online", "offline", "blind", "disabled", "ended")
QUALITIES: tuple[Quality, ...] = ("excellent", "fair", "poor", "unusable")


def _models(message: HealthMessage) -> Iterator[Sample]:
    for slot, model in message.models.items():
        told = {field: str(getattr(model, field)) for field in ("name", "version", "digest", "variant", "backend")}
        yield Sample({"slot": slot, **told}, 1)


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


def _unix(message: HealthMessage) -> float:
    return datetime.fromisoformat(message.time.replace("Z", "+00:00")).timestamp()


METRICS = (
    Metric(
        "edgemass_build_info",
        "gauge",
        "What runs: always 1.",
        samples.info(lambda it: {"version": it.version, "device": it.device}),
    ),
    Metric(
        "edgemass_board_info",
        "gauge",
        "What it runs on: always 1.",
        samples.info(lambda it: {"profile": it.board.profile, "model": it.board.model}),
    ),
    Metric("edgemass_uptime_seconds", "gauge", "Since the process began.", samples.device(lambda it: it.uptime_s)),
    Metric("edgemass_health_timestamp_seconds", "gauge", "Unix time of these numbers.", samples.device(_unix)),
    Metric(
        "edgemass_ready",
        "gauge",
        "Whether every camera that is wanted gives frames to a model.",
        samples.device(lambda it: it.ready),
    ),
    Metric(
        "edgemass_problems",
        "gauge",
        "Things that a person should know; `edgemass status` says them in words.",
        samples.device(lambda it: len(it.problems)),
    ),
    *BOARD,
    # The cameras.
    Metric(
        "edgemass_camera_state",
        "gauge",
        "1 for the state that it is in.",
        samples.one_of(STATES, "state", lambda it: it.state),
    ),
    Metric(
        "edgemass_camera_connection_quality",
        "gauge",
        "1 for the quality of its connection.",
        samples.one_of(QUALITIES, "quality", lambda it: it.quality),
    ),
    Metric(
        "edgemass_camera_asked_frames_per_second",
        "gauge",
        "Its max_fps; not there where all are wanted.",
        samples.camera(lambda it: it.fps_asked),
    ),
    Metric(
        "edgemass_camera_captured_frames_per_second",
        "gauge",
        "Over the last minute.",
        samples.camera(lambda it: it.fps_captured),
    ),
    Metric(
        "edgemass_camera_processed_frames_per_second",
        "gauge",
        "Over the last minute.",
        samples.camera(lambda it: it.fps_processed),
    ),
    Metric(
        "edgemass_camera_frames_captured_total",
        "counter",
        "Frames that came.",
        samples.camera(lambda it: it.frames_captured),
    ),
    Metric(
        "edgemass_camera_frames_processed_total",
        "counter",
        "Frames that a model looked at.",
        samples.camera(lambda it: it.frames_processed),
    ),
    Metric(
        "edgemass_camera_frames_dropped_total",
        "counter",
        "Frames that it did not, by cause.",
        samples.by("camera", lambda it: it.cameras, "cause", lambda it: it.dropped),
    ),
    Metric(
        "edgemass_camera_reconnects_total",
        "counter",
        "Times that frames came again.",
        samples.camera(lambda it: it.reconnects),
    ),
    Metric(
        "edgemass_camera_last_frame_age_seconds",
        "gauge",
        "Since a model looked at one.",
        samples.camera(lambda it: it.last_frame_s),
    ),
    Metric(
        "edgemass_camera_lag_seconds",
        "summary",
        "How old the last 1000 frames were when their runs began.",
        samples.quantiles("camera", lambda it: it.cameras, lambda it: it.lag_ms),
    ),
    Metric(
        "edgemass_camera_latency_seconds",
        "summary",
        "From arrival to the finished document, of the last 1000 frames.",
        samples.quantiles("camera", lambda it: it.cameras, lambda it: it.total_ms),
    ),
    Metric("edgemass_inference_duration_seconds", "histogram", "Runs of the runtime alone.", _inference),
    # The models.
    Metric("edgemass_model_info", "gauge", "What is really loaded, and on what it runs: always 1.", _models),
    Metric(
        "edgemass_model_degraded",
        "gauge",
        "Whether it runs on something else than what was asked for.",
        samples.each("slot", lambda it: it.models, lambda it: bool(it.degraded)),
    ),
    Metric(
        "edgemass_model_inference_seconds",
        "summary",
        "Of the last 1000 runs of each camera.",
        samples.quantiles("slot", lambda it: it.models, lambda it: it.infer_ms),
    ),
    # Where documents go.
    Metric(
        "edgemass_output_connected",
        "gauge",
        "Whether its other side is there.",
        samples.output(lambda it: it.connected),
    ),
    Metric(
        "edgemass_output_held_bytes",
        "gauge",
        "Memory that unsent documents take.",
        samples.output(lambda it: None if it.connected is None else it.held_bytes),
    ),
    Metric(
        "edgemass_output_published_total",
        "counter",
        "Documents that it took.",
        samples.output(lambda it: it.counters.get("published", 0)),
    ),
    Metric("edgemass_output_dropped_total", "counter", "Documents that were lost there, by reason.", _lost),
    Metric("edgemass_queue_messages", "gauge", "Events that wait on disk.", samples.queue(lambda it: it.messages)),
    Metric("edgemass_queue_bytes", "gauge", "What they take.", samples.queue(lambda it: it.size_bytes)),
    Metric("edgemass_queue_limit_bytes", "gauge", "What they may take.", samples.queue(lambda it: it.limit_bytes)),
    Metric(
        "edgemass_queue_oldest_seconds",
        "gauge",
        "How long the first has waited.",
        samples.queue(lambda it: it.oldest_s),
    ),
    Metric(
        "edgemass_queue_delivered_total",
        "counter",
        "Events that the broker acknowledged.",
        samples.queue(lambda it: it.delivered),
    ),
    Metric(
        "edgemass_queue_dropped_total",
        "counter",
        "Events that were lost there, by reason.",
        samples.by("output", lambda it: it.queues, "reason", lambda it: it.dropped),
    ),
    Metric(
        "edgemass_queue_written_bytes_total",
        "counter",
        "What the queue wrote to the disk.",
        samples.queue(lambda it: it.written_bytes),
    ),
    Metric(
        "edgemass_queue_in_memory",
        "gauge",
        "Whether the disk takes nothing, and events would not survive the process.",
        samples.queue(lambda it: it.in_memory),
    ),
    # What is held back.
    Metric("edgemass_governor_level", "gauge", "0 = nothing.", samples.of(lambda it: it.governor, lambda it: it.level)),
    Metric(
        "edgemass_governor_fps_ratio",
        "gauge",
        "Of what the cameras ask, what they get.",
        samples.of(lambda it: it.governor, lambda it: it.fps_ratio),
    ),
    Metric(
        "edgemass_governor_lighter_variant",
        "gauge",
        "Whether a lighter variant of the model runs.",
        samples.of(lambda it: it.governor, lambda it: it.lighter_variant),
    ),
)
