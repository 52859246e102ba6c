"""Says how the device is: `edgemass.health/1`, every so often, to whoever manages it and to a file."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

from edgemass import __version__
from edgemass.agent.camera_health import SAMPLE_S, CameraWatch, Seen, copied
from edgemass.agent.slot import ModelSlot
from edgemass.agent.status_file import StatusFile
from edgemass.clock import Clock, clock_synced, rfc3339
from edgemass.config.health import HealthConfig
from edgemass.counters import Counters
from edgemass.durable import write_fleeting
from edgemass.health import COLLECTORS, Place, problems
from edgemass.health.collecting import Collectors
from edgemass.health.judging import healthy, is_ready, percentiles
from edgemass.health.prometheus import render
from edgemass.messages import to_json
from edgemass.messages.health import (
    Board,
    CameraHealth,
    GovernorHealth,
    HealthMessage,
    ModelHealth,
    OutputHealth,
    QueueHealth,
    System,
)
from edgemass.pipeline.moment import Identity
from edgemass.redact import redact
from edgemass.sinks import Channel, Linked, Queued, Sink

logger = logging.getLogger(__name__)

_STOP_S = 2.0
_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What there is to look at.

    cameras: as they are at this moment. outputs: every sink with its counters.
    runtime: the folder of status.json, None = there is none. governor: what it does now.
    others: problems that somebody else knows of, in words.
    """

    cameras: Callable[[], Mapping[str, Seen]]
    slots: Sequence[ModelSlot]
    outputs: Sequence[tuple[Sink, Counters]]
    place: Place
    board: Board
    runtime: Path | None = None
    governor: Callable[[], GovernorHealth | None] = lambda: None
    others: Callable[[], Sequence[str]] = field(default=tuple)


