"""The cameras of one board at work: started, stopped and changed while the others go on."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgemass import config as configs
from edgemass import sources
from edgemass.agent.camera_health import Seen
from edgemass.agent.scenes import Scenes
from edgemass.agent.slot import ModelSlot
from edgemass.clock import Clock, left_s
from edgemass.config import CameraConfig, Config
from edgemass.config.motion import MotionConfig
from edgemass.counters import Counters
from edgemass.errors import BackendError, EdgemassError
from edgemass.imaging.orient import Orientation
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine
from edgemass.pipeline.moment import Identity
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns, default_at_once
from edgemass.scene.motion import MotionGate
from edgemass.sinks import Sink
from edgemass.sources import CaptureOptions, Source

logger = logging.getLogger(__name__)

STOP_S = 5.0
HOLD_S = 2.0
"""A frame may be in the model for so long before a change gives up waiting for it."""

LINE = frozenset({"score", "max_fps", "max_age_ms", "motion"})
SCENE = frozenset({"events", "tracking", "zones", "lines", "rules"})
"""Keys of a camera that change between two of its frames; any other one starts the camera anew."""


@dataclass
class Station:
    """One camera at work, and by what it was made."""

    camera: Camera
    source: Source
    config: CameraConfig


class Cameras:
    """For the agent's thread; `counters` and `at_work` are for any."""

    def __init__(
        self,
        config: Config,
        slot: ModelSlot,
        scenes: Scenes,
        outputs: Sequence[Sink],
        *,
        identity: Identity,
        clock: Clock,
        on_failing: Callable[[BackendError], bool],
    ) -> None:
        self._config = config
        self._slot = slot
        self._scenes = scenes
        self._outputs = outputs
        self._identity = identity
        self._clock = clock
        self._on_failing = on_failing
        self._turns = Turns(default_at_once(), clock)  # one model, and so one queue for it
        self._stations: dict[str, Station] = {}
        self._counters: dict[str, Counters] = {}

    @property
    def at_work(self) -> list[Camera]:
        """Those that run or have ended by themselves; not those that are switched off."""
        return [station.camera for station in tuple(self._stations.values())]

    def line(self, name: str) -> CameraLine | None:
        """Of a camera; None while it is switched off."""
        station = self._stations.get(name)
        return station.camera.line if station is not None else None

    @property
    def over(self) -> bool:
        """Whether every camera has ended, and none may be switched on again."""
        off = any(not camera.enabled for camera in self._config.cameras.values())
        return not off and not any(camera.running for camera in self.at_work)

    @property
    def unwritten(self) -> int:
        """Documents of all cameras that an output could not write."""
        counts = [camera.counters.snapshot() for camera in self.at_work]
        return sum(n for count in counts for name, n in count.items() if name.startswith("sink_failed."))

    def seen(self) -> dict[str, Seen]:
        """Every camera of the configuration as it is now; for any thread."""
        found = {}
        for name, config in self._config.cameras.items():
            station = self._stations.get(name)
            found[name] = Seen(
                config=station.config if station is not None else config,
                counters=self._counters.get(name) or Counters(),
                state=self._scenes.state(name),
                camera=station.camera if station is not None else None,
                live=station is not None and station.source.live,
            )
        return found

    def counters(self) -> list[Counters]:
        """Of every camera that there was since the start."""
        return list(self._counters.values())

    @property
    def processed(self) -> int:
        """Frames of all cameras since the start."""
        return sum(counters["frames_processed"] for counters in self.counters())

    def start(self, opened: Mapping[str, Source]) -> None:
        """Start all that are switched on. opened: their sources, by name.

        Raises:
            EdgemassError: one cannot be.
        """
        for name in opened:
            self._counters[name] = Counters()
        self._scenes.open(opened, self._counters, self._slot.bundle.manifest.task)
        for name, source in opened.items():
            self._make(name, source)
        for station in self._stations.values():
            station.camera.start()
        for name, camera in self._config.cameras.items():
            if not camera.enabled:
                self._scenes.disabled(name, "switched off")

    def use(self, config: Config) -> tuple[list[str], dict[str, str]]:
        """Change to another configuration's cameras.

        Returns what was done, a sentence each, and the cameras with which that was not possible, with the reason.

        Raises:
            EdgemassError: it cannot be done; nothing was changed.
        """
        before = self._config.cameras
        fresh = open_sources(self._to_open(config), self._clock, state=kept_in(config))
        try:
            self._scenes.use(config, fresh)
        except EdgemassError:
            _close(fresh.values())
            raise
        self._config = config
        done, failed = [], {}
        for name in before.keys() - config.cameras.keys():
            self._stop(name, forget=True)
            done.append(f"camera {name} is taken out")
        for name, camera in config.cameras.items():
            try:
                done += self._change(name, before.get(name), camera, fresh.get(name))
            except EdgemassError as error:  # such as clips that this very source cannot give
                logger.error("%s", error, extra={"camera": name})  # noqa: TRY400
                failed[name] = str(error)
                if name not in self._stations:
                    self._scenes.failed(name, str(error))
        return done, failed

    def watch(self) -> str | None:
        """Look after them; why the process has to start anew, None while it need not."""
        for name, station in self._stations.items():
            if station.camera.capture.gave_up:
                return station.camera.capture.gave_up
            if not station.camera.running:
                self._scenes.camera_ended(name, station.camera.failure)
        self._scenes.tick()
        return None

    def end(self) -> bool:
        """Stop all; False where one does not end, or has failed."""
        cameras = self.at_work
        for camera in cameras:
            camera.request_stop()
        well = True
        ends_ns = self._clock.monotonic_ns() + round(STOP_S * 1e9)  # for all of them: one model may hang for every one
        for camera in cameras:
            if not camera.join(left_s(self._clock, ends_ns)):
                logger.error("the detect loop did not end in %.0f s", STOP_S, extra={"camera": camera.line.camera})
                well = False
        self._scenes.end()
        for camera in cameras:
            _log_summary(camera)
            well = well and camera.failure is None
        return well

    # One camera

    def _to_open(self, config: Config) -> dict[str, CameraConfig]:
        """Cameras that need a source which is not there yet."""
        wanted = {}
        for name, camera in config.cameras.items():
            station = self._stations.get(name)
            if camera.enabled and (station is None or _needs_restart(changed(station.config, camera))):
                wanted[name] = camera
        return wanted

    def _change(self, name: str, before: CameraConfig | None, now: CameraConfig, source: Source | None) -> list[str]:
        station = self._stations.get(name)
        if not now.enabled:
            if station is not None or before is None or before.enabled:
                self._stop(name, forget=False)
                self._scenes.disabled(name, "switched off")
                return [f"camera {name} is switched off"]
            return []
        if source is not None:
            again = station is not None
            if again:
                self._stop(name, forget=False)
            self._add(name, source)
            return [f"camera {name} is started{' anew' if again else ''}"]
        assert station is not None
        keys = changed(station.config, now)
        if not keys:
            return []
        if not self._adjust(name, station, now, keys):
            raise BackendError(f"camera {name} stays as it was: a frame is in the model for more than {HOLD_S:g} s")
        return [f"camera {name} goes on with another {', '.join(sorted(keys))}"]

    def _add(self, name: str, source: Source) -> None:
        try:
            self._scenes.add(name, source, self._counters.setdefault(name, Counters()))
            self._make(name, source)
        except EdgemassError:
            source.close()
            raise
        self._stations[name].camera.start()

    def _make(self, name: str, source: Source) -> None:
        config, counters = self._config.cameras[name], self._counters[name]
        sight = self._scenes.sights[name]
        capture = Capture(
            name,
            source,
            orientation=Orientation(config.rotate, config.crop, config.masks),
            clock=self._clock,
            counters=counters,
            on_state=sight.captured,
            convert_ahead=config.max_fps is None and not config.motion,
        )
        line = CameraLine(
            name,
            self._slot.running,
            self._outputs,
            identity=self._identity,
            score=config.score,
            max_age_ms=config.max_age_ms if source.realtime else None,
            reporter=self._scenes.reporters.get(name),
            numbering=self._scenes.numbering(name),
            clock=self._clock,
            counters=counters,
        )
        camera = Camera(
            capture,
            line,
            selection=_selection(config),
            place=self._turns.place(),
            sight=sight,
            frames=self._config.frames,
            clock=self._clock,
            counters=counters,
            on_failing=self._on_failing,
        )
        self._slot.join(line)
        self._stations[name] = Station(camera, source, config)

    def _adjust(self, name: str, station: Station, now: CameraConfig, keys: frozenset[str]) -> bool:
        """Change between two frames; False where one hangs in the model."""
        line = station.camera.line
        with line.held(HOLD_S) as held:
            if not held:
                return False
            before = reporter = self._scenes.reporters.get(name)
            otherwise = bool(keys & SCENE) or "score" in keys
            if otherwise:
                reporter = self._scenes.exchange(name, station.source)
            line.configure(
                score=now.score, max_age_ms=now.max_age_ms if station.source.realtime else None, reporter=reporter
            )
            if otherwise:
                self._scenes.retire(name, before)
        if keys & {"max_fps", "motion"}:
            station.camera.select(_selection(now))
        station.config = now
        return True

    def _stop(self, name: str, *, forget: bool) -> None:
        station = self._stations.pop(name, None)
        if station is not None:
            station.camera.request_stop()
            if not station.camera.join(STOP_S):
                logger.error("the detect loop did not end in %.0f s", STOP_S, extra={"camera": name})
            self._slot.leave(station.camera.line)
            _log_summary(station.camera)
        self._scenes.remove(name, forget=forget)


