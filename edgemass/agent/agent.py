"""Wire one board and run it: model, sinks and cameras from a configuration, until told to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable

import msgspec

from edgemass import sinks
from edgemass.agent.cameras import Cameras, open_sources
from edgemass.agent.crash_loop import CrashLoop, what_runs, without
from edgemass.agent.fitting import check_fits
from edgemass.agent.heartbeat import Heartbeat
from edgemass.agent.managed import Managed
from edgemass.agent.scenes import Scenes
from edgemass.agent.slot import ModelSlot
from edgemass.agent.starting import load_first
from edgemass.agent.tuner import AFTER_S, Tuner
from edgemass.clock import Clock, SystemClock, boot_id
from edgemass.config import Config, state_folder
from edgemass.counters import Counters
from edgemass.errors import BackendError, EdgemassError
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.pipeline.moment import Identity
from edgemass.sdnotify import Notifier
from edgemass.sinks import Channel, Sink, SinkContext

logger = logging.getLogger(__name__)

POLL_S = 0.2
STOP_S = 5.0
LIVE = frozenset({"cameras", "file"})
"""Keys of the configuration that a reload changes; the others wait for the next start."""


class Agent:
    """One board at work.

    loading: nothing is open yet; whoever does not want to wait for the model may interrupt.
    reread: reads the configuration again, for `reload`. tune_after_s: of frames, before it is measured what runs best.
    notifier: the service manager, where there is one.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        reread: Callable[[], Config] | None = None,
        tune_after_s: float = AFTER_S,
        notifier: Notifier | None = None,
    ) -> None:
        self.loading = True
        self._tune_after_s = tune_after_s
        self._config = config
        self._reread = reread
        self._reload = threading.Event()
        self._managed: Managed | None = None
        self._slot: ModelSlot
        self._cameras: Cameras
        self._clock = clock or SystemClock()
        notifier = notifier or Notifier()
        self._heartbeat = Heartbeat(notifier, self._clock)
        self._crash_loop = CrashLoop(state_folder(config.state) if notifier.address else None)
        self._identity = Identity(config.device, boot_id(), uuid.uuid4().hex)

    def reload(self) -> None:
        """Ask to read the configuration again and change what it changes; for any thread, and for signals."""
        self._reload.set()

    def run(self, stop: threading.Event) -> int:
        """Run until `stop` is set or every camera has ended; returns the exit code.

        Raises:
            EdgemassError: what was asked for cannot be started.
        """
        leave_cores_to_the_runtime()
        config = self._config
        opened = open_sources(config.cameras, self._clock)
        with contextlib.ExitStack() as stack:
            stack.callback(self._heartbeat.close)
            self._heartbeat.start()
            managed = Managed.open(config, self._clock)
            if managed is not None:
                stack.callback(managed.close)
            store, name = (managed.store, managed.slot_name) if managed else (None, "main")
            stack.enter_context(self._crash_loop)
            self._crash_loop.begin(*what_runs(config, store, name))
            config, avoid = without(self._crash_loop.step, config, store, name)
            loaded = load_first(config, store, name, self._clock, avoid=avoid)
            self._slot = slot = ModelSlot(name, *loaded, clock=self._clock)
            stack.callback(slot.close)
            tuner = Tuner(slot, config, clock=self._clock, after_s=self._tune_after_s)
            stack.callback(tuner.close)
            self.loading = False
            outputs = self._open_sinks()
            for sink in outputs:
                stack.callback(sink.close, STOP_S)
            scenes = Scenes(config, outputs, identity=self._identity, clock=self._clock)
            stack.callback(scenes.close)
            self._cameras = Cameras(
                config,
                slot,
                scenes,
                outputs,
                identity=self._identity,
                clock=self._clock,
                on_failing=lambda error: self._managed is not None and self._managed.blame(error),
            )
            if managed is not None:
                managed.start(
                    slot, tuner, self._cameras.counters, [sink for sink in outputs if isinstance(sink, Channel)]
                )
                self._managed = managed
            self._cameras.start(opened)
            tuner.start()
            self._heartbeat.ready(lambda: self._cameras.at_work, slot, self._crash_loop.problem)
            code = self._watch(stop)
            well = not any(isinstance(camera.failure, BackendError) for camera in self._cameras.at_work)
            self._crash_loop.well = well
            if managed is not None:
                managed.clean = well and not managed.failure
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

    def _watch(self, stop: threading.Event) -> int:
        """Wait for the end. One camera that fails does not stop the others; all that have ended end the run."""
        while not stop.is_set() and not self._cameras.over:
            reason = self._cameras.watch() or (self._managed.failure if self._managed is not None else "")
            if reason:
                logger.error("%s; ending so that the service manager starts anew", reason)
                stop.set()
                return self._finish(failed=True)
            self._heartbeat.tick()
            self._crash_loop.look(self._cameras.processed, self._clock.monotonic_ns())
            if self._reload.is_set():
                self._reload.clear()
                self._heartbeat.reloading()
                self._change_over()
                self._heartbeat.reloaded()
            self._clock.wait(stop, POLL_S)
        return self._finish(failed=False)

    def _change_over(self) -> None:
        """Read the configuration again; one that is bad changes nothing."""
        if self._reread is None:
            return
        try:
            new = self._reread()
            check_fits(new, self._slot.bundle.manifest)
            wait = [key for key in new.__struct_fields__ if key not in LIVE and _differ(self._config, new, key)]
            config = msgspec.structs.replace(self._config, cameras=new.cameras, file=new.file)
            done = self._cameras.use(config)
        except EdgemassError as error:
            logger.error("the configuration stays as it was: %s", error)  # noqa: TRY400
            return
        self._config = config
        for key in wait:
            logger.warning("the configuration's new `%s` waits for a restart", key)
        logger.info("configuration read again: %s", "; ".join(done) or "nothing to change")

    def _finish(self, *, failed: bool) -> int:
        self._heartbeat.stopping()
        if self._managed is not None:
            self._managed.stop()
        well = self._cameras.end()
        return 1 if failed or not well else 0


def _differ(before: Config, now: Config, key: str) -> bool:
    return bool(getattr(before, key) != getattr(now, key))
