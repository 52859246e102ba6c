"""What is watched to know that a camera sees its scene."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges

Cause = Literal["covered", "black", "overexposed", "frozen", "blurred", "moved"]
"""Why a camera does not see its scene; docs/integrity.md tells them apart."""


class IntegrityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is watched to know that a camera sees its scene.

    ignore: causes that are never told.
    confirm_s: a cause must hold for so long before it is told, a frozen picture for two seconds more.
    recover_s: the picture must be good for so long before the camera counts as seeing again.
    accept_moved_s: a camera that has been moved for so long has a new normal view.
    """

    ignore: tuple[Cause, ...] = ()
    confirm_s: float = 3.0
    recover_s: float = 3.0
    accept_moved_s: float = 600.0

    def __post_init__(self) -> None:
        check_ranges(
            "integrity",
            ("confirm_s", self.confirm_s, 0.0, MAX_SECONDS),
            ("recover_s", self.recover_s, 0.0, MAX_SECONDS),
            ("accept_moved_s", self.accept_moved_s, 0.0, MAX_SECONDS),
        )