def kept_in(config: Config) -> Path | None:
    """Where sources keep what they found out; None where it all was only typed once, and is not meant for later."""
    return configs.state_folder(config.state) if config.file else None


def open_sources(cameras: Mapping[str, CameraConfig], clock: Clock, *, state: Path | None) -> dict[str, Source]:
    """A source for each that is switched on; nothing is read yet. state: see CaptureOptions.

    Raises:
        EdgemassError: one cannot be; none is open then.
    """
    opened: dict[str, Source] = {}
    try:
        for name, camera in cameras.items():
            if camera.enabled:
                opened[name] = sources.open(camera.source, _capture_options(camera, state), clock)
    except EdgemassError:
        _close(opened.values())
        raise
    return opened


def changed(before: CameraConfig, now: CameraConfig) -> frozenset[str]:
    """Keys that differ."""
    return frozenset(key for key in before.__struct_fields__ if getattr(before, key) != getattr(now, key))


def _needs_restart(keys: frozenset[str]) -> bool:
    return not keys <= LINE | SCENE


def _close(opened: Iterable[Source]) -> None:
    for source in opened:
        with contextlib.suppress(EdgemassError):
            source.close()


def _capture_options(camera: CameraConfig, state: Path | None) -> CaptureOptions:
    return CaptureOptions(
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        fourcc=camera.fourcc,
        realtime=camera.realtime,
        state=state,
    )


def _selection(camera: CameraConfig) -> Selection:
    gate = None
    if camera.motion:
        gate = MotionGate(camera.motion if isinstance(camera.motion, MotionConfig) else MotionConfig())
    return Selection(max_fps=camera.max_fps, gate=gate)


def _log_summary(camera: Camera) -> None:
    """What a person wants to know when it is over."""
    counts = camera.counters.snapshot()
    seconds = (camera.last_ns - camera.first_ns) / 1e9
    done = counts.get("frames_processed", 0)
    latencies = sorted(camera.line.total_ms)
    extra: dict[str, object] = {"camera": camera.line.camera, "frames": done}
    if done > 1 and seconds > 0:
        extra["fps"] = round((done - 1) / seconds, 1)
        extra["p50_ms"] = latencies[len(latencies) // 2]
        extra["p95_ms"] = latencies[int(len(latencies) * 0.95)]
    dropped = {
        key: value for key, value in counts.items() if key not in ("frames_processed", "frames_captured") and value
    }
    logger.info("camera done", extra={**extra, **dropped})
