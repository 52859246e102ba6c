"""What was changed by commands, beside the configuration: kept, so that a camera that was switched off stays off."""

from __future__ import annotations

import logging

import msgspec

from edgemass import config as configuration
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.pipeline.ledger import Ledger

logger = logging.getLogger(__name__)

NAME = "adjustments.json"


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one camera. None: the configuration decides."""

    enabled: bool | None = None
    score: float | None = None
    max_fps: float | None = None


class Adjusted(msgspec.Struct, frozen=True):
    """camera -> what was changed."""

    cameras: dict[str, Adjustment] = {}


class Adjustments:
    """For one thread. They outlive the process where it runs from a file; what was typed once is not changed for later.

    config: as it was read, without them.
    """

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        path = configuration.state_folder(config.state) / NAME
        self._ledger = Ledger(path, Adjusted, "settings made by commands", clock, every_s=0) if config.file else None
        self._now = (self._ledger.read() if self._ledger is not None else None) or Adjusted()
        self._said: set[tuple[str, str]] = set()

    @property
    def effective(self) -> Config:
        """The configuration with them laid over it; one that no longer fits it is left out."""
        cameras = {}
        for name, camera in self.config.cameras.items():
            try:
                cameras[name] = _adjusted(camera, self._now.cameras.get(name))
            except ValueError as error:
                self._say(name, str(error))
                cameras[name] = camera
        return msgspec.structs.replace(self.config, cameras=cameras)

    def forget_gone(self) -> None:
        """Keep none of cameras that the configuration no longer has: another one may be called so."""
        left = {name: each for name, each in self._now.cameras.items() if name in self.config.cameras}
        for name in self._now.cameras.keys() - left.keys():
            logger.info("settings made by commands are forgotten: there is no camera %s any more", name)
        if left != self._now.cameras:
            self.keep(Adjusted(left))

    def _say(self, camera: str, why: str) -> None:
        """Once for each reason."""
        if (camera, why) not in self._said:
            self._said.add((camera, why))
            logger.warning("a setting made by a command is left out: %s", why, extra={"camera": camera})

    def with_(self, camera: str, **changes: bool | float | None) -> tuple[Adjusted, Config]:
        """What would be in force if this were changed; `keep` makes it so.

        Raises:
            ValueError: a value that a camera cannot have.
        """
        now = msgspec.structs.replace(self._now.cameras.get(camera, Adjustment()), **changes)
        cameras = {**self._now.cameras, camera: now}
        asked = Adjusted({name: each for name, each in cameras.items() if each != Adjustment()})
        return asked, self._over(asked)

    def keep(self, asked: Adjusted) -> None:
        """It was done: it is in force from now on."""
        self._now = asked
        if self._ledger is not None:
            self._ledger.write(asked, now=True)

    def _over(self, asked: Adjusted) -> Config:
        cameras = {name: _adjusted(camera, asked.cameras.get(name)) for name, camera in self.config.cameras.items()}
        return msgspec.structs.replace(self.config, cameras=cameras)


def _adjusted(camera: CameraConfig, by: Adjustment | None) -> CameraConfig:
    if by is None:
        return camera
    given = {key: getattr(by, key) for key in by.__struct_fields__ if getattr(by, key) is not None}
    return msgspec.structs.replace(camera, **given)
