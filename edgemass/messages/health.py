"""How a device is: what its collectors read, its cameras, models and outputs, and where every event went."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

HEALTH = "edgemass.health/1"
ACCOUNT = "edgemass.account/1"

Quality = Literal["excellent", "fair", "poor", "unusable"]


class Percentiles(msgspec.Struct, frozen=True):
    """Of the last runs, in milliseconds."""

    p50: float
    p95: float
    p99: float


class Histogram(msgspec.Struct, frozen=True):
    """How many runs took how long, since the start: counts has one more than bounds_ms, for what is above the last."""

    bounds_ms: tuple[float, ...]
    counts: tuple[int, ...]
    sum_ms: float


class Temperature(msgspec.Struct, frozen=True):
    """Degrees Celsius: of the hottest zone, and of each by its name. limit: where the kernel begins to slow the board
    down, of the zone that is closest to it.
    """

    hottest_c: float
    zones: dict[str, float] = {}
    limit_c: float | None = None


class Throttling(msgspec.Struct, frozen=True):
    """Whether the board slows itself down or lacks power: now, and since it was switched on."""

    throttled: bool
    undervoltage: bool
    throttled_before: bool = False
    undervoltage_before: bool = False
    causes: tuple[str, ...] = ()
    clock_ratio: float | None = None
    """Of the frequency that the CPU might have: how much it has now."""


class Cpu(msgspec.Struct, frozen=True):
    """Since the reading before, as parts of all cores: of the whole board, and of this process."""

    cores: int
    used_ratio: float | None
    process_ratio: float | None
    load_1m: float


class Memory(msgspec.Struct, frozen=True):
    """slope: how this process grows, over the last hour; None before there is enough to tell."""

    total_bytes: int
    available_bytes: int
    rss_bytes: int
    slope_bytes_per_hour: float | None = None


class Disk(msgspec.Struct, frozen=True):
    """Where the state lies. written: by this process since it began; budget: what it may write a day, None = any.

    read_only: nothing can be written there.
    """

    total_bytes: int
    free_bytes: int
    written_bytes: int
    written_today_bytes: int = 0
    budget_bytes: int | None = None
    read_only: bool = False


class ClockReading(msgspec.Struct, frozen=True):
    """Whether the time can be believed, and by whose word. steps: how often it was set while this process ran."""

    synced: bool
    source: str = ""
    steps: int = 0


class Power(msgspec.Struct, frozen=True):
    """Watts, where the board measures them; supplies: what feeds it, and whether it does."""

    watts: float | None = None
    supplies: dict[str, bool] = {}


class Failed(msgspec.Struct, frozen=True):
    """A collector that could not read."""

    error: str


class Board(msgspec.Struct, frozen=True):
    """profile: of device-profiles/; model: as the board calls itself."""

    profile: str
    model: str


class CameraHealth(msgspec.Struct, frozen=True, kw_only=True):
    """asked, captured, processed: frames a second; None asked = as many as come. Over the last minute.

    dropped: frames by cause, since the start. lag_ms: how old frames are when their runs begin. quality: of the link.
    last_frame_s: seconds since the last frame that was processed, None before the first. infer: of the runtime alone.
    """

    state: str
    reason: str = ""
    slot: str = "main"
    fps_asked: float | None = None
    fps_captured: float = 0.0
    fps_processed: float = 0.0
    frames_captured: int = 0
    frames_processed: int = 0
    dropped: dict[str, int] = {}
    reconnects: int = 0
    quality: Quality | None = None
    lag_ms: Percentiles | None = None
    total_ms: Percentiles | None = None
    last_frame_s: float | None = None
    infer: Histogram | None = None


class ModelHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The model that a slot really runs. requested: what it was to run on; degraded: why it does not."""

    name: str
    version: str
    digest: str
    variant: str
    backend: str
    requested: str = ""
    degraded: str = ""
    infer_ms: Percentiles | None = None


class OutputHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One sink.

    connected: None where it has no other side. trouble: what is the matter with it, which may be while it is connected.
    held_bytes: unsent. counters: since its start.
    """

    connected: bool | None = None
    trouble: str = ""
    held_bytes: int = 0
    counters: dict[str, int] = {}


class QueueHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The queue on disk before one broker. oldest_s: how long the first in line has waited."""

    messages: int
    size_bytes: int
    limit_bytes: int
    oldest_s: float | None = None
    in_memory: bool = False
    """The disk takes nothing: what waits now would not survive the process."""
    delivered: int = 0
    dropped: dict[str, int] = {}
    """Since this process began, by reason as in Account."""
    written_bytes: int = 0
    """To the disk since this process began, in whole pages."""
    budget_bytes: int | None = None
    """What may be written there in a day, None = any."""


class GovernorHealth(msgspec.Struct, frozen=True, kw_only=True):
    """level: 0 = nothing is held back. fps_ratio: of what the cameras ask, what they get."""

    level: int
    fps_ratio: float
    reason: str = ""
    since: str = ""
    lighter_variant: bool = False


Reading = Temperature | Throttling | Cpu | Memory | Disk | ClockReading | Power


class System(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field a collector. None: this board has no such thing."""

    temperature: Temperature | None = None
    throttling: Throttling | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    disk: Disk | None = None
    clock: ClockReading | None = None
    power: Power | None = None
    failed: dict[str, str] = {}
    """Collector -> why it could not read."""
    collect_ms: dict[str, float] = {}


class HealthMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=HEALTH):
    """How the device is, every so often. ready: whether every camera that is wanted gives frames to a model.

    every_s: so often; who has heard nothing for some times that long knows that the device is away. 0 = not told.
    """

    device: str
    run_id: str
    boot_id: str
    seq: Annotated[int, msgspec.Meta(ge=1)]
    mono_ns: int
    time: str
    clock_synced: bool
    version: str
    uptime_s: float
    ready: bool
    every_s: float = 0.0
    problems: tuple[str, ...] = ()
    """What a person should know, in words; empty when all is well."""
    board: Board
    system: System
    cameras: dict[str, CameraHealth]
    models: dict[str, ModelHealth]
    outputs: dict[str, OutputHealth]
    queues: dict[str, QueueHealth] = {}
    governor: GovernorHealth | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Of one class of documents: produced = delivered + queued + the sum of dropped, always.

    produced: in the queue, on disk where there is one. delivered: acknowledged by the broker. dropped: reason -> how
    many: full (the queue was), expired (too old), damaged (on disk), too_large, refused (by the broker), undeliverable
    (the connection broke every time), unseen (never came to the queue).
    """

    produced: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: dict[str, int] = {}


class AccountMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema", tag=ACCOUNT):
    """Where every event of a run went. Retained, one topic a run; the last of a run is final: it will not change.

    interrupted: the run ended without a word (killed, or without power). After a power cut a subscriber may have events
    above `cameras`: they were delivered in the last seconds and are in no account.
    run_id: of the run whose documents are accounted for, which may be an earlier one than the sender's.
    classes: class of documents (events) -> account. cameras: camera -> the last seq that was produced.
    """

    device: str
    run_id: str
    boot_id: str
    time: str
    clock_synced: bool
    final: bool
    interrupted: bool = False
    classes: dict[str, Account]
    cameras: dict[str, int] = {}
