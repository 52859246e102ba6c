"""What was changed by commands, beside the configuration: kept, so that a camera that was switched off stays off."""

from __future__ import annotations

import msgspec

from edgemass import config as configuration
from edgemass.clock import Clock
from edgemass.config import CameraConfig, Config
from edgemass.pipeline.ledger import Ledger

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

    @property
    def effective(self) -> Config:
        """The configuration with them laid over it."""
        return self._over(self._now)

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
