"""Wire one board and run it: model, sinks and cameras from a configuration, until told to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid

from edgemass import sinks, sources
from edgemass.agent.heartbeat import Heartbeat
from edgemass.agent.managed import Managed
from edgemass.agent.scenes import Scenes
from edgemass.agent.slot import ModelSlot
from edgemass.agent.starting import load_first
from edgemass.agent.tuner import AFTER_S, Tuner
from edgemass.clock import Clock, SystemClock, boot_id
from edgemass.config import CameraConfig, Config
from edgemass.config.motion import MotionConfig
from edgemass.counters import Counters
from edgemass.errors import BackendError, EdgemassError
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.imaging.orient import Orientation
from edgemass.pipeline.camera import Camera
from edgemass.pipeline.capture import Capture
from edgemass.pipeline.line import CameraLine, LoadedModel
from edgemass.pipeline.moment import Identity
from edgemass.pipeline.selection import Selection
from edgemass.pipeline.turns import Turns, default_at_once
from edgemass.scene.motion import MotionGate
from edgemass.sdnotify import Notifier
from edgemass.sinks import Channel, Sink, SinkContext
from edgemass.sources import CaptureOptions

logger = logging.getLogger(__name__)

POLL_S = 0.2
STOP_S = 5.0


class Agent:
    """One board at work.

    loading: nothing is open yet; whoever does not want to wait for the model may interrupt.
    tune_after_s: of frames, before it is measured what runs best. notifier: the service manager, where there is one.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        tune_after_s: float = AFTER_S,
        notifier: Notifier | None = None,
    ) -> None:
        self.loading = True
        self._tune_after_s = tune_after_s
        self._config = config
        self._managed: Managed | None = None
        self._scenes: Scenes
        self._clock = clock or SystemClock()
        self._heartbeat = Heartbeat(notifier or Notifier(), self._clock)
        self._turns = Turns(default_at_once(), self._clock)  # one model, and so one queue for it
        self._identity = Identity(config.device, boot_id(), uuid.uuid4().hex)

    def run(self, stop: threading.Event) -> int:
        """Run until `stop` is set or every camera has ended; returns the exit code.

        Raises:
            EdgemassError: what was asked for cannot be started.
        """
        leave_cores_to_the_runtime()
        config = self._config
        opened = {
            name: sources.open(camera.source, _capture_options(camera), self._clock)
            for name, camera in config.cameras.items()
        }
        with contextlib.ExitStack() as stack:
            stack.callback(self._heartbeat.close)
            self._heartbeat.start()
            managed = Managed.open(config, self._clock)
            if managed is not None:
                stack.callback(managed.close)
            store, name = (managed.store, managed.slot_name) if managed else (None, "main")
            slot = ModelSlot(name, *load_first(config, store, name, self._clock), clock=self._clock)
            stack.callback(slot.close)
            tuner = Tuner(slot, config, clock=self._clock, after_s=self._tune_after_s)
            stack.callback(tuner.close)
            self.loading = False
            outputs = self._open_sinks()
            for sink in outputs:
                stack.callback(sink.close, STOP_S)
            self._scenes = Scenes(config, outputs, identity=self._identity, clock=self._clock)
            stack.callback(self._scenes.close)
            counters = {name: Counters() for name in opened}
            self._scenes.open(opened, counters, slot.bundle.manifest.task)
            cameras = [
                self._camera(name, source, slot.running, outputs, counters[name]) for name, source in opened.items()
            ]
            slot.lines = [camera.line for camera in cameras]
            if managed is not None:
                managed.start(slot, tuner, cameras, [sink for sink in outputs if isinstance(sink, Channel)])
                self._managed = managed
            for camera in cameras:
                camera.start()
            tuner.start()
            self._heartbeat.ready(cameras, slot)
            code = self._watch(cameras, stop)
            if managed is not None:
                managed.clean = not managed.failure and not any(
                    isinstance(camera.failure, BackendError) for camera in cameras
                )
            return code

    def _open_sinks(self) -> list[Sink]:
        opened: list[Sink] = []
        try:
            for uri in self._config.sinks:
                context = SinkContext(self._config.device, self._clock, Counters())
                opened.append(sinks.open(uri, context))
        except EdgemassError:
            for sink in opened:
                sink.close(0)
            raise
        return opened

    def _camera(
        self, name: str, source: sources.Source, model: LoadedModel, outputs: list[Sink], counters: Counters
    ) -> Camera:
        camera = self._config.cameras[name]
        sight = self._scenes.sights[name]
        capture = Capture(
            name,
            source,
            orientation=Orientation(camera.rotate, camera.crop, camera.masks),
            clock=self._clock,
            counters=counters,
            on_state=sight.captured,
            convert_ahead=camera.max_fps is None and not camera.motion,
        )
        line = CameraLine(
            name,
            model,
            outputs,
            identity=self._identity,
            score=camera.score,
            max_age_ms=camera.max_age_ms if source.realtime else None,
            reporter=self._scenes.reporters.get(name),
            clock=self._clock,
            counters=counters,
        )
        return Camera(
            capture,
            line,
            selection=Selection(max_fps=camera.max_fps, gate=_gate(camera)),
            place=self._turns.place(),
            sight=sight,
            frames=self._config.frames,
            clock=self._clock,
            counters=counters,
            on_failing=lambda error: self._managed is not None and self._managed.blame(error),
        )

    def _watch(self, cameras: list[Camera], stop: threading.Event) -> int:
        """Wait for the end. One camera that fails does not stop the others; all that have ended end the run."""
        while not stop.is_set() and any(camera.running for camera in cameras):
            reasons = [camera.capture.gave_up for camera in cameras]
            reasons += [self._managed.failure] if self._managed is not None else []
            reason = next(filter(None, reasons), None)
            if reason:
                logger.error("%s; ending so that the service manager starts anew", reason)
                stop.set()
                return self._finish(cameras, failed=True)
            for camera in cameras:
                if not camera.running:
                    self._scenes.camera_ended(camera.line.camera, camera.failure)
            self._scenes.tick()
            self._heartbeat.tick()
            self._clock.wait(stop, POLL_S)
        return self._finish(cameras, failed=False)

    def _finish(self, cameras: list[Camera], *, failed: bool) -> int:
        self._heartbeat.stopping()
        if self._managed is not None:
            self._managed.stop()
        for camera in cameras:
            camera.request_stop()
        for camera in cameras:
            if not camera.join(STOP_S):
                logger.error("the detect loop did not end in %.0f s", STOP_S, extra={"camera": camera.line.camera})
                failed = True
        self._scenes.end()
        for camera in cameras:
            _log_summary(camera)
            if camera.failure is not None:
                failed = True
        return 1 if failed else 0


def _capture_options(camera: CameraConfig) -> CaptureOptions:
    return CaptureOptions(
        width=camera.width, height=camera.height, fps=camera.fps, fourcc=camera.fourcc, realtime=camera.realtime
    )


def _gate(camera: CameraConfig) -> MotionGate | None:
    if isinstance(camera.motion, MotionConfig):
        return MotionGate(camera.motion)
    return MotionGate(MotionConfig()) if camera.motion else None


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
