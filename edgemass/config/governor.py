"""What is done when the board gets hot, or lacks power."""

from __future__ import annotations

import msgspec

from edgemass.config.ranges import check_ranges


class GovernorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done when the board gets hot, or lacks power.

    enabled: hold the cameras back then. soft_c, hard_c: degrees Celsius from which on that is done, and done at once;
        None = the device profile's.
    lighter_variant: run a lighter variant of the model too, where it has one that is faster here.
    """

    enabled: bool = True
    soft_c: float | None = None
    hard_c: float | None = None
    lighter_variant: bool = True

    def __post_init__(self) -> None:
        check_ranges("governor", ("soft_c", self.soft_c, 20.0, 120.0), ("hard_c", self.hard_c, 20.0, 130.0))
        if self.soft_c is not None and self.hard_c is not None and self.soft_c >= self.hard_c:
            raise ValueError(f"governor: soft_c must be below hard_c, found {self.soft_c:g} and {self.hard_c:g}")
