"""Wire one board and run it: model, sinks and cameras from a configuration, until told to stop."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgemass import config as configs
from edgemass import doctor, sinks
from edgemass.agent.adjustments import Adjustments
from edgemass.agent.cameras import Cameras, open_sources
from edgemass.agent.commands import Board, CommandError, Commands, settings
from edgemass.agent.crash_loop import CrashLoop, what_runs, without
from edgemass.agent.discovery import DeviceFacts
from edgemass.agent.fitting import check_fits
from edgemass.agent.governor import Governor
from edgemass.agent.health import HealthReporter, Parts
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
from edgemass.health.prometheus import render
from edgemass.health.tree import Tree
from edgemass.imaging import leave_cores_to_the_runtime
from edgemass.messages import health as messages
from edgemass.pipeline.moment import Identity
from edgemass.sdnotify import Notifier
from edgemass.sinks import Channel, Commandable, Sink, SinkContext

logger = logging.getLogger(__name__)

POLL_S = 0.2
STOP_S = 5.0
RESTART = 75
"""Exit code with which a service manager starts it anew: EX_TEMPFAIL of sysexits.h."""
LIVE = frozenset({"cameras", "file"})
"""Keys of the configuration that a reload changes; the others wait for the next start."""


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
        self._reread = reread
        self._restartable = restartable
        self._reload, self._restart = threading.Event(), threading.Event()
        self._adjustments: Adjustments
        self._commands: Commands
        self._home_assistant: HomeAssistant
        self._channels: list[Channel] = []
        self._managed: Managed | None = None
        self._page: Page | None = None
        self._outputs: list[tuple[Sink, Counters]] = []
        self._slot: ModelSlot
        self._cameras: Cameras
        self._clock = clock or SystemClock()
        notifier = notifier or Notifier()
        self._heartbeat = Heartbeat(notifier, self._clock)
        self._crash_loop = CrashLoop(configs.state_folder(config.state) if notifier.address else None)
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
        self._adjustments = Adjustments(self._config, self._clock)
        config = self._adjustments.effective
        opened = open_sources(config.cameras, self._clock)
        with contextlib.ExitStack() as stack:
            stack.callback(self._heartbeat.close)
            self._heartbeat.start()
            page = self._open_page()
            if page is not None:
                stack.callback(page.close)
            managed = Managed.open(config, self._clock)
            if managed is not None:
                stack.callback(managed.close)
            stack.enter_context(self._crash_loop)
            config, self._slot = self._load(config, managed)
            slot = self._slot
            stack.callback(slot.close)
            tuner = Tuner(slot, config, clock=self._clock, after_s=self._tune_after_s)
            stack.callback(tuner.close)
            self.loading = False
            self._outputs = self._open_sinks()
            outputs = [sink for sink, _ in self._outputs]
            for sink in outputs:
                stack.callback(sink.close, STOP_S)
            readers = [page.sink] if page is not None else []
            outputs += readers
            self._channels = [sink for sink in outputs if isinstance(sink, Channel)]
            scenes = Scenes(config, outputs, readers=readers, identity=self._identity, clock=self._clock)
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
                managed.start(slot, tuner, self._cameras.counters, self._channels)
                self._managed = managed
            self._page = page
            self._cameras.start(opened)
            self._commands = self._take_commands(outputs)
            stack.callback(self._commands.close, STOP_S)
            self._home_assistant = HomeAssistant(
                config.home_assistant,
                self._channels,
                lambda: self._facts(scenes),
                file=configs.state_folder(config.state) / "home_assistant.json",
                clock=self._clock,
            )
            self._home_assistant.start()
            governor = Governor.of_board(slot, config, cameras=lambda: self._cameras.at_work, clock=self._clock)
            self.health = self._health(config, governor)
            stack.callback(self.health.close)
            self.health.start()
            tuner.start()
            stack.callback(governor.close)
            governor.start()
            self._heartbeat.ready(lambda: self._cameras.at_work, slot, self._crash_loop.problem)
            code = self._watch(stop)
            well = not any(isinstance(camera.failure, BackendError) for camera in self._cameras.at_work)
            self._crash_loop.well = well
            if managed is not None:
                managed.clean = well and not managed.failure
            return code

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

    def _open_page(self) -> Page | None:
        http = self._config.http
        if http is None:
            return None
        told = Told(
            health=lambda: self.health.latest if self.health is not None else None,
            metrics=self._metrics,
            alive=lambda: self.health is None or self.health.live(),
        )
        return Page(self._config, http, identity=self._identity, clock=self._clock, told=told)

    def _metrics(self) -> str:
        latest = self.health.latest if self.health is not None else None
        return render(latest) if latest is not None else ""

    def _open_sinks(self) -> list[tuple[Sink, Counters]]:
        """Every sink with its counters."""
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

    def _take_commands(self, outputs: Sequence[Sink]) -> Commands:
        board = Board(
            cameras=lambda: self._adjustments.effective.cameras,
            line=self._cameras.line,
            adjust=self._adjust,
            reload=self._change_over,
            restart=self._ask_restart,
            doctor=lambda: _examine(self._config),
            update=self._managed.take_newest if self._managed is not None and self._managed.has_registry else None,
        )
        commands = Commands(board, self._channels, self._clock)
        commands.start()
        for sink in outputs:
            if isinstance(sink, Commandable):
                sink.obey(commands.handle)
        self._tell_settings()
        return commands

    def _facts(self, scenes: Scenes) -> DeviceFacts:
        """What there is to show of this board."""
        cameras = self._adjustments.effective.cameras
        return DeviceFacts(
            device=self._identity.device,
            cameras=[camera_facts(name, camera, scenes.kept(name)) for name, camera in cameras.items()],
            model=self.health.board.model if self.health is not None else "",
            slots=[self._slot.name] if self._managed is not None else [],
            readings=self.health.readings if self.health is not None else (),
            updates=self._managed is not None and self._managed.has_registry,
            page=self._page.address if self._page is not None else "",
        )

    def _health(self, config: Config, governor: Governor) -> HealthReporter:
        root = Path(config.root)
        place = Place(clock=self._clock, state=configs.state_folder(config.state), tree=Tree(root=root))
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
                with contextlib.suppress(EdgemassError):  # it is logged
                    self._change_over()
                self._heartbeat.reloaded()
            self._commands.tick()
            if self._page is not None:
                self._page.show([camera.line for camera in self._cameras.at_work], self._adjustments.effective.cameras)
            if self.health is not None:
                self.health.tick()
            self._home_assistant.tick()
            if self._restart.is_set():
                return self._finish(failed=False) or RESTART
            self._clock.wait(stop, POLL_S)
        return self._finish(failed=False)

    def _change_over(self) -> None:
        """Read the configuration again.

        Raises:
            EdgemassError: it is bad, and changed nothing.
        """
        if self._reread is None:
            raise CommandError("there is no file to read again")
        before = self._adjustments.config
        try:
            new = self._reread()
            wait = [key for key in new.__struct_fields__ if key not in LIVE and _differ(before, new, key)]
            self._adjustments.config = msgspec.structs.replace(before, cameras=new.cameras, file=new.file)
            done = self._use(self._adjustments.effective)
        except EdgemassError as error:
            self._adjustments.config = before
            logger.error("the configuration stays as it was: %s", error)  # noqa: TRY400
            raise
        for key in wait:
            logger.warning("the configuration's new `%s` waits for a restart", key)
        logger.info("configuration read again: %s", "; ".join(done) or "nothing to change")

    def _adjust(self, camera: str, **changes: bool | float | None) -> None:
        """Change what a command may change of a camera.

        Raises:
            EdgemassError: it cannot be; nothing was changed.
        """
        try:
            asked, config = self._adjustments.with_(camera, **changes)
        except ValueError as error:
            raise CommandError(str(error)) from error
        self._use(config)
        self._adjustments.keep(asked)
        self._tell_settings()

    def _use(self, config: Config) -> list[str]:
        check_fits(config, self._slot.bundle.manifest)
        return self._cameras.use(config)

    def _tell_settings(self) -> None:
        for name, camera in self._adjustments.effective.cameras.items():
            for channel in self._channels:
                channel.retain(f"camera/{name}/settings", msgspec.json.encode(settings(camera)))

    def _ask_restart(self) -> None:
        if not self._restartable:
            raise CommandError("no service manager would start it again; end it and start it by hand")
        self._restart.set()

    def _finish(self, *, failed: bool) -> int:
        self._heartbeat.stopping()
        if self._managed is not None:
            self._managed.stop()
        well = self._cameras.end()
        return 1 if failed or not well else 0


def _examine(config: Config) -> Any:
    """The doctor's report, as plain values; what this daemon has is not opened a second time."""
    file = Path(config.file) if config.file else None
    runtime = Path(config.runtime) if config.runtime else None
    return msgspec.to_builtins(doctor.report(doctor.Machine(config=file, daemon=True, runtime=runtime)))


def _differ(before: Config, now: Config, key: str) -> bool:
    return bool(getattr(before, key) != getattr(now, key))
