"""Wire one board and run it: model, sinks and cameras from a configuration, until told to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

from edgemass import config as configs
from edgemass import sinks
from edgemass.agent.cameras import Cameras, kept_in, open_sources
from edgemass.agent.controls import Controls
from edgemass.agent.crash_loop import CrashLoop, what_runs, without
from edgemass.agent.discovery import DeviceFacts
from edgemass.agent.ending import all_at_once
from edgemass.agent.governor import Governor
from edgemass.agent.health import HealthReporter, Parts
from edgemass.agent.heap import Trimming, few_arenas
from edgemass.agent.heartbeat import Heartbeat
from edgemass.agent.home_assistant import HomeAssistant, camera_facts
from edgemass.agent.managed import Managed
from edgemass.agent.page import Page, Told
from edgemass.agent.scenes import Scenes
from edgemass.agent.slot import ModelSlot
from edgemass.agent.starting import load_first
from edgemass.agent.tuner import AFTER_S, Tuner
from edgemass.clock import Clock, SystemClock, boot_id
from edgemass.config import Config
from edgemass.counters import Counters
from edgemass.device_profile import recognise
from edgemass.errors import BackendError, EdgemassError
from edgemass.health import Place
from edgemass.health.tree import Tree
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.messages import health as messages
from edgemass.pipeline.moment import Identity
from edgemass.sdnotify import Notifier
from edgemass.sinks import Channel, Sink, SinkContext

logger = logging.getLogger(__name__)

POLL_S = 0.2
STOP_S = 5.0
RESTART = 75
"""Exit code with which a service manager starts it anew: EX_TEMPFAIL of sysexits.h."""


class Agent:
    """One board at work.

    loading: nothing is open yet; whoever does not want to wait for the model may interrupt.
    health: says how the device is, from when the cameras are wired.
    reread: reads the configuration again, for `reload`. restartable: a service manager starts it again when it ends.
    tune_after_s: of frames, before it is measured what runs best.
    notifier: the service manager, where there is one.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        reread: Callable[[], Config] | None = None,
        restartable: bool = False,
        tune_after_s: float = AFTER_S,
        notifier: Notifier | None = None,
    ) -> None:
        self.loading = True
        self.health: HealthReporter | None = None
        self._tune_after_s = tune_after_s
        self._config = config
        self._home_assistant: HomeAssistant
        self._readings: set[str] = set()
        self._managed: Managed | None = None
        self._page: Page | None = None
        self._outputs: list[tuple[Sink, Counters]] = []
        self._hearers: list[Sink] = []
        self._scenes: Scenes
        self._slot: ModelSlot
        self._cameras: Cameras
        self._clock = clock or SystemClock()
        self._controls = Controls(config, self._clock, reread=reread, restartable=restartable)
        notifier = notifier or Notifier()
        self._heartbeat = Heartbeat(notifier, self._clock)
        self._crash_loop = CrashLoop(configs.state_folder(config.state) if notifier.address else None, self._clock)
        self._identity = Identity(config.device, boot_id(), uuid.uuid4().hex)

    def reload(self) -> None:
        """Ask to read the configuration again and change what it changes; for any thread, but not for
        the handler of a signal: it takes a lock.
        """
        self._controls.reloading.set()

    def run(self, stop: threading.Event) -> int:
        """Run until `stop` is set or every camera has ended; returns the exit code.

        Raises:
            EdgemassError: what was asked for cannot be started.
        """
        few_arenas()
        leave_cores_to_the_runtime()
        config = self._controls.config
        opened = open_sources(config.cameras, self._clock, state=kept_in(config))
        with contextlib.ExitStack() as stack:
            stack.callback(self._heartbeat.close)
            self._heartbeat.start()
            self._page = self._open_page(stack)
            managed = Managed.open(config, self._clock)
            if managed is not None:
                stack.callback(managed.close)
            stack.enter_context(self._crash_loop)
            config, self._slot = self._load(config, managed)
            stack.callback(self._slot.close)
            tuner = Tuner(self._slot, config, clock=self._clock, after_s=self._tune_after_s)
            stack.callback(tuner.close)
            self.loading = False
            self._wire(config, managed, tuner, stack)
            self._cameras.start(opened)
            self._begin_to_tell(config, stack)
            tuner.start()
            self._heartbeat.ready(lambda: self._cameras.at_work, self._slot, self._crash_loop.problem)
            code = self._watch(stop)
            well = not any(isinstance(camera.failure, BackendError) for camera in self._cameras.at_work)
            self._crash_loop.well = well
            if managed is not None:
                managed.clean = well and not managed.failure
            return code

    def _wire(self, config: Config, managed: Managed | None, tuner: Tuner, stack: contextlib.ExitStack) -> None:
        """Open the outputs, and make the cameras that speak to them."""
        self._outputs = self._open_sinks()
        outputs = [sink for sink, _ in self._outputs]
        stack.callback(all_at_once, [partial(sink.close, STOP_S) for sink in outputs])
        readers = [self._page.sink] if self._page is not None else []
        self._hearers = [*outputs, *readers]
        self._scenes = Scenes(config, self._hearers, readers=readers, identity=self._identity, clock=self._clock)
        stack.callback(self._scenes.close)
        self._cameras = Cameras(
            config,
            self._slot,
            self._scenes,
            self._hearers,
            identity=self._identity,
            clock=self._clock,
            on_failing=lambda error: self._managed is not None and self._managed.blame(error),
        )
        if managed is not None:
            managed.start(self._slot, tuner, self._cameras.counters, self._channels)
            self._managed = managed
        # Before the first frame: who hears of a camera may command it, and a broker keeps no command for later.
        update = managed.take_newest if managed is not None and managed.has_registry else None
        stack.callback(self._controls.close, STOP_S)
        self._controls.obey(self._slot, self._cameras, self._hearers, update)

    def _begin_to_tell(self, config: Config, stack: contextlib.ExitStack) -> None:
        """From now on the board does what it is asked, shows itself, says how it is, and looks after its heat."""
        self._controls.start()
        file = configs.state_folder(config.state) / "home_assistant.json"
        self._home_assistant = HomeAssistant(
            config.home_assistant, self._channels, self._facts, file=file, clock=self._clock
        )
        self._home_assistant.start()
        governor = Governor.of_board(self._slot, config, cameras=lambda: self._cameras.at_work, clock=self._clock)
        self.health = stack.enter_context(self._health(config, governor))
        stack.callback(governor.close)
        governor.start()

    @property
    def _channels(self) -> list[Channel]:
        return [sink for sink in self._hearers if isinstance(sink, Channel)]

    def _load(self, config: Config, managed: Managed | None) -> tuple[Config, ModelSlot]:
        """The model that runs first, and the configuration without what starts did not survive.

        Raises:
            EdgemassError: nothing loads.
        """
        store, name = (managed.store, managed.slot_name) if managed else (None, "main")
        self._crash_loop.begin(*what_runs(config, store, name))
        config, avoid = without(self._crash_loop.step, config, store, name)
        loaded = load_first(config, store, name, self._clock, avoid=avoid)
        return config, ModelSlot(name, *loaded, clock=self._clock)

    def _open_page(self, stack: contextlib.ExitStack) -> Page | None:
        http = self._config.http
        if http is None:
            return None
        told = Told(
            health=lambda: self.health.latest if self.health is not None else None,
            metrics=lambda: self.health.metrics() if self.health is not None else "",
            alive=lambda: self.health is None or self.health.live(),
        )
        page = Page(self._config, http, identity=self._identity, clock=self._clock, told=told)
        stack.callback(page.close)
        return page

    def _open_sinks(self) -> list[tuple[Sink, Counters]]:
        """Every sink with its counters."""
        sinks.check_apart(self._config.sinks)
        opened: list[tuple[Sink, Counters]] = []
        try:
            for uri in self._config.sinks:
                context = SinkContext(
                    self._config.device,
                    self._clock,
                    Counters(),
                    state=configs.state_folder(self._config.state),
                    delivery=self._config.delivery,
                )
                opened.append((sinks.open(uri, context), context.counters))
        except EdgemassError:
            for sink, _ in opened:
                sink.close(0)
            raise
        return opened

    def _facts(self) -> DeviceFacts | None:
        """What there is to show of this board; None before it is known. A reading that fails once is not gone."""
        if self.health is None or self.health.latest is None:
            return None
        self._readings.update(self.health.readings)
        cameras = self._controls.cameras
        return DeviceFacts(
            device=self._identity.device,
            cameras=[camera_facts(name, camera, self._scenes.kept(name)) for name, camera in cameras.items()],
            model=self.health.board.model,
            slots=[self._slot.name] if self._managed is not None else [],
            readings=sorted(self._readings),
            updates=self._managed is not None and self._managed.has_registry,
            page=self._page.address if self._page is not None else "",
        )

    def _health(self, config: Config, governor: Governor) -> HealthReporter:
        root = Path(config.root)
        place = Place(
            clock=self._clock,
            state=configs.state_folder(config.state),
            tree=Tree(root=root),
            budget_bytes=config.delivery.daily_bytes,
        )
        found = recognise(root, config.profile)
        parts = Parts(
            cameras=self._cameras.seen,
            slots=[self._slot],
            outputs=self._outputs,
            place=place,
            board=messages.Board(profile=found.profile.name, model=found.board.model),
            runtime=Path(config.runtime) if config.runtime is not None else None,
            governor=governor.health,
            others=lambda: tuple(filter(None, [self._crash_loop.problem])),
        )
        return HealthReporter(config.health, parts, identity=self._identity, clock=self._clock)

    def _watch(self, stop: threading.Event) -> int:
        """Wait for the end. One camera that fails does not stop the others; all that have ended end the run."""
        trimming = Trimming(self._clock)
        while not stop.is_set() and not self._cameras.over:
            reason = self._cameras.watch() or (self._managed.failure if self._managed is not None else "")
            if reason:
                logger.error("%s; ending so that the service manager starts anew", reason)
                stop.set()
                return self._finish(failed=True)
            self._heartbeat.tick()
            self._crash_loop.look(self._cameras.processed, self._clock.monotonic_ns())
            if self._controls.reloading.is_set():
                self._controls.reloading.clear()
                self._heartbeat.reloading()
                with contextlib.suppress(EdgemassError):  # it is logged
                    self._controls.change_over()
                self._heartbeat.reloaded()
            self._controls.tick()
            if self._page is not None:
                self._page.show([camera.line for camera in self._cameras.at_work], self._controls.cameras)
            if self.health is not None:
                self.health.tick()
            self._home_assistant.tick()
            trimming.tick()
            if self._controls.restarting.is_set():
                return self._finish(failed=False) or RESTART
            self._clock.wait(stop, POLL_S)
        return self._finish(failed=not stop.is_set() and self._incomplete())

    def _incomplete(self) -> bool:
        """Whether a run that came to its end has lost documents, which whoever waited for them must know."""
        if unwritten := self._cameras.unwritten:
            logger.error("%d documents could not be written, for the reasons above: the output is not whole", unwritten)
        return unwritten > 0

    def _finish(self, *, failed: bool) -> int:
        self._heartbeat.stopping()
        if self._managed is not None:
            self._managed.stop()
        well = self._cameras.end()
        return 1 if failed or not well else 0
