"""The metrics of the board itself: what the collectors read."""

from __future__ import annotations

from edgemass.health import samples
from edgemass.health.samples import Metric

HOUR_S = 3600

BOARD = (
    Metric(
        "edgemass_temperature_celsius",
        "gauge",
        "Of every thermal zone.",
        samples.named("zone", lambda it: it.system.temperature.zones if it.system.temperature else {}),
    ),
    Metric(
        "edgemass_temperature_limit_celsius",
        "gauge",
        "Where the kernel begins to slow the board down.",
        samples.of(lambda it: it.system.temperature, lambda it: it.limit_c),
    ),
    Metric(
        "edgemass_throttled",
        "gauge",
        "Whether the board slows itself down now.",
        samples.of(lambda it: it.system.throttling, lambda it: it.throttled),
    ),
    Metric(
        "edgemass_throttled_since_boot",
        "gauge",
        "Whether it did since it was switched on.",
        samples.of(lambda it: it.system.throttling, lambda it: it.throttled_before),
    ),
    Metric(
        "edgemass_undervoltage",
        "gauge",
        "Whether its voltage is too low now.",
        samples.of(lambda it: it.system.throttling, lambda it: it.undervoltage),
    ),
    Metric(
        "edgemass_undervoltage_since_boot",
        "gauge",
        "Whether it was since it was switched on.",
        samples.of(lambda it: it.system.throttling, lambda it: it.undervoltage_before),
    ),
    Metric(
        "edgemass_cpu_clock_ratio",
        "gauge",
        "The fastest core's clock over what it might be; low at rest too.",
        samples.of(lambda it: it.system.throttling, lambda it: it.clock_ratio),
    ),
    Metric(
        "edgemass_cpu_cores",
        "gauge",
        "That edgemass may use, rounded up.",
        samples.of(lambda it: it.system.cpu, lambda it: it.cores),
    ),
    Metric(
        "edgemass_cpu_used_ratio",
        "gauge",
        "How busy the board's cores are.",
        samples.of(lambda it: it.system.cpu, lambda it: it.used_ratio),
    ),
    Metric(
        "edgemass_process_cpu_ratio",
        "gauge",
        "How much of the cores that it may use edgemass takes.",
        samples.of(lambda it: it.system.cpu, lambda it: it.process_ratio),
    ),
    Metric(
        "edgemass_load1",
        "gauge",
        "Load of the last minute.",
        samples.of(lambda it: it.system.cpu, lambda it: it.load_1m),
    ),
    Metric(
        "edgemass_memory_size_bytes",
        "gauge",
        "Of the board, or of the limit of its control group.",
        samples.of(lambda it: it.system.memory, lambda it: it.total_bytes),
    ),
    Metric(
        "edgemass_memory_available_bytes",
        "gauge",
        "What can be had without swapping.",
        samples.of(lambda it: it.system.memory, lambda it: it.available_bytes),
    ),
    Metric(
        "edgemass_process_resident_memory_bytes",
        "gauge",
        "What edgemass takes.",
        samples.of(lambda it: it.system.memory, lambda it: it.rss_bytes),
    ),
    Metric(
        "edgemass_process_memory_growth_bytes_per_second",
        "gauge",
        "How it grows, over the last hour.",
        samples.of(
            lambda it: it.system.memory,
            lambda it: None if it.slope_bytes_per_hour is None else it.slope_bytes_per_hour / HOUR_S,
        ),
    ),
    Metric(
        "edgemass_disk_size_bytes",
        "gauge",
        "Of the disk with the state folder.",
        samples.of(lambda it: it.system.disk, lambda it: it.total_bytes),
    ),
    Metric(
        "edgemass_disk_free_bytes",
        "gauge",
        "Left on it.",
        samples.of(lambda it: it.system.disk, lambda it: it.free_bytes),
    ),
    Metric(
        "edgemass_disk_read_only",
        "gauge",
        "Whether nothing can be written there.",
        samples.of(lambda it: it.system.disk, lambda it: it.read_only),
    ),
    Metric(
        "edgemass_disk_written_bytes_total",
        "counter",
        "What edgemass had written to disks.",
        samples.of(lambda it: it.system.disk, lambda it: it.written_bytes),
    ),
    Metric(
        "edgemass_disk_written_day_bytes",
        "gauge",
        "The same of the last 24 hours, or since the start where that is less.",
        samples.of(lambda it: it.system.disk, lambda it: it.written_today_bytes),
    ),
    Metric(
        "edgemass_disk_budget_bytes",
        "gauge",
        "What may be written in 24 hours.",
        samples.of(lambda it: it.system.disk, lambda it: it.budget_bytes),
    ),
    Metric(
        "edgemass_clock_synchronized",
        "gauge",
        "Whether the time can be believed.",
        samples.device(lambda it: it.clock_synced),
    ),
    Metric(
        "edgemass_clock_steps_total",
        "counter",
        "How often the clock was set while edgemass ran.",
        samples.of(lambda it: it.system.clock, lambda it: it.steps),
    ),
    Metric(
        "edgemass_power_watts",
        "gauge",
        "As the board measures it.",
        samples.of(lambda it: it.system.power, lambda it: it.watts),
    ),
    Metric(
        "edgemass_power_supply_active",
        "gauge",
        "Whether this feeds the board.",
        samples.named("supply", lambda it: it.system.power.supplies if it.system.power else {}),
    ),
    Metric(
        "edgemass_collector_success",
        "gauge",
        "Whether it could read.",
        samples.named("collector", lambda it: {name: name not in it.system.failed for name in it.system.collect_ms}),
    ),
    Metric(
        "edgemass_collector_duration_seconds",
        "gauge",
        "How long its last reading took.",
        samples.each("collector", lambda it: it.system.collect_ms, lambda ms: ms / 1000),
    ),
)
