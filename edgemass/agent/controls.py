"""What changes while a board runs: its configuration read again, and what commands ask for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgemass import doctor
from edgemass.agent.adjustments import Adjustments
from edgemass.agent.cameras import Cameras
from edgemass.agent.commands import Board, CommandError, Commands, settings
from edgemass.agent.fitting import check_fits
from edgemass.agent.slot import ModelSlot
from edgemass.clock import Clock
from edgemass.config import NO_KEYS, CameraConfig, Config, state_folder
from edgemass.errors import EdgemassError
from edgemass.sinks import Channel, Commandable, Sink

logger = logging.getLogger(__name__)

LIVE = frozenset({"cameras"}) | NO_KEYS
"""What of the configuration changes at once, or is none of its keys; the others wait for the next start."""


class Controls:
    """For the agent's thread.

    reread: reads the configuration again. restartable: a service manager starts the process again when it ends.
    reloading, restarting: set by whoever asks for it, in any thread.
    """

    def __init__(self, config: Config, clock: Clock, *, reread: Callable[[], Config] | None, restartable: bool) -> None:
        self.reloading, self.restarting = threading.Event(), threading.Event()
        self._adjustments = Adjustments(config, clock)
        self._clock = clock
        self._reread = reread
        self._restartable = restartable
        self._channels: list[Channel] = []
        self._slot: ModelSlot
        self._at_work: Cameras
        self._commands: Commands | None = None

    @property
    def config(self) -> Config:
        """As it was read, with what commands changed laid over it."""
        return self._adjustments.effective

    @property
    def cameras(self) -> dict[str, CameraConfig]:
        return self.config.cameras

    def obey(
        self,
        slot: ModelSlot,
        cameras: Cameras,
        outputs: Sequence[Sink],
        update: Callable[[threading.Event], Any] | None,
    ) -> None:
        """Take commands from every output that brings some; they are done after `start`.

        update: fetches the newest model, None = nobody can.
        """
        self._slot, self._at_work = slot, cameras
        self._channels = [sink for sink in outputs if isinstance(sink, Channel)]
        board = Board(
            cameras=lambda: self.cameras,
            line=cameras.line,
            adjust=self._adjust,
            reload=self.change_over,
            restart=self._ask_restart,
            doctor=lambda: _examine(self.config),
            update=update,
        )
        self._commands = Commands(board, self._channels, self._clock)
        for sink in outputs:
            if isinstance(sink, Commandable):
                sink.obey(self._commands.handle)

    def start(self) -> None:
        """The cameras are at work: do what is asked."""
        assert self._commands is not None
        self._adjustments.forget_gone()
        self._commands.start()
        self._tell_settings()

    def tick(self) -> None:
        """Do what is waiting."""
        if self._commands is not None:
            self._commands.tick()

    def close(self, timeout_s: float) -> None:
        if self._commands is not None:
            self._commands.close(timeout_s)

    def change_over(self) -> None:
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
            done, failed = self._use(self.config)
        except EdgemassError as error:
            self._adjustments.config = before
            logger.error("the configuration stays as it was: %s", error)  # noqa: TRY400
            raise
        for key in wait:
            logger.warning("the configuration's new `%s` waits for a restart", key)
        self._adjustments.forget_gone()
        logger.info("configuration read again: %s", "; ".join([*done, *failed.values()]) or "nothing to change")
        self._tell_settings()

    def _adjust(self, camera: str, **changes: bool | float | None) -> None:
        """Change what a command may change of a camera.

        Raises:
            EdgemassError: it cannot be; nothing was changed.
        """
        try:
            asked, config = self._adjustments.with_(camera, **changes)
        except ValueError as error:
            raise CommandError(str(error)) from error
        _, failed = self._use(config)
        if camera in failed:
            raise CommandError(failed[camera])
        self._adjustments.keep(asked)
        self._tell_settings()

    def _use(self, config: Config) -> tuple[list[str], dict[str, str]]:
        check_fits(config, self._slot.bundle.manifest)
        return self._at_work.use(config)

    def _tell_settings(self) -> None:
        for name, camera in self.cameras.items():
            for channel in self._channels:
                channel.retain(f"camera/{name}/settings", msgspec.json.encode(settings(camera)))

    def _ask_restart(self) -> None:
        if not self._restartable:
            raise CommandError("no service manager would start it again; end it and start it by hand")
        self.restarting.set()


def _examine(config: Config) -> Any:
    """The doctor's report, as plain values; what this daemon has is not opened a second time."""
    file = Path(config.file) if config.file else None
    runtime = Path(config.runtime) if config.runtime else None
    state = state_folder(config.state)
    return msgspec.to_builtins(doctor.report(doctor.Machine(config=file, daemon=True, runtime=runtime, state=state)))


def _differ(before: Config, now: Config, key: str) -> bool:
    return bool(getattr(before, key) != getattr(now, key))
