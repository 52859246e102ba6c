"""When a camera's picture is not to be trusted."""

from __future__ import annotations

from typing import Literal

import msgspec

from edgemass.config.ranges import MAX_SECONDS, check_ranges

Cause = Literal["covered", "black", "overexposed", "frozen", "blurred", "moved"]


class IntegrityConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a camera's picture is not to be trusted.

    ignore: causes that are not looked for.
    hold_s: so long must trouble last before it is told, and its absence before that is.
    learn_s: the normal view is learned for so long before anything is told.
    accept_s: a view that moved and then stayed for so long is the normal one from then on.
    """

    ignore: tuple[Cause, ...] = ()
    hold_s: float = 3.0
    learn_s: float = 10.0
    accept_s: float = 600.0

    def __post_init__(self) -> None:
        check_ranges(
            "integrity",
            ("hold_s", self.hold_s, 0.5, MAX_SECONDS),
            ("learn_s", self.learn_s, 2.0, MAX_SECONDS),
            ("accept_s", self.accept_s, 10.0, 7 * MAX_SECONDS),
        )