@final
class HealthReporter:
    """Looks at everything in a thread of its own, while it is entered.

    latest: the newest document, None before the first; for any thread. A new one is made when it is due, and at once
    when the device gets ready or is so no longer.
    """

    def __init__(self, config: HealthConfig, parts: Parts, *, identity: Identity, clock: Clock) -> None:
        self.latest: HealthMessage | None = None
        self.board = parts.board
        self._config = config
        self._parts = parts
        self._identity = identity
        self._clock = clock
        self._collectors = Collectors(parts.place)
        self._names = dict(zip(_names([sink for sink, _ in parts.outputs]), parts.outputs, strict=True))
        self._file = StatusFile(parts.runtime) if parts.runtime is not None else None
        self._began_ns = self._ticked_ns = clock.monotonic_ns()
        self._watches: dict[str, CameraWatch] = {}
        self._seq = 0
        self._due_ns = self._began_ns
        self._known: set[str] = set()
        self._failing = False
        self._untold = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def __enter__(self) -> HealthReporter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End, and take back the files, which nobody keeps true any more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        if self._file is not None:
            self._file.close()
        if self._config.textfile is not None:
            try:
                Path(self._config.textfile).unlink(missing_ok=True)
            except OSError as error:
                logger.warning("%s stays: %s", self._config.textfile, error.strerror)

    def tick(self) -> None:
        """The agent's loop comes by."""
        self._ticked_ns = self._clock.monotonic_ns()

    def live(self) -> bool:
        """For `/healthz`: whether the agent's loop moves."""
        return healthy(self.latest, (self._clock.monotonic_ns() - self._ticked_ns) / _NS)

    def ready(self) -> bool:
        """For `/readyz`: whether every camera that is wanted gives frames to a model."""
        return self.latest is not None and self.latest.ready and self.live()

    def metrics(self) -> str:
        """For `/metrics`; nothing before the first document. Serve it as prometheus.CONTENT_TYPE."""
        return render(self.latest) if self.latest is not None else ""

    @property
    def readings(self) -> tuple[str, ...]:
        """Collectors that found something on this board."""
        latest = self.latest
        return tuple(name for name in COLLECTORS if latest is not None and getattr(latest.system, name) is not None)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
                self._failing = False
            except Exception:  # the thread's outermost line; the next look may be better
                if not self._failing:
                    logger.exception("the health of the device cannot be told")
                self._failing = True
            self._clock.wait(self._stop, min(SAMPLE_S, self._config.every_s))

    def look(self) -> None:
        """Sample the cameras, and tell where that is due."""
        seen = self._parts.cameras()
        self._watches = {name: self._watches.get(name) or self._watch() for name in seen}
        for name, watch in self._watches.items():
            watch.sample(seen[name])
        cameras = {name: watch.health(seen[name]) for name, watch in self._watches.items()}
        now_ns = self._clock.monotonic_ns()
        turned = self.latest is not None and self.latest.ready != is_ready(cameras)
        if now_ns < self._due_ns and not turned:
            return
        # The first knows no rates yet, and would be on the page and in `edgemass status` for a whole period.
        wait_s = self._config.every_s if self.latest is not None else min(SAMPLE_S, self._config.every_s)
        self._due_ns = now_ns + round(wait_s * _NS)
        failed = {name: _failed(sink, seen.values()) for name, (sink, _) in self._names.items()}
        self._tell(self._make(cameras, failed))

    def _watch(self) -> CameraWatch:
        return CameraWatch(self._parts.slots[0].name, self._clock)

    def _make(self, cameras: Mapping[str, CameraHealth], failed: Mapping[str, int]) -> HealthMessage:
        """failed: documents that an output could not take, by its name."""
        system = self._collectors.collect()
        models = {slot.name: _model(slot) for slot in self._parts.slots}
        outputs = {name: _output(sink, counters, failed[name]) for name, (sink, counters) in self._names.items()}
        queues = dict(self._queues())
        governor = self._parts.governor()
        self._seq += 1
        found = [
            *self._note(system),
            *(text for name, camera in cameras.items() for text in problems.of_camera(name, camera)),
            *(text for name, model in models.items() for text in problems.of_model(name, model)),
            *(text for name, output in outputs.items() for text in problems.of_output(name, output)),
            *(text for name, queue in queues.items() for text in problems.of_queue(name, queue)),
            *(problems.of_governor(governor) if governor is not None else ()),
            *self._parts.others(),
        ]
        mono_ns = self._clock.monotonic_ns()
        return HealthMessage(
            device=self._identity.device,
            run_id=self._identity.run_id,
            boot_id=self._identity.boot_id,
            seq=self._seq,
            mono_ns=mono_ns,
            time=rfc3339(self._clock.time_ns()),
            clock_synced=system.clock.synced if system.clock is not None else clock_synced(),
            version=__version__,
            uptime_s=round((mono_ns - self._began_ns) / _NS, 1),
            ready=is_ready(cameras),
            every_s=self._config.every_s,
            problems=tuple(redact(text) for text in found),
            board=self._parts.board,
            system=system,
            cameras=dict(cameras),
            models=models,
            outputs=outputs,
            queues=queues,
            governor=governor,
        )

    def _note(self, system: System) -> list[str]:
        """The board's problems, logged when they start and end; what else there is has been logged by who met it."""
        found = {problems.kind(text): text for text in problems.of_system(system)}
        for kind, text in found.items():
            if kind not in self._known:
                logger.warning("%s", text)
        for kind in self._known - found.keys():
            logger.info("no more: %s", kind)
        self._known = set(found)
        return [*found.values(), *problems.of_collectors(system)]

    def _queues(self) -> Iterator[tuple[str, QueueHealth]]:
        for name, (sink, _) in self._names.items():
            if isinstance(sink, Queued) and (queue := sink.queue()) is not None:
                yield name, queue

    def _tell(self, message: HealthMessage) -> None:
        self.latest = message
        document = to_json(message)
        for sink, _ in self._parts.outputs:
            if isinstance(sink, Channel):
                sink.retain("health", document)
        if self._file is not None:
            self._file.write(document)
        if self._config.textfile is not None:
            self._write_textfile(Path(self._config.textfile), render(message))

    def _write_textfile(self, path: Path, text: str) -> None:
        trouble = ""
        try:
            write_fleeting(path, text.encode())
        except OSError as error:
            trouble = error.strerror or str(error)
        if trouble and not self._untold:
            logger.warning("no metrics are kept in %s: %s; see textfile in [health]", path, trouble)
        elif self._untold and not trouble:
            logger.info("metrics are kept in %s again", path)
        self._untold = trouble


def _output(sink: Sink, counters: Counters, failed: int) -> OutputHealth:
    totals = counters.snapshot() | ({"failed": failed} if failed else {})
    if not isinstance(sink, Linked):
        return OutputHealth(counters=totals)
    return OutputHealth(
        connected=sink.connected,
        trouble=redact(sink.trouble or ""),
        held_bytes=sink.held_bytes,
        counters=totals,
    )


def _failed(sink: Sink, cameras: Iterable[Seen]) -> int:
    """Documents of all cameras that a sink could not take; see pipeline.outlets."""
    return sum(camera.counters[f"sink_failed.{sink.name}"] for camera in cameras)


def _model(slot: ModelSlot) -> ModelHealth:
    running = slot.running
    detector = running.detector
    return ModelHealth(
        name=running.ref.name,
        version=running.ref.version,
        digest=running.ref.digest,
        variant=detector.variant or running.ref.variant,
        backend=detector.backend.name,
        requested=detector.backend.requested,
        degraded=redact(detector.degraded),
        infer_ms=percentiles(run for line in slot.lines for run in copied(line.infer_ms.last)),
    )


def _names(sinks: Sequence[Sink]) -> list[str]:
    """By scheme; the second of a scheme is mqtt-2: no address may get into labels of metrics."""
    names: list[str] = []
    for sink in sinks:
        scheme = sink.name.replace(":", " ").split()[0]
        count = sum(name == scheme or name.startswith(f"{scheme}-") for name in names)
        names.append(f"{scheme}-{count + 1}" if count else scheme)
    return names
